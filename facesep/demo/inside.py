"""What a face looks like to the model: crop with landmarks, outline of the head, codes as bars."""

from __future__ import annotations

import html
import math

import numpy as np
import torch
from PIL import Image, ImageDraw

from facesep.codes import Codes
from facesep.demo.computing import computed
from facesep.demo.gpu import on_gpu
from facesep.demo.photos import Subject
from facesep.errors import ImageError
from facesep.faces import Aligned
from facesep.faces.parsing import head_mask, parse
from facesep.images import encode_image, to_image
from facesep.model import FaceSep
from facesep.provenance import encode

_SIDE = 384
"""Side of the pictures in pixels: points stay visible on small crops."""
_HEAD = (0, 120, 255)
_AGREE = 0.75
"""Overlap with the head in the photo below which the model's head earns a warning."""
_WIDTH, _HEIGHT = 512, 40  # of one row of bars, in SVG units
_FULL = 3.0  # the value at which a bar is as long as it can be, unless there are larger ones


def landmarks(aligned: Aligned) -> bytes:
    """The crop of the photo with its five points, as PNG."""
    picture = _large(aligned)
    draw = ImageDraw.Draw(picture)
    for point in aligned.points * (_SIDE / aligned.image.width):
        draw.circle(tuple(point), 6, outline="black", width=4)
        draw.circle(tuple(point), 5, outline="white", width=2)
    return encode_image(picture)


@on_gpu
@torch.no_grad()
def _opacity(sep: FaceSep, codes: Codes) -> torch.Tensor:
    """How much of each cell of the ray grid the head covers, ``Tensor[n, n]`` in 0..1."""
    return sep.decoder(codes.batch().to(sep.device)).opacity[0, 0].float().clamp(0, 1).cpu()


@computed
def head(sep: FaceSep, subject: Subject) -> bytes:
    """The crop with what the model takes for the head in colour, as a marked PNG."""
    if subject.aligned is None:
        raise ImageError("this face has no photo: upload one")
    mask = _mask(sep, subject.codes, _SIDE)
    picture = _large(subject.aligned)
    picture.paste(_HEAD, mask=mask.point(lambda value: value // 2))
    return encode(picture)


def _mask(sep: FaceSep, codes: Codes, side: int) -> Image.Image:
    return to_image(_opacity(sep, codes).expand(3, -1, -1)).convert("L").resize((side, side))


def _large(aligned: Aligned) -> Image.Image:
    return aligned.image.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


@computed
def overlap(sep: FaceSep, subject: Subject) -> float:
    """How well the model's head covers the head that the parser sees in the photo.

    Returns:
        Their intersection over their union, 0 to 1.
    """
    image = subject.aligned.image
    seen = head_mask(parse(image, "bundled", None))
    made = np.asarray(_mask(sep, subject.codes, image.width)) > 127
    return float((seen & made).sum() / max(1, (seen | made).sum()))


def report(subject: Subject, labels: dict[str, str], agreement: float | None = None) -> str:
    """Warnings, facts about the photo, and all codes as bars, as HTML.

    Args:
        subject: the face.
        labels: what the attributes are called.
        agreement: what ``overlap`` says.
    """
    notes = list(subject.notes)
    if agreement is not None and agreement < _AGREE:
        notes.append("What the model takes for the head covers the head in the photo badly.")
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    warnings = f"<ul>{notes}</ul>" if notes else "<p>No warnings about this photo.</p>"
    pitch, yaw, roll = (math.degrees(float(angle)) for angle in subject.codes.rotation)
    face = subject.aligned.face
    facts = {
        "Pixels between the eyes": f"{face.interocular:.0f}",
        "Turn left or right (yaw)": f"{face.yaw:+.0f} degrees",
        "Tilt (roll)": f"{face.roll:+.0f} degrees",
        "How sure the detector is": f"{100 * face.score:.0f} %",
    }
    facts["Head pose in the codes"] = f"yaw {yaw:+.0f}, pitch {pitch:+.0f}, roll {roll:+.0f} degrees"
    if agreement is not None:
        facts["Overlap of the model's head with the one in the photo"] = f"{100 * agreement:.0f} %"
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left;padding-right:1em'>{html.escape(name)}</th>"
        f"<td>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"{warnings}<table>{rows}</table>{bars(subject.codes, labels)}"


def bars(codes: Codes, labels: dict[str, str]) -> str:
    """Seven rows of bars, one bar for each number, as SVG with a sentence for screen readers."""
    rows = []
    for name, code in codes.items():
        values = code.detach().float().cpu()
        top = max(_FULL if len(values) > 3 else 0.5, float(values.abs().max()))
        step, middle = _WIDTH / len(values), _HEIGHT / 2
        path = "".join(
            f"M{(index + 0.5) * step:.1f} {middle:g}v{-value / top * middle:.1f}"
            for index, value in enumerate(values.tolist())
        )
        says = f"{labels[name]}: {len(values)} numbers from {values.min():.2f} to {values.max():.2f}"
        rows.append(
            f"<p style='margin:.5em 0 0'>{html.escape(says)}</p>"
            f"<svg role='img' aria-label='{html.escape(says)}' viewBox='0 0 {_WIDTH} {_HEIGHT}' "
            "preserveAspectRatio='none' style='width:100%;height:40px;display:block'>"
            f"<path d='M0 {middle:g}H{_WIDTH}' stroke='#8888' stroke-width='1'/>"
            f"<path d='{path}' stroke='currentColor' stroke-width='{0.7 * step:.2f}' fill='none'/></svg>"
        )
    return "".join(rows)
