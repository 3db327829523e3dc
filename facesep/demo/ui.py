"""The page: its parts in their order, and what connects them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from facesep.demo.api import LONG, endpoints
from facesep.demo.examples import FOLDER
from facesep.demo.face import Face
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
from facesep.demo.strangers import Strangers
from facesep.demo.switches import add_look, add_switches
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
REMADE = ("transfer", "mix", "turn", "edit")
"""Tabs whose results follow a change of how they are shown."""
INTRO = """# facesep
Give one photo: put the expression, hairstyle or light of another face on it, turn the head, edit it, move it.
A machine makes the results: they are guesses where the photo shows nothing, and each file says in itself
that a machine made it.
"""
PRIVACY = f"""A photo is read once, and its file is then deleted. What the page keeps of it is deleted when
you close the page, at the latest after {KEEP_SECONDS // 60} minutes without use. Nothing is logged.
The example photos are from the Face Research Lab London Set (DeBruine and Jones, 2017; CC BY 4.0).
"""
CSS = """
.gradio-container {max-width: 1100px !important; margin: 0 auto}
.image-frame, .image-frame img {width: 100% !important; height: 100% !important; object-fit: contain}
#refine .info-text, #fit .info-text, #plain .info-text {opacity: 1; color: var(--body-text-color)}
footer > .divider:last-of-type {display: none}
.empty {flex-direction: column; text-align: center}
.empty::after {color: var(--body-text-color-subdued); padding: 0 12px}
.photo .empty::after {content: "Upload a photo"}
.result .empty::after {content: "The result appears here"}
.app:not(:has(#consent input:checked)) .photo .empty::after {content: "Tick the box at the top first"}
#given + .column {min-width: 0 !important; max-width: 100%}
.stage {outline-offset: 2px}
.stage img {width: 100%; max-width: 512px; margin: 0 auto; display: block; user-select: none}
.stage p {padding: 80px 12px; text-align: center; color: var(--body-text-color-subdued)}
.onward button, .onward a {padding: 8px 4px !important; font-size: 14px !important; min-height: 40px}
.camera {width: 160px; transform: scaleX(-1); border-radius: 8px; margin-bottom: 8px}
.hint p {font-size: 13px}
@media (max-width: 799px) {.row:has(> #given) {flex-direction: column} #given, #given + .column {width: 100%}}
@media (min-width: 800px) {#given {position: sticky; top: 12px; align-self: flex-start}}
@media (max-width: 640px) {
  button, a[download], label:has(> input[type=checkbox]), input[type=range] {min-height: 40px}
  button:not([role=tab], [tabindex="-1"], .overflow-dropdown *) {min-width: 40px}
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
        "app_kwargs": {"middleware": [Middleware(Arrivals), Middleware(Vanished), Middleware(Strangers)]},
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
        opened = gr.Textbox(next(iter(TABS)), visible=False)
        with gr.Row():
            with gr.Column(scale=1, min_width=280, elem_id="given"):
                page.face = Face(page)
                looks = add_look(page)
            with gr.Column(scale=2, min_width=320), gr.Tabs() as tabs:
                for name, (title, kind) in TABS.items():
                    with gr.Tab(title, id=name) as tab:
                        made[name] = kind(page)
                    select = f"() => ['{name}']"
                    tab.select(None, None, opened, js=select, queue=False, api_visibility="private")
        with gr.Accordion("More about how results are made", open=False, elem_id="more"):
            looks += add_switches(page)
        Share(page, blocks, tabs, opened, chosen, made)
        gr.Markdown(PRIVACY)
        page.face.connect(tabs, opened, {name: tab for name, tab in made.items() if name != "verify"})
        for event in looks:
            for tab in (made[name] for name in REMADE):
                page.on(event.success, *tab.remake, trigger_mode="always_last", show_progress="hidden")

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
        # Gradio itself would remember for an hour what boxes held.
        page.sessions.forgotten = lambda key: blocks.state_holder.session_data.pop(key, None)
    page.sessions.sweep_always()
    return blocks.queue(max_size=QUEUE, default_concurrency_limit=1, api_open=False)
