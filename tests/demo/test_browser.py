"""The page in a real Chromium: consent, each tab, downloads, the keyboard, the switch for refinement."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from facesep import FaceSep, provenance
from facesep.codes import Codes
from facesep.config import preset
from facesep.demo.examples import EXAMPLES, FOLDER

pytest.importorskip("selenium.webdriver")
pytest.importorskip("gradio")
from browser import MARKS, Page, chromium, phone  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from serving import as_shown, serve  # noqa: E402

from facesep.demo import ui  # noqa: E402

pytestmark = MARKS
TABS = tuple(title for title, _ in ui.TABS.values())


@pytest.fixture(scope="module")
def url(sep, tmp_path_factory) -> Iterator[str]:
    for server in serve(sep, tmp_path_factory.mktemp("gradio")):
        yield server.url


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Iterator[Any]:
    yield from chromium(tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def page(driver, url) -> Page:
    return Page(driver, url)


def test_nothing_can_be_done_before_consent(page):
    assert page.all("input[type=file]") == []
    assert not page.until(lambda: page.all("#transfer-button"))[0].is_enabled()
    page.consent()
    assert page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    page.click("#consent input")
    assert page.until(lambda: page.all("input[type=file]") == [])
    assert page.until(lambda: not page.all("#transfer-button")[0].is_enabled())


def test_transfer_turn_and_play(page, sep, photos):
    page.consent()
    for place, photo in (("source", photos[0]), ("donor", photos[1])):
        page.upload(place, photo)
        page.until(lambda place=place: any("photo.jpg" in one for one in page.pictures(f"#{place}-photo")))
    page.click("#transfer-button")
    first = page.until(lambda: page.pictures("#result"))
    assert len(first) == 2 and first[0].endswith("/photo.jpg") and first[1].endswith("/facesep.png")

    page.click("#attributes input[name=hair]")  # a change of the options renders again
    second = page.until(lambda: [one for one in page.pictures("#result") if one not in first])
    assert second[-1].endswith("/facesep.png")
    page.click("#result-download")
    saved = page.until(lambda: list(page.driver.downloads.glob("facesep*.png")))
    base, donor = sep.portrait(photos[0]), sep.portrait(photos[1])
    expected = provenance.encode(as_shown(sep, base.swap(donor, ["expression", "hair"])))
    assert saved[0].read_bytes() == expected

    page.click("#result-turn")
    turned = page.until(lambda: page.pictures("#turned"))
    page.until(lambda: page.all("#yaw input[type=range]"))[0].send_keys(*[Keys.ARROW_RIGHT] * 5)
    page.until(lambda: page.pictures("#turned") not in ([], turned))

    page.click("#orbit-button")
    video = page.until(lambda: page.all("#video video"))[0]
    state = "return arguments[0].readyState"
    page.until(lambda: page.driver.execute_script(state, video) >= 3)
    page.driver.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    times = "return [arguments[0].currentTime, arguments[0].duration, arguments[0].videoWidth]"
    page.until(lambda: page.driver.execute_script(times, video)[0] > 0.3)
    _, duration, width = page.driver.execute_script(times, video)
    assert duration == pytest.approx(2.0, abs=0.1)
    assert width == pytest.approx(as_shown(sep, base).width, abs=1)  # videos have even sides
    severe = [line["message"] for line in page.driver.get_log("browser") if line["level"] == "SEVERE"]
    assert not severe


def test_the_page_fits_a_phone(driver, url):
    with phone(driver, 360):
        page = Page(driver, url)
        page.until(lambda: page.all("#examples img"))
        page.consent()
        for tab in TABS:
            page.tab(tab)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 360, tab


def test_the_page_asks_no_other_host(driver, url):
    driver.get_log("performance")
    Page(driver, url).consent()
    sent = [json.loads(line["message"])["message"] for line in driver.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"}
    assert any(one.startswith(url) for one in asked)
    assert not [one for one in asked if not one.startswith((url, "data:", "blob:", "chrome:"))]


def test_an_example_runs_on_a_click(page):
    page.click("#examples tbody tr")
    page.until(lambda: "tick the box" in page.text())  # only with consent
    page.consent()
    page.click("#examples tbody tr")
    assert len(page.until(lambda: page.pictures("#result"))) == 2
    for place in ("source", "donor"):
        assert page.until(lambda place=place: page.pictures(f"#{place}-photo"))


def test_problems_are_written_below_the_photo(page, tmp_path):
    page.consent()
    path = tmp_path / "text.png"
    path.write_text("hello")
    page.upload("source", path)
    page.until(lambda: "not a picture" in page.text("#source-note"))
    assert page.until(lambda: page.all("#source-photo input[type=file]"))  # ready for another photo
    page.click("#transfer-button")
    page.until(lambda: "The first photo is missing" in page.text())


def test_one_of_several_faces_is_chosen_by_number(page, group, tmp_path):
    page.consent()
    page.tab("Turn")
    path = tmp_path / "group.png"
    path.write_bytes(group)
    page.upload("turn", path)
    page.until(lambda: "2 faces" in page.text("#turn-note"))
    page.until(lambda: page.pictures("#turn-photo"))
    assert page.pictures("#turned") == []
    page.click("#turn-face label:nth-of-type(2) input")
    first = page.until(lambda: page.pictures("#turned"))
    page.click("#turn-face label:nth-of-type(1) input")
    assert page.until(lambda: page.pictures("#turned") not in ([], first))


@pytest.mark.parametrize("several", [False, True])
def test_a_lying_photo_is_turned_by_one_button(page, photos, group, tmp_path, several):
    page.consent()
    page.tab("Turn")
    path = tmp_path / "lying.png"
    photo = Image.open(io.BytesIO(group) if several else photos[0]).convert("RGB")
    photo.transpose(Image.ROTATE_180).save(path)
    page.upload("turn", path)
    page.until(lambda: "upside down" in page.text("#turn-note"))
    assert "Turn the photo" in page.text("#turn-note") and "upright" not in page.text("#turn-note")
    assert page.pictures("#turned") == []
    page.click("#turn-upright")
    if several:
        page.until(lambda: "2 faces" in page.text("#turn-note"))
        page.click("#turn-face label:nth-of-type(2) input")
    page.until(lambda: page.pictures("#turned"))
    assert "upside down" not in page.text("#turn-note")
    assert any("photo.jpg" in one for one in page.pictures("#turn-photo"))
    assert not [one for one in page.all("#turn-upright") if one.is_displayed()]


def test_mix_takes_from_two_others(page, sep, photos):
    page.consent()
    page.tab("Mix")
    for place, photo in zip(("mix", "mix1", "mix2"), photos, strict=False):
        page.upload(place, photo)
        page.until(lambda place=place: any("photo.jpg" in one for one in page.pictures(f"#{place}-photo")))
    page.click("#mix-button")
    page.until(lambda: len(page.pictures("#mixed")) == 2)
    page.click("#mixed-download")
    codes = [sep.portrait(path) for path in photos[:3]]
    expected = provenance.encode(as_shown(sep, codes[0].mix(hair=codes[1], illumination=codes[2])))
    assert page.until(lambda: page.saved(expected))
    page.click("#mixed-difference-wanted input")
    page.until(lambda: page.pictures("#mixed-difference"))


def test_sliders_start_at_the_face_and_move_it(page, photos):
    page.consent()
    page.tab("Edit")
    assert not page.until(lambda: page.all("#edit-expression-1 input[type=range]"))[0].is_enabled()
    page.upload("edit", photos[0])
    first = page.until(lambda: page.pictures("#edited"))
    slider = page.until(
        lambda: [one for one in page.all("#edit-expression-1 input[type=range]") if one.is_enabled()]
    )[0]
    start = slider.get_attribute("value")
    slider.send_keys(*[Keys.ARROW_RIGHT] * 8)
    page.until(lambda: page.pictures("#edited") not in ([], first))
    page.click("#edit-reset")
    page.until(lambda: page.all("#edit-expression-1 input[type=range]")[0].get_attribute("value") == start)
    page.click("#edited-turn")
    assert page.until(lambda: page.pictures("#turned"))


def test_a_face_is_shown_from_inside(page, sep, photos):
    page.consent()
    page.tab("Look inside")
    page.upload("inside", photos[0])
    page.until(lambda: page.pictures("#inside-points") and page.pictures("#inside-head"))
    page.until(lambda: len(page.all("#inside-report svg")) == 7)
    assert "Pixels between the eyes" in page.text("#inside-report")
    page.click("#inside-prepare")
    page.until(lambda: "tick the box" in page.text())
    page.click("#inside-keep input")
    page.click("#inside-prepare")
    page.click("#inside-download")
    saved = page.until(lambda: list(page.driver.downloads.glob("facesep-codes*.safetensors")))
    assert torch.equal(Codes.load(saved[0]).vector(), sep.encode(photos[0]).vector())


def test_a_file_is_verified(page, sep, photos, tmp_path):
    page.tab("Verify")  # no consent is needed: no face is read
    unmarked, picture, video = photos[0], tmp_path / "result.png", tmp_path / "result.mp4"
    codes = sep.encode(photos[0])
    picture.write_bytes(provenance.encode(sep.render(codes)))
    provenance.write_video(sep.orbit(codes, frames=3), video)
    made = "Made by facesep"
    for file, words in ((picture, made), (unmarked, "proves nothing"), (video, made)):
        page.until(lambda: page.all("#verify-file input[type=file]"))[0].send_keys(str(file))
        page.until(lambda words=words: words in page.text("#verdict"))
        others = {made, "proves nothing"} - {words}
        assert not any(other in page.text("#verdict") for other in others), file.name


def test_a_video_is_read_and_deleted(page, photos, tmp_path):
    from facesep.images import load_image
    from facesep.video import write_video

    page.consent()
    page.tab("Drive")
    path = write_video([load_image(photos[1])] * 6, tmp_path / "moving.mp4", 10)
    page.upload("drive", photos[0])
    page.until(lambda: any("photo.jpg" in one for one in page.pictures("#drive-photo")))
    page.until(lambda: page.all("#drive-video input[type=file]"))[0].send_keys(str(path))
    page.until(lambda: "9 frames (0.6 s)" in page.text("#drive-video-note"))
    assert page.all("#drive-video video") == []
    page.click("#drive-button")
    video = page.until(lambda: page.all("#driven video"))[0]
    page.until(lambda: page.driver.execute_script("return arguments[0].readyState", video) >= 2)
    length = page.driver.execute_script("return arguments[0].duration", video)
    assert length == pytest.approx(0.6, abs=0.05)


class Keyboard:
    """Uses the page without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        self.page.driver.switch_to.active_element.send_keys(*keys)

    def place(self) -> str:
        """What has the focus: the name of its part of the page, and what is written on it."""
        script = """
            const here = document.activeElement, part = here.closest("[id]");
            return (part ? part.id : "") + " " + (here.innerText || "");
        """
        return " ".join(self.page.driver.execute_script(script).split())

    def walk(self, goal: str) -> list[str]:
        """Presses the tab key until something has the focus; gives the places on the way."""
        seen = []
        while not (seen and goal in seen[-1]):
            self.press(Keys.TAB)
            seen.append(self.place())
            assert len(seen) < 60, f"{goal} cannot be reached: {seen}"
        return seen


