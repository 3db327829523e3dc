"""Parts of the page that several tabs have, with their events: a box for a photo, a result, a video."""

from __future__ import annotations

from typing import Any

import gradio as gr

from facesep.attributes import TRAITS
from facesep.codes import Codes
from facesep.demo import actions, photos
from facesep.demo.limits import check_consent
from facesep.demo.page import FACE, PICTURE, SMALL, Page, Visit, sentence
from facesep.demo.photos import Choice, Subject
from facesep.detail import Portrait
from facesep.errors import FaceSepError, ImageError, LyingPhotoError
from facesep.faces.alignment import turned
from facesep.images import load_image

LABELS = {name: one.label for name, one in TRAITS.items()}
"""What the page calls the attributes."""
TURN = "Turn the photo"
"""The button below a photo that lies on its side or upside down."""


def picture_box(name: str, label: str, *, download: bool = True, **options: Any) -> gr.Image:
    """A box in which the page shows a picture."""
    buttons = ["download", "fullscreen"] if download else ["fullscreen"]
    return gr.Image(
        label=label,
        type="filepath",
        height=300,
        interactive=False,
        buttons=buttons,
        elem_id=name,
        **options,
    )


class PhotoBox:
    """A place on the page where one photo goes; its face is kept under that name.

    Attributes:
        parts: the box, the list of faces to choose from, the note below, and the button that turns a photo
            that lies on its side or upside down.
        changes: events after which there may be another face, or none.
    """

    def __init__(self, page: Page, place: str, label: str, height: int = 300) -> None:
        self.page, self.place = page, place
        box = gr.Image(
            label=label,
            type="filepath",
            image_mode=None,
            sources=["upload", "clipboard"],
            height=height,
            interactive=False,
            buttons=[],
            elem_id=f"{place}-photo",
            elem_classes="photo",
        )
        picker = gr.Radio(label="Which face?", choices=[], visible=False, elem_id=f"{place}-face")
        note = gr.Markdown(elem_id=f"{place}-note")
        button = gr.Button(TURN, visible=False, elem_id=f"{place}-upright")
        self.parts = [page.gate(box), picker, note, button]
        # Without gradio's preprocessing: it would decode the picture before facesep.images checks it.
        upload = page.on(
            box.upload, self.read, [box, page.consent], self.parts, consent=False, preprocess=False
        )
        chosen = page.on(picker.input, self.choose, [picker], self.parts)
        turned = page.on(button.click, self.upright, [], self.parts)
        cleared = page.on(box.clear, self.clear, [], self.parts, consent=False, queue=False)
        self.changes = [upload, chosen, turned, cleared]

    def read(self, visit: Visit, payload: dict | None, consent: bool) -> tuple:
        """Reads the photo and deletes its file; the box then shows the crop that the model sees.

        Errors are written below the box, where they stay until the next photo.
        """
        self.clear(visit)
        try:
            (data,) = visit.take(payload)
            check_consent(consent)
            return self._found(visit, visit.read(data))
        except LyingPhotoError as error:
            visit.kept[f"{self.place} lying"] = turned(load_image(data), error.turn)
            return _failed(f'{error}, or press "{TURN}"', lying=True)
        except FaceSepError as error:
            return _failed(error)

    def upright(self, visit: Visit) -> tuple:
        """Reads the photo that lay on its side or upside down, turned."""
        photo = visit.kept.pop(f"{self.place} lying", None)
        try:
            if photo is None:
                raise ImageError("the photo is no longer kept: upload it again")
            return self._found(visit, photos.read(visit.sep, photo))
        except FaceSepError as error:
            return _failed(error)

    def _found(self, visit: Visit, found: Subject | Choice) -> tuple:
        visit.kept[self.place] = found
        if isinstance(found, Subject):
            return shown(visit, found)
        visit.kept[f"{self.place} choice"] = found
        choices = [(f"{number}", number - 1) for number in range(1, len(found.faces) + 1)]
        picker = gr.update(choices=choices, value=None, visible=True)
        sheet = str(visit.session.write("faces.jpg", found.sheet))
        return sheet, picker, sentence(found.message()), gr.update(visible=False)

    def choose(self, visit: Visit, face: int | None) -> tuple:
        """Reads the chosen one of several faces."""
        choice = visit.kept.get(f"{self.place} choice")
        try:
            if not isinstance(choice, Choice):
                raise ImageError("the photo is no longer kept: upload it again")
            subject = visit.kept[self.place] = photos.choose(visit.sep, choice, face)
        except FaceSepError as error:
            return gr.skip(), gr.skip(), f"**{sentence(error)}**", gr.skip()
        photo, _, note, button = shown(visit, subject)
        return photo, gr.skip(), note, button

    def clear(self, visit: Visit) -> tuple:
        """Forgets the face."""
        for key in (self.place, f"{self.place} choice", f"{self.place} lying", SMALL):
            visit.kept.pop(key, None)
        return gr.skip(), _no_choice(), "", gr.update(visible=False)


