"""The face that all tabs work on: a photo, given once, or a result that goes on to the next tab."""

from __future__ import annotations

import functools
from typing import Any, Protocol

import gradio as gr

from facesep.codes import Codes
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.photos import Subject
from facesep.demo.widgets import PhotoBox, shown
from facesep.detail import Portrait
from facesep.errors import ImageError

ONWARD = {"transfer": "Transfer", "mix": "Mix", "turn": "Turn", "edit": "Edit", "drive": "Drive"}
"""Tabs to which a result can go on, and what the buttons say that take it there."""
GIVEN, STARTED = "given", "started"
"""Where a visit keeps the photo's own face, and the tabs that have been opened with the present one."""


class Tab(Protocol):
    """What the face needs of a tab.

    Attributes:
        outputs: components that depend on the face.
    """

    outputs: list[Any]

    def start(self, visit: Visit) -> tuple:
        """Values of the outputs for a new face."""

    def empty(self, visit: Visit) -> tuple:
        """Values of the outputs without one; forgets what was made of the last."""


class Face(PhotoBox):
    """The box with its events.

    Args:
        page: the page.
    """

    def __init__(self, page: Page) -> None:
        super().__init__(page, FACE, "Your photo: every tab works on it")
        self.back = gr.Button("Back to the photo", visible=False, elem_id="face-back")
        self._onward: list[tuple[gr.Button, str, str]] = []

    def onward(self, tab: str, place: str) -> list[gr.Button]:
        """Buttons that take the result at a place of a tab to other tabs."""
        buttons = []
        for target, word in ONWARD.items():
            if target != tab:
                button = gr.Button(
                    f"{word} this", interactive=False, min_width=90, elem_id=f"{place}-{target}"
                )
                self._onward.append((button, place, target))
                buttons.append(button)
        return buttons

    def connect(self, tabs: gr.Tabs, opened: gr.Textbox, made: dict[str, Tab]) -> None:
        """Lets the tabs follow the face.

        Args:
            tabs: all tabs.
            opened: name of the one that is open.
            made: those that depend on the face, by name.
        """
        page, self.made = self.page, made
        outputs = [one for tab in made.values() for one in tab.outputs]
        inputs = [opened, page.consent]
        changes = [*self.changes, page.on(self.back.click, self.go_back, [], self.parts)]
        for button, place, target in self._onward:
            go = functools.partial(self.go_on, place=place, target=target)
            changes.append(page.on(button.click, go, [], [tabs, opened, *self.parts]))
        changes.append(made["transfer"].example_shown)
        for event in changes:
            followed = page.on(
                event.success,
                self.follow,
                inputs,
                [*outputs, self.back],
                consent=False,
                show_progress="minimal",
            )
        page.on(followed.success, *made["transfer"].make)  # an example brings its result, too
        for tab in tabs.children:
            if tab.id in made:
                enter = functools.partial(self.enter, name=tab.id)
                page.on(tab.select, enter, [page.consent], made[tab.id].outputs, consent=False)

    def follow(self, visit: Visit, opened: str, consent: bool) -> list[Any]:
        """After a change of the face: old results go, and the open tab shows the new one."""
        visit.kept[STARTED] = set()
        values: list[Any] = []
        shows = visit.has_face() and consent is True
        for name, tab in self.made.items():
            empty = tab.empty(visit)
            values += self.enter(visit, consent, name) if name == opened and shows else empty
        subject = visit.kept.get(FACE)
        made_here = isinstance(subject, Subject) and subject.aligned is None
        return [*values, gr.update(visible=made_here and GIVEN in visit.kept)]

    def enter(self, visit: Visit, consent: bool, name: str) -> tuple:
        """When a tab is opened: it shows the face, unless it does already."""
        tab, started = self.made[name], visit.kept.setdefault(STARTED, set())
        if consent is not True or name in started or not visit.has_face():
            return (gr.skip(),) * len(tab.outputs)
        started.add(name)
        return tab.start(visit)

    def go_on(self, visit: Visit, place: str, target: str) -> tuple:
        """Makes a result the face that all tabs work on, and opens a tab with it."""
        face = visit.kept.get(place)
        if not isinstance(face, Portrait | Codes):
            raise ImageError("there is no result yet: make one first")
        before = visit.kept.get(FACE)
        if isinstance(before, Subject) and before.aligned is not None:
            visit.kept[GIVEN] = before
        _, *quiet = self.clear(visit)
        visit.kept[FACE] = Subject(face)
        picture = str(visit.picture(face))
        return gr.update(selected=target), target, picture, *quiet

    def go_back(self, visit: Visit) -> tuple:
        """Makes the photo's own face the one that all tabs work on."""
        given = visit.kept.get(GIVEN)
        if not isinstance(given, Subject):
            raise ImageError("the photo is no longer kept: upload it again")
        visit.kept[FACE] = given
        return shown(visit, given)