@pytest.fixture
def keyboard(page) -> Keyboard:
    page.driver.execute_script("document.querySelector('#consent input').focus()")
    return Keyboard(page)


def test_the_page_works_by_keyboard(page, keyboard):
    keyboard.press(Keys.SPACE)
    page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    seen = keyboard.walk("transfer-button")
    order = ["Transfer", "Verify", "source-photo", "donor-photo", "attributes", "transfer-button"]
    places = [next(i for i, one in enumerate(seen) if name in one) for name in order]
    assert places == sorted(places), seen
    keyboard.press(Keys.ENTER)
    page.until(lambda: "The first photo is missing" in page.text())


def test_an_example_runs_by_keyboard(page, keyboard):
    keyboard.press(Keys.SPACE)
    page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    keyboard.walk("examples")
    keyboard.press(Keys.ENTER)
    page.until(lambda: len(page.pictures("#result")) == 2)
    page.driver.execute_script("document.querySelector('#attributes input').focus()")
    first = page.pictures("#result")
    keyboard.press(Keys.SPACE)  # takes the shape, too
    page.until(lambda: page.pictures("#result") not in ([], first))


def test_tabs_and_sliders_work_by_keyboard(page, photos, keyboard):
    keyboard.press(Keys.SPACE)
    page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    keyboard.walk("Turn")
    keyboard.press(Keys.ENTER)
    page.upload("turn", photos[0])  # a dialog of the system, which this browser does not show
    first = page.until(lambda: page.pictures("#turned"))
    keyboard.walk("orbit-button")
    for _ in range(20):
        keyboard.press(Keys.SHIFT + Keys.TAB)
        if page.driver.execute_script("return document.activeElement.closest('#yaw') !== null"):
            break
    keyboard.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.pictures("#turned") not in ([], first))


