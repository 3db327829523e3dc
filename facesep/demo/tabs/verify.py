"""The tab Verify: was this file made by facesep?"""

from __future__ import annotations

import html

import gradio as gr

from facesep.demo import actions
from facesep.demo.actions import sentence
from facesep.demo.handlers import Handlers, plain_errors
from facesep.demo.uploads import suffix_of, take
from facesep.demo.widgets import GROUP
from facesep.errors import FaceSepError

INTRO = (
    "Upload a picture or a video to see whether facesep made it. It is deleted as soon as it was looked at. "
    "Cut-out and scaled copies are searched, too, which takes a few seconds."
)


class Verify:
    """The tab with its events."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def add(self) -> None:
        """Lays the tab out; nothing here needs consent, since no face is read."""
        gr.Markdown(INTRO)
        box = gr.File(
            label="Picture or video",
            type="filepath",
            height=160,
            elem_id="verify-file",
            buttons=[],
        )
        verdict = gr.Markdown(elem_id="verdict")
        box.upload(plain_errors(self.verify), box, [box, verdict], preprocess=False, **GROUP)

    def verify(self, payload: dict | None, request: gr.Request) -> tuple[None, str]:
        """Empties the box and gives the verdict, or what is wrong with the file."""
        session = self.handlers.sessions.get(request.session_hash)
        try:
            suffix = suffix_of(payload)
            (data,) = take(self.handlers.uploads, payload)
            found = actions.check(data, suffix, session.new_folder())
        except FaceSepError as error:
            return None, f"**{html.escape(sentence(str(error)), quote=False)}**"
        return None, f"**{html.escape(sentence(str(found)), quote=False)}**"
