"""Links to settings: they come back as they went, hold nothing of a photo, and harm nobody."""

from __future__ import annotations

import random
import types

import pytest

pytest.importorskip("gradio")
from facesep.demo import actions
from facesep.demo.directions import GROUPS, PLACES
from facesep.demo.handlers import Handlers
from facesep.demo.links import MIXED, NOTHING, Settings, read, write
from facesep.demo.models import Models
from facesep.demo.sessions import Sessions
from facesep.demo.share import Share
from facesep.demo.tabs.edit import Edit

FULL = Settings(
    tab="edit",
    model="user/repo@v1 & more",
    attributes=("expression", "hair"),
    strength=0.55,
    mix=("hair", NOTHING, "rotation", "texture"),
    yaw=-25,
    pitch=7,
    moves={("expression", 2): 1.25, ("hair", 1): -0.5},
)


def test_settings_come_back():
    query = write(FULL)
    assert read(query, ["bundled", FULL.model]) == read("?" + query, [FULL.model]) == FULL
    assert read(write(Settings())) == Settings() and write(Settings()) == ""
    only = Settings(tab="turn", yaw=0.0)
    assert read(write(only)) == only


def test_moves_are_rounded():
    found = read(write(Settings(moves={("shape", 1): 0.9, ("shape", 2): 0.1, ("shape", 3): -0.13})))
    assert found.moves == {("shape", 1): 1.0, ("shape", 3): -0.25}


@pytest.mark.parametrize(
    "query",
    [
        "tab=admin&model=/etc&take=nose&strength=7&mix=hair&yaw=61&pitch=nan&shape1=inf&expression99=1",
        "yaw=1e999&strength=-0.1&pitch=x&tab=&model=&mix=hair+hair+hair+nose&shape2=6.01",
        "\0&&&===%ff%fe;<script>",
        "yaw=1&" * 1000,
        None,
        7,
    ],
)
def test_what_does_not_fit_is_left_out(query):
    assert read(query, ["bundled"]) == Settings()


def test_noise_is_no_setting_out_of_range():
    chance = random.Random(0)
    names = ["yaw", "pitch", "strength", "take", "mix", "tab", *(f"{a}{n}" for a, n in PLACES)]
    values = ["1", "-3", "1e9", "hair", "nothing", "x" * 50, "%00", "0.3", ""]
    for _ in range(300):
        query = "&".join(f"{chance.choice(names)}={chance.choice(values)}" for _ in range(5))
        found = read(query)
        assert found.yaw is None or abs(found.yaw) <= 60
        assert found.strength is None or 0 <= found.strength <= 1.5
        assert all(abs(move) <= 6 for move in found.moves.values())
        assert read(write(found)).attributes == found.attributes


# -- the page ---------------------------------------------------------------------------------------


@pytest.fixture
def handlers(sep, tmp_path) -> Handlers:
    return Handlers(Models(sep, "bundled", ["user/other"]), Sessions(tmp_path), tmp_path)


def visit(name: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(session_hash=name)


def shown(handlers: Handlers, request, photo) -> tuple[list[float], list[float]]:
    """Reads a photo on two tabs; gives view and sliders as the page then shows them."""
    kept = handlers.sessions.get(request.session_hash).kept
    kept["turn"] = kept["edit"] = actions.read_photo(handlers.model(handlers.sessions.get("-")), photo)
    view = handlers.face_to_turn(request)[:2]
    return list(view), [one["value"] for one in Edit(handlers).start(request)[: len(PLACES)]]


def test_a_link_tells_nothing_of_a_photo(handlers, photos):
    """The same settings give the same link, whosever photo was read, and without one."""
    share, links = Share(handlers), set()
    for number, photo in enumerate(photos):
        request = visit(f"visit {number}")
        (yaw, pitch), sliders = shown(handlers, request, photo)
        plain = ["transfer", "bundled", ["expression"], 1, *MIXED]
        links.add(share.make(request, *plain, yaw, pitch, *sliders))
        sliders[1] = sliders[1] + 0.75 if sliders[1] < 2 else sliders[1] - 0.75
        assert "expression2=" in share.make(request, *plain, yaw, pitch, *sliders)
    links.add(share.make(visit("nobody"), *plain, 0, 0, *[0] * len(PLACES)))
    assert links == {"tab=transfer&take=expression"}


def test_a_link_sets_the_page(handlers, photos):
    share, request = Share(handlers), visit("anna")
    settings = Settings("turn", "user/other", ("hair",), 0.5, FULL.mix, 20.0, None, {("expression", 1): 0.5})
    opened = share.open("?" + write(settings), request)
    assert opened[0]["selected"] == "turn"
    assert opened[1:9] == ["turn", "user/other", ["hair"], 0.5, *FULL.mix] and opened[9] == 20.0
    session = handlers.sessions.get("anna")
    assert session.model == "user/other"
    session.model = None  # nothing is loaded by opening a link
    (yaw, pitch), sliders = shown(handlers, request, photos[0])
    own, plain = shown(handlers, visit("ben"), photos[0])
    assert yaw == 20.0 and pitch == own[1]
    assert sliders[0] == pytest.approx(min(3, plain[0] + 0.5)) and sliders[1:] == plain[1:]
    (yaw, _), sliders = shown(handlers, request, photos[0])  # it counts for the first face
    assert yaw == own[0] and sliders == plain
    assert len(plain) == sum(GROUPS.values())


def test_a_page_without_a_link_stays_as_it_is(handlers):
    updates = Share(handlers).open("?__theme=dark", visit("anna"))
    assert all(one == updates[0] for one in updates) and updates[0]["__type__"] == "update"
    assert "anna" not in handlers.sessions._sessions
