"""The page's switch for refinement: off by default, with its cost on the machine that serves the page."""

from __future__ import annotations

import math
from collections.abc import Callable

import gradio as gr

from facesep.demo.sessions import Sessions
from facesep.errors import FaceSepError
from facesep.model import FaceSep

HOW = (
    "This checkpoint has no refiner, and the page downloads nothing by itself. Whoever runs it can train, "
    "import or name one: docs/refinement.md in the project says how."
)


def add_switch(sep: FaceSep, sessions: Sessions) -> gr.Checkbox:
    """Adds the switch to the page under construction.

    Args:
        sep: the model; a refiner that it has is loaded and timed now.
        sessions: where the state of the switch is kept for the visit.
    """
    label, info, usable = describe(sep)
    box = gr.Checkbox(label=label, info=info, value=False, interactive=usable, elem_id="refine")
    box.change(remember(sessions), box, None, queue=False, api_visibility="private")
    return box


def describe(sep: FaceSep) -> tuple[str, str, bool]:
    """Label and explanation of the switch, and whether it can be used."""
    if not sep.has_refiner:
        return "Refine the results (not available)", HOW, False
    try:
        cost = seconds(sep.refiner.seconds())
    except FaceSepError as error:
        return "Refine the results (not available)", str(error), False
    info = (
        "From the next result on. The detail is invented. Each frame of a video costs as much as a picture."
    )
    return f"Refine the results: about {cost} more for each picture on this machine", info, True


def seconds(value: float) -> str:
    """``0.42 s``, ``3.1 s``, ``75 s``: two digits are honest enough."""
    digits = max(0, 1 - math.floor(math.log10(max(value, 1e-3))))
    return f"{round(value, digits):.{min(digits, 3)}f} s"


def remember(sessions: Sessions) -> Callable:
    """For the switch: every tab of the visit follows it."""

    def remember(wanted: bool, request: gr.Request) -> None:
        sessions.switch_refining(request.session_hash, wanted is True)

    return remember