def test_without_a_refiner_the_switch_says_how_to_get_one(page):
    (switch,) = page.until(lambda: page.all("#refine input"))
    page.consent()
    assert not switch.is_enabled() and not switch.is_selected()
    said = page.text("#refine")
    assert "not available" in said and "downloads nothing" in said and "docs/refinement.md" in said


@pytest.fixture
def refining(tmp_path) -> Iterator[tuple[str, FaceSep]]:
    """Address of a page whose model has a refiner, and the model."""
    pytest.importorskip("diffusers")
    from tiny_refiner import tiny_refiner

    torch.manual_seed(0)
    sep = FaceSep(preset("tiny"))
    sep.refiner = tiny_refiner()
    for server in serve(sep, tmp_path):
        yield server.url, sep


def results_follow(page: Page, switch: str, before: bytes, after: bytes) -> None:
    """The first example gives one file, and the other one after a click on a switch."""
    page.click("#examples tbody td")
    first = page.until(lambda: page.pictures("#result"))
    page.click("#result-download")
    assert page.until(lambda: page.saved(before))
    page.click(switch)
    page.click("#transfer-button")
    page.until(lambda: page.pictures("#result") not in ([], first))
    page.click("#result-download")
    assert page.until(lambda: page.saved(after))


def test_a_refiner_is_switched_on_with_its_cost(driver, refining):
    url, sep = refining
    base, donor = (sep.portrait(FOLDER / name) for name in (EXAMPLES[0].source, EXAMPLES[0].donor))
    face = base.swap(donor, EXAMPLES[0].attributes)
    plain, refined = (provenance.encode(one) for one in (as_shown(sep, face), sep.render(face, refine=True)))
    page = Page(driver, url)
    assert re.search(r"about [\d.]+ s more for each picture", page.text("#refine")) and plain != refined
    page.consent()
    results_follow(page, "#refine input", plain, refined)


