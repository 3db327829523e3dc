"""Links to settings: they come back as they went, hold nothing of a photo, and harm nobody."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")
import gradio as gr

from facesep.demo import photos as reading
from facesep.demo.face import Face
from facesep.demo.links import MIXED, NOTHING, Settings, read, write
from facesep.demo.models import Models
from facesep.demo.page import FACE, Page, Visit
from facesep.demo.sessions import Sessions
from facesep.demo.share import Share
from facesep.demo.tabs.edit import Edit
from facesep.demo.tabs.mix import Mix
from facesep.demo.tabs.transfer import Transfer
from facesep.demo.tabs.turn import Turn
from facesep.moves import GROUPS, PLACES, places

KINDS = {"transfer": Transfer, "mix": Mix, "turn": Turn, "edit": Edit}
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
def made(sep, tmp_path) -> SimpleNamespace:
    """A page with the tabs that hold settings."""
    page = Page(Models(sep, "bundled", ["user/other"]), Sessions(tmp_path), tmp_path)
    with gr.Blocks() as blocks:
        page.consent = gr.Checkbox()
        page.face = Face(page)
        with gr.Tabs() as tabs:
            parts = {}
            for name, kind in KINDS.items():
                with gr.Tab(name, id=name):
                    parts[name] = kind(page)
        share = Share(page, blocks, tabs, gr.Textbox(), gr.Dropdown(), parts)
    return SimpleNamespace(page=page, share=share, **parts)


def visit(made, name: str) -> Visit:
    return made.page.visit(SimpleNamespace(session_hash=name))


def shown(made, visit: Visit, photo) -> tuple[list[float], list[float]]:
    """Reads a photo; gives view and sliders as the page then shows them on two tabs."""
    visit.kept[FACE] = reading.read(visit.sep, photo)
    view = made.turn.start(visit)[:2]
    return list(view), [one.get("value") for one in made.edit.start(visit)[: len(PLACES)]]


def test_a_link_tells_nothing_of_a_photo(made, photos):
    """The same settings give the same link, whosever photo was read, and without one."""
    links = set()
    for number, photo in enumerate(photos):
        visitor = visit(made, f"visit {number}")
        (yaw, pitch), sliders = shown(made, visitor, photo)
        plain = ["transfer", "bundled", ["expression"], 1, *MIXED]
        links.add(made.share.make(visitor, *plain, yaw, pitch, *sliders))
        sliders[1] = sliders[1] + 0.75 if sliders[1] < 2 else sliders[1] - 0.75
        assert "expression2=" in made.share.make(visitor, *plain, yaw, pitch, *sliders)
    links.add(made.share.make(visit(made, "nobody"), *plain, 0, 0, *[0] * len(PLACES)))
    assert links == {"tab=transfer&take=expression"}


def test_a_link_sets_the_page(made, photos):
    anna = visit(made, "anna")
    settings = Settings("turn", "user/other", ("hair",), 0.5, FULL.mix, 20.0, None, {("expression", 1): 0.5})
    opened = made.share.open(anna, "?" + write(settings))
    assert opened[0]["selected"] == "turn"
    assert opened[1:9] == ["turn", "user/other", ["hair"], 0.5, *FULL.mix] and opened[9] == 20.0
    assert anna.session.model == "user/other"
    anna.session.model = None  # nothing is loaded by opening a link
    (yaw, pitch), sliders = shown(made, anna, photos[0])
    own, plain = shown(made, visit(made, "ben"), photos[0])
    assert yaw == 20.0 and pitch == own[1]
    assert sliders[0] == pytest.approx(min(3, plain[0] + 0.5)) and sliders[1:] == plain[1:]
    (yaw, _), sliders = shown(made, anna, photos[0])  # it counts for the first face
    assert yaw == own[0] and sliders == plain


def test_sliders_without_a_move_are_hidden(made, sep, photos):
    """A model may have fewer moves than the page has places, and none for some codes."""
    found = [one for one in sep.moves() if one.attribute in ("shape", "hair")]
    made.page._directions[id(sep)] = tuple(found[1:])
    anna = visit(made, "anna")
    anna.kept[FACE] = reading.read(sep, photos[0])
    sliders = made.edit.start(anna)[: len(PLACES)]
    placed = places(found[1:])
    assert [one["visible"] for one in sliders] == [place in placed for place in PLACES]
    assert {place for place in PLACES if place in placed} == {*places(found)} - {("shape", GROUPS["shape"])}
    names = [one["label"] for one in sliders if one["visible"]]
    assert names == [one.name for one in found[1:]]
    assert len(made.edit.edit(anna, *[one.get("value", 0.0) for one in sliders])) == len(made.edit.remake[2])


def test_a_page_without_a_link_stays_as_it_is(made):
    updates = made.share.open(visit(made, "anna"), "?__theme=dark")
    assert all(one == updates[0] for one in updates) and updates[0]["__type__"] == "update"
    assert "anna" not in made.page.sessions._sessions
