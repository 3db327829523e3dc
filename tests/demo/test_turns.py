"""Pictures go before frames, visitors in turn, and no turn is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from facesep.demo.turns import PATIENCE, SHARE, Turns


class Room:
    """Turns with a clock of the test's own, and what happened in which order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = Turns(lambda: self.now)
        self.done: list[str] = []
        self.threads: list[threading.Thread] = []

    def start(self, function: Callable[[], None]) -> None:
        """Runs something in a thread of its own, until it waits."""
        thread = threading.Thread(target=function, daemon=True)
        waiting = len(self.turns._waiting)
        thread.start()
        self.threads.append(thread)
        until(lambda: len(self.turns._waiting) > waiting)

    def ask(self, visitor: str, name: str) -> None:
        """Asks for a turn in which ``name`` is written down."""

        def run() -> None:
            with self.turns.turn(visitor):
                self.done.append(name)

        self.start(run)

    def film(self, visitor: str, frames: int) -> None:
        def run() -> None:
            with self.turns.turn(visitor):
                for number in range(frames):
                    self.done.append(f"{visitor}{number}")
                    self.turns.pause()

        self.start(run)

    def end(self) -> list[str]:
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.done


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_visitors_come_in_turn():
    room = Room()
    with room.turns.turn("nobody"):
        for number in range(4):
            room.ask("anna", f"anna{number}")
        room.now = 1.5 * SHARE
        room.ask("ben", "ben")
    assert room.end() == ["anna0", "anna1", "ben", "anna2", "anna3"]


def test_a_picture_goes_before_the_next_frame():
    room = Room()
    with room.turns.turn("nobody"):
        room.film("film", 3)
        room.now = 0.1
        room.ask("anna", "picture")
    assert room.end() == ["film0", "picture", "film1", "film2"]


def test_a_frame_that_waited_for_long_goes_before_new_pictures():
    room = Room()

    def crowd() -> None:
        with room.turns.turn("crowd"):
            room.now = PATIENCE + 0.1  # by now the frame has waited for longer than others need to
            room.ask("anna", "late")

    with room.turns.turn("nobody"):
        room.film("film", 2)
        room.start(crowd)
    assert room.end() == ["film0", "film1", "late"]


def test_many_films_are_no_more_in_the_way_than_one():
    """The second film's frame waits twice as long: together they get a turn a second."""
    room = Room()

    def crowd() -> None:
        with room.turns.turn("crowd"):
            room.now = 1.5 * PATIENCE
            room.ask("anna", "picture")

    with room.turns.turn("nobody"):
        room.film("a", 2)
        room.film("b", 2)
        room.start(crowd)
    assert room.end() == ["a0", "b0", "a1", "picture", "b1"]


def test_two_films_share():
    room = Room()
    with room.turns.turn("nobody"):
        room.film("a", 3)
        room.film("b", 3)
    assert room.end() == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_what_goes_on_aside_holds_nobody_up():
    room, begun, ended = Room(), threading.Event(), threading.Event()

    def long() -> None:
        with room.turns.turn("long"), room.turns.aside():
            begun.set()
            ended.wait(20)
            room.done.append("long")

    thread = threading.Thread(target=long, daemon=True)
    thread.start()
    assert begun.wait(20)
    with room.turns.turn("anna"):
        room.done.append("picture")
    ended.set()
    thread.join(20)
    assert room.done == ["picture", "long"]
    with room.turns.turn("anna"):  # the turn was given back
        pass


def test_who_gives_up_leaves_no_gap():
    turns = Turns()

    def give_up(first: int) -> None:
        assert first == 0
        raise KeyError("stopped")

    caught = []

    def wait() -> None:
        with pytest.raises(KeyError), turns.turn("ben", give_up):
            caught.append("never")

    with turns.turn("anna"):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive() and not caught
    with turns.turn("ben"):
        turns.pause()
    assert not turns._asked and turns._holder is None


def test_pausing_without_a_turn_changes_nothing():
    turns = Turns()
    turns.pause()
    with turns.aside():
        pass
    with turns.turn("anna"):
        pass
