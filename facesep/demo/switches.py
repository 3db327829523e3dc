"""The page's switches: off by default, each with its cost on the machine that serves the page."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import gradio as gr
import torch

from facesep.codes import CODE_SIZES, Codes
from facesep.demo.computing import computed
from facesep.demo.limits import BACKGROUNDS, SIZES
from facesep.demo.page import Page, Visit
from facesep.demo.photos import FIT_STEPS
from facesep.errors import ConfigError, FaceSepError
from facesep.model import FaceSep

HOW = (
    "This checkpoint has no refiner, and the page downloads nothing by itself. Whoever runs it can train, "
    "import or name one: docs/refinement.md in the project says how."
)


BACKGROUND_LABELS = {"keep": "The photo", "white": "White", "transparent": "Transparent"}


def add_look(page: Page) -> list[Any]:
    """Adds the choices of how results are shown; gives their events."""
    with gr.Row():
        background = gr.Dropdown(
            [(BACKGROUND_LABELS[name], name) for name in BACKGROUNDS],
            value=BACKGROUNDS[0],
            label="Results stand on",
            filterable=False,
            min_width=120,
            elem_id="background",
        )
        size = gr.Dropdown(
            [(f"{size} pixels", size) for size in SIZES],
            value=SIZES[0],
            label="Size of the head",
            filterable=False,
            min_width=120,
            elem_id="size",
        )
    gr.Markdown("Heads that turn far, and videos of them, stand on white.", elem_classes="hint")
    return [_remembered(page, name, box) for name, box in (("background", background), ("size", size))]


def add_switches(page: Page) -> list[Any]:
    """Adds the switches; gives their events. Rendering is timed now, and a refiner that the model has."""
    events = []
    for name, describe in (("plain", describe_plain), ("fit", describe_fit), ("refine", describe_refine)):
        label, info, usable = describe(page.models.first)
        box = gr.Checkbox(label=label, info=info, value=False, interactive=usable, elem_id=name)
        events.append(_remembered(page, name, box))
    return events


def _remembered(page: Page, name: str, box: Any) -> Any:
    return page.on(box.change, functools.partial(remember, name), [box], [], consent=False, queue=False)


def remember(name: str, visit: Visit, value: Any) -> None:
    """Lets every tab of a visit follow a setting.

    Raises:
        ConfigError: for a value that is not offered.
    """
    offered = {"background": BACKGROUNDS, "size": SIZES}.get(name, (True, False))
    if value not in offered:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, offered))}")
    visit.page.sessions.set(visit.key, name, value)


def describe_plain(_: FaceSep) -> tuple[str, str, bool]:
    """Label and explanation of the switch for plain renders."""
    info = "The model's own render is soft; it shows what the codes alone hold."
    return "Show the model's render, without the photo's own pixels", info, True


def describe_fit(sep: FaceSep) -> tuple[str, str, bool]:
    """Label and explanation of the switch for fitting, and whether it can be used."""
    cost = seconds(fit_seconds(sep))
    label = f"Fit each face to its photo: more alike, for about {cost} a photo on this machine"
    return label, "Without it a single forward pass reads a photo.", True


@computed
def fit_seconds(sep: FaceSep) -> float:
    """How long one photo takes, from renders: a step is one with its gradient, which costs two more.

    No step is taken here: at 1024 pixels its gradient takes gigabytes, and the page would start late.
    """
    codes = Codes(**{name: torch.zeros(size, device=sep.device) for name, size in CODE_SIZES.items()})
    renders = []
    for _ in range(2):  # the first also pays for warming up, and any may be disturbed
        begin = time.perf_counter()
        sep.render(codes, output="tensor").cpu()
        renders.append(time.perf_counter() - begin)
    return 3 * min(renders) * FIT_STEPS


def describe_refine(sep: FaceSep) -> tuple[str, str, bool]:
    """Label and explanation of the switch, and whether it can be used."""
    if not sep.has_refiner:
        return "Refine the results (not available)", HOW, False
    try:
        cost = seconds(sep.refiner.seconds())
    except FaceSepError as error:
        return "Refine the results (not available)", str(error), False
    info = "The detail is invented. Each frame of a video costs as much as a picture."
    return f"Refine the results: about {cost} more for each picture on this machine", info, True


def seconds(value: float) -> str:
    """``0.42 s``, ``3.1 s``, ``75 s``: two digits are honest enough."""
    digits = max(0, 1 - math.floor(math.log10(max(value, 1e-3))))
    return f"{round(value, digits):.{min(digits, 3)}f} s"
