"""The tab Verify: was this file made by facesep?"""

from __future__ import annotations

import gradio as gr

from facesep.demo.page import Page, Visit, sentence
from facesep.errors import FaceSepError

INTRO = (
    "Upload a picture or a video to see whether facesep made it. It is deleted as soon as it was looked at. "
    "Cut-out and scaled copies are searched, too, which takes a few seconds."
)


class Verify:
    """The tab with its events; nothing here needs consent, since no face is read."""

    def __init__(self, page: Page) -> None:
        gr.Markdown(INTRO)
        box = gr.File(
            label="Picture or video", type="filepath", height=160, elem_id="verify-file", buttons=[]
        )
        verdict = gr.Markdown(elem_id="verdict")
        page.on(box.upload, self.verify, [box], [box, verdict], consent=False, preprocess=False)

    def verify(self, visit: Visit, payload: dict | None) -> tuple[None, str]:
        """Empties the box and gives the verdict, or what is wrong with the file."""
        try:
            said = visit.verify(*visit.take(payload))
        except FaceSepError as error:
            said = error
        return None, f"**{sentence(said)}**"
