"""All visitors' pictures are computed in one thread, except what would hold others up."""

from __future__ import annotations

import contextvars
import threading

import pytest

from facesep.demo import actions, photos
from facesep.demo.computing import beside, compute, computed
from facesep.demo.examples import FOLDER
from facesep.demo.turns import Turns
from facesep.errors import FaceError


@computed
def here() -> int:
    return threading.get_ident()


def test_requests_in_many_threads_compute_in_one():
    found = []
    threads = [threading.Thread(target=lambda: found.append(here())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and found[0] not in {threading.get_ident(), *(t.ident for t in threads)}


def test_what_computes_may_call_what_computes():
    assert compute(lambda: (here(), threading.get_ident())) == (here(), here())


def test_what_takes_long_stays_in_its_own_thread():
    with Turns().aside():
        assert here() == threading.get_ident()
    with beside():
        assert here() == threading.get_ident()
    assert here() != threading.get_ident()


def test_generators_go_on_step_by_step_and_end_when_they_are_left():
    ended = []

    @computed
    def steps():
        try:
            for _ in range(3):
                yield threading.get_ident()
        finally:
            ended.append(threading.get_ident())

    assert list(steps()) == [here()] * 3
    for _ in steps():
        assert here() != threading.get_ident()  # others compute between two steps
        break
    assert ended == [here()] * 2


def test_errors_and_the_context_of_a_request_come_along():
    visitor = contextvars.ContextVar("visitor", default="nobody")
    visitor.set("anna")
    assert compute(visitor.get) == "anna"

    @computed
    def fails():
        raise FaceError("no face")

    with pytest.raises(FaceError, match="no face"):
        fails()


def test_photos_and_pictures_are_computed_there(sep, monkeypatch):
    seen = set()
    for name in ("align", "portrait", "render"):
        function = getattr(sep, name)

        def spied(*args, function=function, **kwargs):
            seen.add(threading.get_ident())
            return function(*args, **kwargs)

        monkeypatch.setattr(sep, name, spied)
    subject = photos.read(sep, sorted(FOLDER.glob("*.jpg"))[0])
    actions.preview(sep, subject.face, actions.Look())
    assert seen == {here()}