def shown(visit: Visit, subject: Subject) -> tuple:
    """A face in a ``PhotoBox``, as values of its parts."""
    photo = str(visit.session.write("photo.jpg", subject.picture))
    note = sentence(" ".join(subject.notes)) if subject.notes else ""
    return photo, _no_choice(), note, gr.update(visible=False)


def _failed(error: object, lying: bool = False) -> tuple:
    """What is wrong with a photo, as values of the parts of a ``PhotoBox``."""
    return None, _no_choice(), f"**{sentence(error)}**", gr.update(visible=lying)


def _no_choice() -> dict:
    return gr.update(choices=[], value=None, visible=False)


class Result:
    """Before and after, a download, buttons that take the new face to other tabs, and a map of what changed.

    Args:
        page: the page.
        tab: the tab it is on.
        place: where the new face is kept.

    Attributes:
        outputs: slider, map and buttons, which ``show`` gives values for.
    """

    def __init__(self, page: Page, tab: str, place: str) -> None:
        self.page, self.tab, self.place = page, tab, place
        self.slider = gr.ImageSlider(
            label="Before and after",
            type="filepath",
            interactive=False,
            buttons=["fullscreen"],
            max_height=560,
            elem_id=place,
            elem_classes="result",
        )
        self.picture = picture_box(
            f"{place}-difference", "Darker where it changed more", visible=False, render=False
        )
        self.outputs: list[Any] = [self.slider, self.picture]

    def buttons(self) -> Result:
        """Lays out the buttons; call it where they go."""
        with gr.Row(elem_classes="onward"):
            download = gr.DownloadButton(
                "Download", interactive=False, min_width=90, elem_id=f"{self.place}-download"
            )
            onward = self.page.face.onward(self.tab, self.place)
        self.outputs += [download, *onward]
        return self

    def map(self) -> None:
        """Lays out the map of what changed; call it where it goes."""
        wanted = gr.Checkbox(label="Show where the face changed", elem_id=f"{self.place}-difference-wanted")
        self.picture.render()
        self.page.on(wanted.input, self.want, [wanted], self.picture, consent=False, show_progress="hidden")

    def show(self, visit: Visit, subject: Subject, face: Portrait | Codes) -> tuple:
        """Keeps a face as the result and shows it beside the photo."""
        after = str(visit.picture(face))
        visit.kept[self.place] = face
        before = str(visit.session.write("photo.jpg", subject.before(visit.look.of(face))))
        opened = [gr.update(interactive=True)] * (len(self.outputs) - 3)
        return (before, after), self.difference(visit), gr.update(value=after, interactive=True), *opened

    def empty(self, visit: Visit) -> tuple:
        """Forgets the result."""
        visit.kept.pop(self.place, None)
        closed = gr.update(interactive=False)
        return None, _hidden(), *[closed] * (len(self.outputs) - 2)

    def want(self, visit: Visit, wanted: bool) -> dict:
        """Shows the map, from now on beside every result, or hides it."""
        mapped = visit.session.mapped - {self.place} | ({self.place} if wanted is True else set())
        visit.session.mapped = mapped
        visit.page.sessions.set(visit.key, "mapped", mapped)
        return self.difference(visit)

    def difference(self, visit: Visit) -> dict:
        """Gives the map when it is wanted and there is a result."""
        face, codes = visit.kept.get(FACE), visit.kept.get(self.place)
        if self.place not in visit.session.mapped or not isinstance(face, Subject) or codes is None:
            return _hidden()
        picture = visit.session.write(PICTURE, actions.difference(visit.sep, face.face, codes))
        return gr.update(value=str(picture), visible=True)


def _hidden() -> dict:
    return gr.update(value=None, visible=False)


def video_box(name: str, label: str) -> gr.Video:
    """A video that plays again and again, and can be downloaded."""
    return gr.Video(
        label=label,
        interactive=False,
        autoplay=True,
        loop=True,
        height=320,
        buttons=["download"],
        elem_id=name,
    )
