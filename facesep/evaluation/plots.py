"""Plots of tables, drawn with matplotlib and written like every other picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facesep.errors import ConfigError
from facesep.evaluation.statistics import Estimate
from facesep.provenance import write_image

DPI = 110
REFINEMENT = {
    "ST-LPIPS": "ST-LPIPS to the photo",
    "L1": "L1 to the photo",
    "identity distance": "identity distance",
}
"""Measures of refined pictures and the labels of their axes."""


def bars(
    found: Mapping[str, Mapping[str, Estimate]], columns: Sequence[str], path: str | Path, title: str
) -> Path:
    """One panel for each column, one bar with its interval for each method."""
    columns = [name for name in columns if any(name in one for one in found.values())]
    figure, axes = _figure(len(columns), title)
    for axis, column in zip(axes, columns, strict=True):
        names = [name for name, one in found.items() if column in one and np.isfinite(one[column].value)]
        values = [found[name][column] for name in names]
        low = [one.value - one.low for one in values]
        high = [one.high - one.value for one in values]
        axis.barh(names, [one.value for one in values], xerr=[np.maximum(low, 0), np.maximum(high, 0)])
        axis.invert_yaxis()
        axis.set_title(column)
    return _write(figure, path)


def lines(
    found: Mapping[str, Mapping[str, Estimate]], columns: Sequence[str], path: str | Path, title: str
) -> Path:
    """One panel for each column: its value from row to row, with the interval as a band."""
    columns = [name for name in columns if all(name in one for one in found.values())]
    figure, axes = _figure(len(columns), title)
    names = list(found)
    for axis, column in zip(axes, columns, strict=True):
        values = [one[column] for one in found.values()]
        axis.plot(names, [one.value for one in values], marker="o")
        axis.fill_between(names, [one.low for one in values], [one.high for one in values], alpha=0.2)
        axis.tick_params(axis="x", rotation=45)
        axis.set_title(column)
    return _write(figure, path)


def growth(rows: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> Path:
    """One panel for each thing that is varied, one line for each form; both axes logarithmic."""
    panels = list(dict.fromkeys(row["varied"] for row in rows))
    figure, axes = _figure(len(panels), title)
    for axis, varied in zip(axes, panels, strict=True):
        here = [row for row in rows if row["varied"] == varied]
        for form in dict.fromkeys(row["form"] for row in here):
            line = [(row["value"], row["seconds"]) for row in here if row["form"] == form]
            axis.plot(*zip(*line, strict=True), marker="o", label=form)
        values = sorted({row["value"] for row in here})
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(values, [str(value) for value in values])
        axis.set_xlabel(varied)
        axis.set_ylabel("seconds")
        axis.grid(alpha=0.3)
        axis.legend()
    return _write(figure, path)


def refinement(rows: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> Path:
    """One panel for each measure against UNet calls; pictures that need no calls are lines across."""
    panels = {name: about for name, about in REFINEMENT.items() if name in rows[0]}
    figure, axes = _figure(len(panels), title)
    refined = [row for row in rows if row["calls"]]
    for axis, (name, about) in zip(axes, panels.items(), strict=True):
        axis.plot([row["calls"] for row in refined], [row[name] for row in refined], "o-", label="refined")
        for row, style in zip((row for row in rows if not row["calls"]), ("--", ":"), strict=False):
            axis.axhline(row[name], linestyle=style, color="grey", label=row["picture"])
        axis.set_xlabel("UNet calls")
        axis.set_ylabel(about)
        axis.grid(alpha=0.3)
        axis.legend()
    return _write(figure, path)


def heat(values: np.ndarray, names: Sequence[str], path: str | Path, title: str) -> Path:
    """A square matrix as colours, with its numbers; rows vary, columns answer."""
    figure, (axis,) = _figure(1, title)
    axis.imshow(values, cmap="Blues", vmin=0)
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("read off the renders")
    axis.set_ylabel("varied")
    dark = np.nanmax(values) / 2
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if value > dark else "black"
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    return _write(figure, path)


def _figure(panels: int, title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need the package matplotlib: pip install 'facesep[eval]'") from error
    if not panels:
        raise ConfigError(f"there is nothing to plot for {title!r}")
    across = min(panels, 4)
    down = -(-panels // across)
    figure = Figure(figsize=(4.2 * across, 3.2 * down + 0.5), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes[panels:]:
        axis.remove()
    figure.suptitle(title)
    return figure, axes[:panels]


def _write(figure: Any, path: str | Path) -> Path:
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    return write_image(Image.fromarray(np.ascontiguousarray(pixels)), path, marked=False)
