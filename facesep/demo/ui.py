"""The page: its parts in their order, and what connects them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from facesep.demo.api import LONG, endpoints
from facesep.demo.examples import FOLDER
from facesep.demo.limits import (
    CONSENT,
    KEEP_SECONDS,
    MAX_PICTURES,
    MAX_UPLOAD,
    MAX_VIDEOS,
    QUEUE,
    SWEEP_SECONDS,
)
from facesep.demo.models import Models
from facesep.demo.page import FILMS, GROUP, Page, Visit
from facesep.demo.sessions import Sessions
from facesep.demo.share import Share
from facesep.demo.switches import add_switches
from facesep.demo.tabs.drive import Drive
from facesep.demo.tabs.edit import Edit
from facesep.demo.tabs.inside import Inside
from facesep.demo.tabs.mix import Mix
from facesep.demo.tabs.transfer import Transfer
from facesep.demo.tabs.turn import Turn
from facesep.demo.tabs.verify import Verify
from facesep.demo.tools import every_output
from facesep.demo.uploads import Arrivals
from facesep.demo.vanished import Vanished
from facesep.model import FaceSep

TABS = {
    "transfer": ("Transfer", Transfer),
    "mix": ("Mix", Mix),
    "turn": ("Turn", Turn),
    "edit": ("Edit", Edit),
    "drive": ("Drive", Drive),
    "inside": ("Look inside", Inside),
    "verify": ("Verify", Verify),
}
RESULTS = {
    "transfer": "the result of the transfer",
    "mix": "the result of the mix",
    "edit": "the edited face",
}
"""What comes to the tab Turn from other tabs."""
INTRO = """# facesep
Take an expression, a hairstyle or the light from one face and put it on another, then turn the head.
A machine makes the results: they are soft, they are guesses where the photo shows nothing, and each file
says in itself that a machine made it.
"""
PRIVACY = f"""A photo is read once, and its file is then deleted. What the page keeps of it is deleted when
you close the page, at the latest after {KEEP_SECONDS // 60} minutes without use. Nothing is logged.
The example photos are from the Face Research Lab London Set (DeBruine and Jones, 2017; CC BY 4.0).
"""
CSS = """
.gradio-container {max-width: 1000px !important; margin: 0 auto}
.image-frame, .image-frame img {width: 100% !important; height: 100% !important; object-fit: contain}
#fit .info-text, #refine .info-text {opacity: 1; color: var(--body-text-color)}
footer > .divider:last-of-type {display: none}
@media (max-width: 640px) {
  .gradio-container .app {padding: 12px !important}
  #examples th, #examples td {padding: 4px !important; white-space: normal !important}
}
"""
_FONTS = ["system-ui", "sans-serif"]


def launch_options() -> dict[str, Any]:
    """Arguments for ``launch``. The theme uses fonts of the visitor's system, so none is fetched."""
    return {
        "max_file_size": MAX_UPLOAD,
        "max_threads": MAX_PICTURES + MAX_VIDEOS + 8,
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "footer_links": ["api"],
        "theme": gr.themes.Default(font=_FONTS, font_mono=["ui-monospace", "monospace"]),
        "css": CSS,
        "app_kwargs": {"middleware": [Middleware(Arrivals), Middleware(Vanished)]},
    }


def build_page(model: FaceSep | Models, sessions: Sessions | None = None) -> gr.Blocks:
    """The page.

    Args:
        model: the model, or several to choose from.
        sessions: what is kept of each visit; by default in gradio's folder of temporary files.
    """
    gr.set_static_paths([FOLDER])
    every_output()
    with gr.Blocks(
        title="facesep", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as blocks:
        page = Page(model, sessions or Sessions(blocks.GRADIO_CACHE), blocks.GRADIO_CACHE)
        for name, endpoint in endpoints(page).items():  # before the page's events take their names
            gr.api(endpoint, api_name=name, **(FILMS if name in LONG else GROUP))
        gr.Markdown(INTRO)
        page.consent = gr.Checkbox(label=CONSENT, elem_id="consent")
        names = page.models.names
        chosen = gr.Dropdown(
            names,
            value=names[0],
            label="Model (photos must be uploaded again after a change)",
            filterable=False,
            visible=len(names) > 1,
            elem_id="model",
        )
        made: dict[str, Any] = {}
        with gr.Tabs() as tabs:
            for name, (title, kind) in TABS.items():
                with gr.Tab(title, id=name):
                    made[name] = kind(page)
        add_switches(page)
        Share(page, blocks, tabs, chosen, made)
        gr.Markdown(PRIVACY)
        for name, what in RESULTS.items():
            made["turn"].bring(made[name].result, tabs, f"This is {what}.")

        def allow(visit: Visit, consent: bool) -> list[dict]:
            return [gr.update(interactive=consent is True)] * len(page.gated)

        page.on(page.consent.change, allow, [page.consent], page.gated, consent=False, queue=False)
        photos = [one for one in page.gated if isinstance(one, gr.Image)]

        def switch(visit: Visit, name: str) -> list[None]:
            visit.switch(name)
            return [None] * len(photos)

        page.on(chosen.input, switch, [chosen], photos, consent=False)

        def leave(request: gr.Request) -> None:
            page.sessions.forget(request.session_hash)

        blocks.unload(leave)
    page.sessions.sweep_always()
    return blocks.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
