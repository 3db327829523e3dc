"""One page: its models, what it keeps of visits, and how its events run.

Every event is a plain function whose first argument is a ``Visit``. ``Page.on`` connects it to
gradio: it asks for consent, finds the visit, and turns errors into sentences for the visitor.
"""

from __future__ import annotations

import functools
import html
import logging
import secrets
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from facesep.codes import Codes
from facesep.demo import actions, photos
from facesep.demo.actions import Look
from facesep.demo.examples import FOLDER
from facesep.demo.gpu import on_gpu
from facesep.demo.limits import MAX_PICTURES, MAX_VIDEOS, check_consent
from facesep.demo.models import Models
from facesep.demo.photos import Choice, Subject
from facesep.demo.sessions import Session, Sessions
from facesep.demo.turns import Turns
from facesep.demo.uploads import Upload, take
from facesep.detail.portrait import Portrait, codes_of
from facesep.errors import FaceSepError, ImageError
from facesep.model import FaceSep
from facesep.moves import Direction
from facesep.provenance import Verdict, verify
from facesep.video import SUFFIXES

if TYPE_CHECKING:
    from facesep.demo.face import Face

FACE = "face"
"""Place of the face that all tabs work on."""
PICTURE, CODES = "facesep.png", "facesep-codes.safetensors"
"""Names under which results are downloaded."""
SMALL = "small"
"""Where a visit keeps its photo as small as results show it, see ``facesep.demo.actions.Look``."""
GROUP = {"concurrency_id": "pictures", "concurrency_limit": MAX_PICTURES}
FILMS = {"concurrency_id": "videos", "concurrency_limit": MAX_VIDEOS}
"""Places in gradio's queue; who computes among those who have one, ``facesep.demo.turns`` says."""

_log = logging.getLogger(__name__)
_moves = on_gpu(FaceSep.moves)


def sentence(error: object) -> str:
    """A message of an exception as a sentence of HTML."""
    text = " ".join(str(error).split())
    text = text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
    return html.escape(text, quote=False)


@contextmanager
def sentences() -> Iterator[None]:
    """Turns errors into sentences for the visitor; nothing of what the visitor sent is logged."""
    try:
        yield
    except gr.Error:
        raise
    except FaceSepError as error:
        message = sentence(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("%s in %s, line %s", type(error).__name__, Path(place.filename).name, place.lineno)
        message = "Something went wrong on this server. Please try again."
    else:
        return
    raise gr.Error(message, print_exception=False)


class Page:
    """What the parts of one page share.

    Args:
        model: the model, or several that visitors may choose from.
        sessions: what is kept of each visit.
        uploads: gradio's folder of uploaded files.

    Attributes:
        consent: the box for consent.
        face: the photo that all tabs work on.
        turns: who computes next.
        gated: components that it enables.
    """

    consent: gr.Checkbox
    face: Face

    def __init__(self, model: FaceSep | Models, sessions: Sessions, uploads: str | Path) -> None:
        self.models = model if isinstance(model, Models) else Models(model)
        self.sessions, self.uploads = sessions, uploads
        self.gated: list[Any] = []
        self.turns = Turns()
        self._examples: dict[tuple[int, str], Subject] = {}
        self._directions: dict[int, tuple[Direction, ...]] = {}

    def gate(self, component: Any) -> Any:
        """Lets the box for consent enable a component."""
        self.gated.append(component)
        return component

    def on(
        self,
        events: Callable | Sequence[Callable],
        function: Callable,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] | Any = (),
        *,
        consent: bool = True,
        queue: bool = True,
        **options: Any,
    ) -> Any:
        """Calls ``function(visit, *values of inputs)`` at events such as ``button.click``.

        Args:
            events: one or several.
            function: gives the values of ``outputs``.
            inputs: components.
            outputs: components.
            consent: whether the function runs only with consent.
            queue: whether it waits in the queue, as all that computes does.
            **options: of gradio's event.

        Returns:
            What other events can follow by its ``then``.
        """
        listen = functools.partial(gr.on, events) if isinstance(events, list | tuple) else events
        inputs = [*inputs, self.consent] if consent else list(inputs)
        options = (GROUP if queue else {"queue": False}) | options
        event = self.event(function, consent, queue)
        return listen(event, inputs, outputs, api_visibility="private", **options)

    def stops(self, button: gr.Button, events: list[Any]) -> None:
        """Lets a button end events of its visitor: those that wait, and the one that runs."""

        def stop(visit: Visit) -> None:
            visit.session.stopped.set()

        self.on(button.click, stop, consent=False, queue=False, cancels=events)

    def event(self, function: Callable, consent: bool, queue: bool) -> Callable:
        """A function of a visit as gradio calls it; with consent, that is the last of its values."""

        def run(request: gr.Request, *values: Any) -> Any:
            with sentences():
                if consent:
                    *values, agreed = values
                    check_consent(agreed)
                visit = self.visit(request)
                with visit.turn() if queue else nullcontext():
                    return function(visit, *values)

        return run

    def visit(self, request: gr.Request) -> Visit:
        """The visit that a request belongs to."""
        return Visit(self, request.session_hash)

    def example(self, sep: FaceSep, name: str) -> Subject:
        """The face of a bundled photo, read once for everybody."""
        key = (id(sep), name)
        if key not in self._examples:
            self._examples[key] = photos.read(sep, FOLDER / name, 0)
        return self._examples[key]

    def directions(self, sep: FaceSep) -> tuple[Direction, ...]:
        """The sliders of a model, found when they are first asked for."""
        if id(sep) not in self._directions:
            with self.turns.aside():
                if id(sep) not in self._directions:
                    self._directions[id(sep)] = _moves(sep)
        return self._directions[id(sep)]


