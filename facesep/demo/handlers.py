"""What happens on the page's events: gradio's values in, updates of components out."""

from __future__ import annotations

import functools
import html
import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from facesep.codes import Codes
from facesep.demo import actions, jobs
from facesep.demo.actions import Choice, Subject, sentence
from facesep.demo.directions import Direction, directions
from facesep.demo.examples import EXAMPLES, FOLDER
from facesep.demo.limits import MAX_FRAMES, check_consent, check_range
from facesep.demo.models import Models
from facesep.demo.sessions import Session, Sessions
from facesep.demo.uploads import take
from facesep.errors import FaceSepError, ImageError
from facesep.model import FaceSep

PICTURE, CODES = "facesep.png", "facesep-codes.safetensors"
"""Names under which results are downloaded."""
LINKED_MOVES, LINKED_VIEW = "linked moves", "linked view"
"""Where a visit keeps what a link says about sliders and about yaw and pitch, until there is a face."""

_log = logging.getLogger(__name__)


def plain_errors(function: Callable) -> Callable:
    """Turns errors into sentences for the visitor; nothing of what the visitor sent is logged."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except FaceSepError as error:
            message = html.escape(sentence(str(error)), quote=False)
            raise gr.Error(message, print_exception=False) from None
        except gr.Error:
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s in %s, line %s", type(error).__name__, Path(place.filename).name, place.lineno)
            message = "Something went wrong on this server. Please try again."
            raise gr.Error(message, print_exception=False) from None

    return wrapper


class Handlers:
    """The events of one page.

    Args:
        model: the model, or several that visitors may choose from.
        sessions: what is kept of each visit.
        uploads: gradio's folder of uploaded files.
    """

    def __init__(self, model: FaceSep | Models, sessions: Sessions, uploads: str | Path) -> None:
        self.models = model if isinstance(model, Models) else Models(model)
        self.sessions, self.uploads = sessions, uploads
        self._examples: dict[tuple[int, str], Subject] = {}
        self._directions: dict[int, tuple[Direction, ...]] = {}
        self._finding = threading.Lock()
        self._fitted: WeakKeyDictionary[Subject, Codes] = WeakKeyDictionary()  # go when their faces go

    # -- consent and photos -------------------------------------------------------------------------

    def allow(self, count: int) -> Callable:
        """For the consent box: enables ``count`` components, or disables them."""

        def allow(consent: bool) -> list[dict]:
            return [gr.update(interactive=bool(consent))] * count

        return allow

    def reader(self, place: str) -> Callable:
        """For an upload at ``place``: reads the photo; gives the photo box, the face picker and the note.

        The file is deleted, and the box shows the crop that the model sees. Errors are written below the
        box, where they stay until the next photo.
        """

        def read(payload: dict | None, consent: bool, request: gr.Request) -> tuple[dict, dict, str]:
            session = self.sessions.get(request.session_hash)
            _forget(session, place)
            try:
                (data,) = take(self.uploads, payload)
                check_consent(consent)
                found = self.read(session, data)
            except FaceSepError as error:
                return gr.update(value=None), _no_choice(), _problem(error)
            if isinstance(found, Subject):
                session.kept[place] = found
                return self._shown(session, found)
            session.kept[_choice_of(place)] = found
            sheet = session.write("faces.jpg", found.sheet)
            choices = [(f"{number}", number - 1) for number in range(1, len(found.faces) + 1)]
            picker = gr.update(choices=choices, value=None, visible=True)
            return gr.update(value=str(sheet)), picker, sentence(found.message())

        return plain_errors(read)

    def chooser(self, place: str) -> Callable:
        """For the face picker at ``place``: reads the chosen face; gives the photo box and the note."""

        def choose(face: int | None, consent: bool, request: gr.Request) -> tuple[dict, str]:
            session = self.sessions.get(request.session_hash)
            choice = session.kept.get(_choice_of(place))
            try:
                check_consent(consent)
                if not isinstance(choice, Choice):
                    raise ImageError("the photo is no longer kept: upload it again")
                subject = actions.choose(self.model(session), choice, face)
            except FaceSepError as error:
                return gr.skip(), _problem(error)
            session.kept[place] = subject
            photo, _, note = self._shown(session, subject)
            return photo, note

        return plain_errors(choose)

    def clearer(self, place: str) -> Callable:
        """For the cross on the photo box at ``place``: forgets the face."""

        def clear(request: gr.Request) -> tuple[dict, str]:
            _forget(self.sessions.get(request.session_hash), place)
            return _no_choice(), ""

        return plain_errors(clear)

    def switch(self, name: str, request: gr.Request) -> None:
        """Chooses a model; faces that the old one read are forgotten, since its codes mean something else.

        Raises:
            ConfigError: for a model that is not offered.
        """
        session = self.sessions.get(request.session_hash)
        self.models.get(name)
        session.model = name
        session.kept.clear()
        session.photos.clear()

    def switcher(self, count: int) -> Callable:
        """For the list of models: switches, and empties ``count`` photo boxes."""

        def switch(name: str, request: gr.Request) -> list[None]:
            self.switch(name, request)
            return [None] * count

        return plain_errors(switch)

    def leave(self, request: gr.Request) -> None:
        """When the page is closed: nothing stays."""
        self.sessions.forget(request.session_hash)

    # -- transfer -----------------------------------------------------------------------------------

    def transfer(
        self, attributes: list[str], strength: float, consent: bool, request: gr.Request
    ) -> tuple[tuple[str, str], dict, dict]:
        """Gives before and after, the download button and the button to turn the result."""
        check_consent(consent)
        session = self.sessions.get(request.session_hash)
        source, donor = (
            self.face(session, place, f"{ordinal} photo")
            for place, ordinal in (("source", "the first"), ("donor", "the second"))
        )
        return self._transferred(session, source, donor, attributes, strength)

    def retransfer(
        self, attributes: list[str], strength: float, consent: bool, request: gr.Request
    ) -> tuple[Any, Any, Any]:
        """The same after a change of the options, once there is a result to change."""
        session = self.sessions.get(request.session_hash)
        if not (consent is True and attributes and "result" in session.kept):
            return gr.skip(), gr.skip(), gr.skip()
        return self.transfer(attributes, strength, consent, request)

    def example(self, index: int, consent: bool, request: gr.Request) -> tuple:
        """Gives both photo boxes, pickers and notes, attributes, strength, and what ``transfer`` gives."""
        check_consent(consent)
        check_range("example", index, 0, len(EXAMPLES) - 1)
        chosen, session = EXAMPLES[index], self.sessions.get(request.session_hash)
        source, donor = (self._example(self.model(session), name) for name in (chosen.source, chosen.donor))
        session.kept |= {"source": source, "donor": donor}
        source, donor = (self.face(session, place) for place in ("source", "donor"))
        shown = (*self._shown(session, source), *self._shown(session, donor))
        result = self._transferred(session, source, donor, list(chosen.attributes), 1.0)
        return (*shown, list(chosen.attributes), 1.0, *result)

    def _transferred(
        self, session: Session, source: Subject, donor: Subject, attributes: list[str], strength: float
    ) -> tuple[tuple[str, str], dict, dict]:
        codes, picture = actions.transfer(
            self.model(session), source.codes, donor.codes, attributes, strength, self.refine(session)
        )
        session.kept["result"] = codes
        before = str(session.write("photo.jpg", source.picture))
        after = str(session.write(PICTURE, picture))
        return (before, after), gr.update(value=after, interactive=True), gr.update(interactive=True)

    def _example(self, sep: FaceSep, name: str) -> Subject:
        """The face of a bundled photo, read once for everybody."""
        key = (id(sep), name)
        if key not in self._examples:
            found = actions.read_photo(sep, FOLDER / name)
            if not isinstance(found, Subject):
                raise ImageError(found.message())
            self._examples[key] = found
        return self._examples[key]

    def difference(self, before: str, after: str) -> Callable:
        """For a box below a result: the map of differences, when it is wanted and there is a result."""

        def show(wanted: bool, request: gr.Request) -> dict:
            session = self.sessions.get(request.session_hash)
            face, codes = session.kept.get(before), session.kept.get(after)
            if not (wanted is True and isinstance(face, Subject) and isinstance(codes, Codes)):
                return gr.update(value=None, visible=False)
            picture = session.write(PICTURE, actions.difference(self.model(session), face.codes, codes))
            return gr.update(value=str(picture), visible=True)

        return plain_errors(show)

    # -- turn ---------------------------------------------------------------------------------------

    def turner(self, place: str, note: str) -> Callable:
        """For a button below a result: brings the result, kept at ``place``, to the tab that turns faces.

        Gives the tabs, the photo box, its picker and note, and what ``face_to_turn`` gives.
        """

        def turn(consent: bool, request: gr.Request) -> tuple:
            check_consent(consent)
            session = self.sessions.get(request.session_hash)
            codes = session.kept.get(place)
            if not isinstance(codes, Codes):
                raise ImageError("there is no result yet: make one first")
            session.kept["turn"] = Subject(codes, b"")
            photo = gr.update(value=None)
            return (gr.update(selected="turn"), photo, _no_choice(), note, *self.face_to_turn(request))

        return plain_errors(turn)

    def face_to_turn(self, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """After a new face to turn: its own view or that of a link, as yaw, pitch and picture; no video."""
        session = self.sessions.get(request.session_hash)
        subject = session.kept.get("turn")
        if not isinstance(subject, Subject):
            return gr.skip(), gr.skip(), None, None
        yaw, pitch = actions.angles(subject.codes)
        view = session.kept.pop(LINKED_VIEW, (None, None))
        picture = actions.turn(self.model(session), subject.codes, *view, self.refine(session))
        shown = [
            round(own) if linked is None else linked for own, linked in zip((yaw, pitch), view, strict=True)
        ]
        return *shown, str(session.write(PICTURE, picture)), None

    def turn(self, yaw: float, pitch: float, consent: bool, request: gr.Request) -> Any:
        """Gives the picture from another view; nothing as long as there is no face."""
        check_consent(consent)
        session = self.sessions.get(request.session_hash)
        subject = session.kept.get("turn")
        if not isinstance(subject, Subject):
            return gr.skip()
        picture = actions.turn(self.model(session), subject.codes, yaw, pitch, self.refine(session))
        return str(session.write(PICTURE, picture))

    def orbit(
        self,
        yaw: float,
        frames: int,
        consent: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 gradio finds it by its default
    ) -> str:
        """Gives the video."""
        check_consent(consent)
        check_range("frames", frames, 2, MAX_FRAMES)
        session = self.sessions.get(request.session_hash)
        codes = self.face(session, "turn").codes
        options = {"yaw": yaw, "frames": frames, "refine": self.refine(session)}
        return jobs.film(self.model(session), session, codes, progress, **options)

    def stop(self, request: gr.Request) -> None:
        """Ends the video that is being made for this visit."""
        self.sessions.get(request.session_hash).stopped.set()

    # -- faces --------------------------------------------------------------------------------------

    def model(self, session: Session) -> FaceSep:
        """The model that a visitor uses."""
        return self.models.get(session.model)

    def refine(self, session: Session) -> bool:
        """Whether results of a visitor are refined: it is switched on, and the model can."""
        return session.refine and self.model(session).has_refiner

    def read(self, session: Session, photo: bytes, face: int | None = None) -> Subject | Choice:
        """Reads a photo, once per visit; see :func:`~facesep.demo.actions.read_photo`."""
        sep = self.model(session)
        return session.once(photo, lambda data: actions.read_photo(sep, data, face), face)

    def has_photo(self, session: Session, place: str) -> bool:
        """Whether a photo lies at a place of the page, read or waiting for a choice."""
        return isinstance(session.kept.get(place), Subject) or _choice_of(place) in session.kept

    def face(self, session: Session, place: str, which: str = "a photo") -> Subject:
        """The face at a place of the page.

        Raises:
            ImageError: if there is none yet; ``which`` says in words what is missing.
        """
        found = session.kept.get(place)
        if not isinstance(found, Subject):
            if _choice_of(place) in session.kept:
                raise ImageError("a photo shows several faces: choose one by its number")
            raise ImageError(f"{which} is missing: upload it first (photos are forgotten after a while)")
        return self.fitted(session, found) if session.fit else found

    def fitted(self, session: Session, face: Subject) -> Subject:
        """A face with codes nearer to its photo, found once; one that has no photo stays as it is."""
        if face.cut is None:
            return face
        codes = self._fitted.get(face)
        if codes is None:
            codes = self._fitted[face] = actions.fit_cut(self.model(session), face.cut, face.codes)
        return replace(face, codes=codes)

    def directions(self, session: Session) -> tuple[Direction, ...]:
        """The sliders of the visitor's model, found when they are first asked for."""
        with self._finding:
            sep = self.model(session)
            if id(sep) not in self._directions:
                names = sorted(path.name for path in FOLDER.glob("*.jpg"))
                faces = [self._example(sep, name).codes for name in names]
                self._directions[id(sep)] = directions(sep, faces)
            return self._directions[id(sep)]

    def _shown(self, session: Session, subject: Subject) -> tuple[dict, dict, str]:
        photo = gr.update(value=str(session.write("photo.jpg", subject.picture)))
        return photo, _no_choice(), " ".join(subject.notes)


def _choice_of(place: str) -> str:
    """Where a photo with several faces waits for a choice."""
    return f"{place} choice"


def _forget(session: Session, place: str) -> None:
    session.kept.pop(place, None)
    session.kept.pop(_choice_of(place), None)


def _no_choice() -> dict:
    return gr.update(choices=[], value=None, visible=False)


def _problem(error: FaceSepError) -> str:
    return f"**{html.escape(sentence(str(error)), quote=False)}**"