@pytest.fixture
def bundled(tmp_path) -> Iterator[tuple[str, FaceSep]]:
    """Address of a page with the bundled model, and the model."""
    sep = FaceSep.from_pretrained()
    for server in serve(sep, tmp_path):
        yield server.url, sep


def test_photos_are_fitted_when_switched_on(driver, bundled):
    url, sep = bundled
    names = EXAMPLES[0].source, EXAMPLES[0].donor
    plain, fitted = (
        provenance.encode(as_shown(sep, base.swap(donor, EXAMPLES[0].attributes)))
        for base, donor in ([sep.portrait(FOLDER / name, fit=steps) for name in names] for steps in (0, 20))
    )
    page = Page(driver, url)
    assert re.search(r"about [\d.]+ s a photo", page.text("#fit")) and plain != fitted
    page.consent()
    page.click("#fit input")
    results_follow(page, "#fit input", fitted, plain)


def test_a_link_brings_the_settings(page, photos):
    page.consent()
    page.click("#attributes input[name=hair]")
    page.tab("Turn")
    page.upload("turn", photos[0])
    page.until(lambda: page.pictures("#turned"))
    page.all("#yaw input[type=range]")[0].send_keys(Keys.END)
    page.until(lambda: page.all("#yaw input[type=range]")[0].get_attribute("value") == "60")
    page.click("#share button")
    page.click("#share-button")
    link = page.until(lambda: page.all("#share-link textarea, #share-link input")[0].get_attribute("value"))
    address, _, query = link.partition("?")
    assert page.driver.current_url.startswith(address)
    assert query == "tab=turn&take=expression+hair&yaw=60"

    other = Page(page.driver, link)
    other.until(lambda: other.all("#yaw input[type=range]")[0].is_displayed())  # the tab is open
    assert other.all("#yaw input[type=range]")[0].get_attribute("value") == "60"
    assert not other.all("#consent input")[0].is_selected() and other.pictures("#turn-photo") == []
    other.consent()
    other.tab("Transfer")
    taken = [one.get_attribute("name") for one in other.all("#attributes input") if one.is_selected()]
    assert taken == ["expression", "hair"]