class Visit:
    """What one request of a visitor works with.

    Args:
        page: the page.
        key: of the visit.

    Attributes:
        warnings: what an endpoint gives beside its result.
    """

    def __init__(self, page: Page, key: str | None) -> None:
        self.page, self.key = page, key
        self.warnings: list[str] = []

    @functools.cached_property
    def session(self) -> Session:
        """What is kept of the visit."""
        return self.page.sessions.get(self.key)

    @functools.cached_property
    def fit(self) -> bool:
        """Whether faces are fitted to their photos; endpoints set it."""
        return self.session.fit

    @functools.cached_property
    def refine(self) -> bool:
        """Whether results are refined: it is switched on, and the model can; endpoints set it."""
        return self.session.refine and self.sep.has_refiner

    @property
    def sep(self) -> FaceSep:
        """The model that the visitor uses."""
        return self.page.models.get(self.session.model)

    @property
    def kept(self) -> dict[str, Any]:
        """Faces and results by the name of their place on the page."""
        return self.session.kept

    def take(self, *payloads: dict | None) -> list[Upload]:
        """Uploaded files, which are deleted."""
        return take(self.page.uploads, *payloads)

    def turn(self) -> AbstractContextManager:
        """A turn to compute; the visitor is told how many come first."""
        progress = gr.Progress()
        key = self.key or secrets.token_hex(8)
        return self.page.turns.turn(key, lambda first: progress(None, desc=f"Waiting: {first} before you"))

    def read(self, photo: bytes, face: int | None = None) -> Subject | Choice:
        """Reads a photo, once per visit; see ``facesep.demo.photos.read``."""
        return self.session.once(photo, lambda data: photos.read(self.sep, data, face), face)

    @functools.cached_property
    def look(self) -> Look:
        """How results are shown; endpoints set it."""
        session, small = self.session, self.kept.setdefault(SMALL, {})
        return Look(session.plain, session.background, self.refine, session.size, small)

    def shown(self, subject: Subject) -> Portrait | Codes:
        """The portrait of a face, fitted if that is switched on."""
        if not self.fit or subject.aligned is None:
            return subject.face
        if subject.fitted is None:
            with self.page.turns.aside():
                return photos.fitted(self.sep, subject)
        return subject.fitted

    def face(self, place: str = FACE, which: str = "a photo") -> Subject:
        """The face at a place of the page, by default the one that all tabs work on.

        Raises:
            ImageError: if there is none yet; ``which`` says in words what is missing.
        """
        found = self.kept.get(place)
        if not isinstance(found, Subject):
            if isinstance(found, Choice):
                raise ImageError("a photo shows several faces: choose one by its number")
            raise ImageError(f"{which} is missing: upload it first (photos are forgotten after a while)")
        return replace(found, face=self.shown(found)) if self.fit else found

    def directions(self) -> tuple[Direction, ...]:
        """The sliders of the visitor's model."""
        return self.page.directions(self.sep)

    def has_face(self) -> bool:
        """Whether there is a face that tabs can work on."""
        return isinstance(self.kept.get(FACE), Subject)

    def picture(self, face: Portrait | Codes, yaw: float | None = None, pitch: float | None = None) -> Path:
        """A picture of a face as a file; see ``facesep.demo.actions.picture``."""
        data = actions.picture(self.sep, face, yaw, pitch, self.look)
        return self.session.write(PICTURE, data)

    def write_codes(self, face: Portrait | Codes, include_identity: bool) -> Path:
        """Codes as a file."""
        path = self.session.new_file(CODES)
        codes = codes_of(face)
        codes.save(path, include_identity=include_identity)
        return path

    def verify(self, upload: Upload) -> Verdict:
        """Looks for the marks of facesep in an uploaded file.

        Raises:
            ImageError: if it is neither a picture nor a video.
            VideoError: if it is a damaged video.
        """
        with self.page.turns.aside():
            if upload.suffix not in SUFFIXES:
                return verify(upload)
            with self.session.file(upload) as path:
                return verify(path)

    def switch(self, name: str) -> None:
        """Chooses a model; faces that the old one read are forgotten, since its codes mean something else.

        Raises:
            ConfigError: for a model that is not offered.
        """
        with self.page.turns.aside():  # it may have to be downloaded
            self.page.models.get(name)
        self.session.model = name
        self.kept.clear()
        self.session.photos.clear()
