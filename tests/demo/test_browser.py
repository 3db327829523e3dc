"""The page in a real Chromium: consent, each tab, downloads, the keyboard, the switch for refinement."""

from __future__ import annotations

import base64
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
import httpx  # noqa: E402 comes with gradio
from browser import MARKS, Page, chromium, passing, phone, webcam  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from serving import Server, as_shown, in_photo, serve  # noqa: E402

from facesep.demo import ui  # noqa: E402

pytestmark = MARKS
TABS = tuple(title for title, _ in ui.TABS.values())


@pytest.fixture(scope="module")
def server(sep, tmp_path_factory) -> Iterator[Server]:
    yield from serve(sep, tmp_path_factory.mktemp("gradio"))


@pytest.fixture(scope="module")
def url(server) -> str:
    return server.url


@pytest.fixture(scope="module")
def driver(photos, tmp_path_factory) -> Iterator[Any]:
    """Chromium, whose webcam shows a face that moves a little from side to side."""
    folder = tmp_path_factory.mktemp("chromium")
    yield from chromium(folder, *webcam(passing(photos[2]), folder / "face.y4m"))


@pytest.fixture
def page(driver, url) -> Page:
    return Page(driver, url)


def test_nothing_can_be_done_before_consent(page):
    assert page.all("input[type=file]") == []
    said = "return getComputedStyle(document.querySelector(arguments[0]), '::after').content"
    page.until(lambda: page.all("#face-photo .empty") and page.all("#result .empty"))
    assert "Tick the box" in page.driver.execute_script(said, "#face-photo .empty")
    assert "Tick the box" in page.driver.execute_script(said, "#donor-photo .empty")
    assert "appears here" in page.driver.execute_script(said, "#result .empty")
    assert not page.until(lambda: page.all("#transfer-button"))[0].is_enabled()
    page.consent()
    assert page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    page.click("#consent input")
    assert page.until(lambda: page.all("input[type=file]") == [])
    assert page.until(lambda: not page.all("#transfer-button")[0].is_enabled())


def test_transfer_turn_and_play(page, sep, photos):
    page.consent()
    for place, photo in (("face", photos[0]), ("donor", photos[1])):
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
    expected = provenance.encode(in_photo(sep, base.swap(donor, ["expression", "hair"])))
    assert saved[0].read_bytes() == expected

    page.click("#result-turn")  # goes on: all tabs work on the result now
    turned = page.until(lambda: page.pictures("#turned"))
    assert page.until(lambda: page.pictures("#face-photo"))[0].endswith("/facesep.png")
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


def test_a_photo_given_once_is_in_every_tab(page, photos, tmp_path):
    page.consent()
    page.upload("face", photos[0])
    page.tab("Turn")
    page.until(lambda: page.pictures("#turned"))
    page.tab("Edit")
    edited = page.until(lambda: page.pictures("#edited"))
    page.click("#edited-turn")
    turned = page.until(lambda: page.pictures("#turned"))
    page.click("#face-back")
    page.until(lambda: any("photo.jpg" in one for one in page.pictures("#face-photo")))
    page.tab("Look inside")
    first = page.until(lambda: page.pictures("#inside-points"))
    page.upload("face", photos[1])  # old results go
    page.until(lambda: page.pictures("#inside-points") not in ([], first))
    page.tab("Edit")
    assert page.until(lambda: page.pictures("#edited") not in ([], edited))
    page.tab("Turn")
    assert page.until(lambda: page.pictures("#turned") not in ([], turned))
    (tmp_path / "text.png").write_text("hello")
    page.upload("face", tmp_path / "text.png")
    page.until(lambda: "not a picture" in page.text("#face-note"))
    assert page.until(lambda: page.pictures("#turned") == [])


def test_results_stand_on_what_was_chosen(page, sep, photos):
    page.consent()
    page.tab("Edit")
    page.upload("face", photos[0])
    face = sep.portrait(photos[0])
    page.until(lambda: page.pictures("#edited"))
    for choice, label, options in (
        ("background", "Transparent", {"size": 512, "background": "transparent"}),
        ("size", "1024 pixels", {"size": 1024, "background": "transparent"}),
        ("background", "The photo", {"background": "keep"}),
    ):
        page.click(f"#{choice} input")
        page.click(f"#{choice} [aria-label='{label}']")
        wanted = provenance.encode(sep.render(face, **options))
        page.until(lambda wanted=wanted: httpx.get(page.pictures("#edited")[-1]).content == wanted)


KINDS = """
window.kinds = [];
new MutationObserver(() => {
    const image = arguments[0].querySelector("img");
    if (image) window.kinds.push(image.src.slice(5, image.src.indexOf(";")));
}).observe(arguments[0], {childList: true, subtree: true, attributes: true});
"""
"""Writes down what kinds of pictures a stage shows."""


def test_the_head_turns_under_the_pointer_and_by_keys(page, photos):
    page.consent()
    page.tab("Turn")
    page.upload("face", photos[0])
    first = page.until(lambda: page.pictures("#turned"))[0]
    stage = page.all("#turned [role=img]")[0]
    place = "return Number(document.querySelector('#yaw input[type=range]').value)"
    yaw = page.driver.execute_script(place)
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    page.driver.execute_script(KINDS, stage)
    hand = ActionChains(page.driver).move_to_element(stage).click_and_hold()
    hand.move_by_offset(40, 0).move_by_offset(40, 0).perform()
    kinds = "return window.kinds"
    page.until(lambda: "image/jpeg" in page.driver.execute_script(kinds))  # small while it moves
    page.until(lambda: page.driver.execute_script(kinds)[-1] == "image/png")  # and the result at rest
    ActionChains(page.driver).release().perform()
    assert page.until(lambda: page.driver.execute_script(place) > yaw + 10)
    dragged = page.pictures("#turned")[0]
    assert dragged != first
    yaw = page.driver.execute_script(place)
    assert stage.get_attribute("aria-label") and stage.get_attribute("tabindex") == "0"
    stage.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    page.until(lambda: page.driver.execute_script(place) == yaw - 6)
    page.until(lambda: page.pictures("#turned")[0].startswith("data:image/png"))
    page.click("#turned-download")
    wanted = base64.b64decode(page.pictures("#turned")[0].partition(",")[2])
    assert page.until(lambda: page.saved(wanted)) and provenance.verify(wanted).made_by_facesep


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
    for place in ("face", "donor"):
        assert page.until(lambda place=place: page.pictures(f"#{place}-photo"))


def test_problems_are_written_below_the_photo(page, tmp_path):
    page.consent()
    path = tmp_path / "text.png"
    path.write_text("hello")
    page.upload("face", path)
    page.until(lambda: "not a picture" in page.text("#face-note"))
    assert page.until(lambda: page.all("#face-photo input[type=file]"))  # ready for another photo
    page.click("#transfer-button")
    page.until(lambda: "Your photo is missing" in page.text())


def test_one_of_several_faces_is_chosen_by_number(page, group, tmp_path):
    page.consent()
    page.tab("Turn")
    path = tmp_path / "group.png"
    path.write_bytes(group)
    page.upload("face", path)
    page.until(lambda: "2 faces" in page.text("#face-note"))
    page.until(lambda: page.pictures("#face-photo"))
    assert page.pictures("#turned") == []
    page.click("#face-face label:nth-of-type(2) input")
    first = page.until(lambda: page.pictures("#turned"))
    page.click("#face-face label:nth-of-type(1) input")
    assert page.until(lambda: page.pictures("#turned") not in ([], first))


@pytest.mark.parametrize("several", [False, True])
def test_a_lying_photo_is_turned_by_one_button(page, photos, group, tmp_path, several):
    page.consent()
    page.tab("Turn")
    path = tmp_path / "lying.png"
    photo = Image.open(io.BytesIO(group) if several else photos[0]).convert("RGB")
    photo.transpose(Image.ROTATE_180).save(path)
    page.upload("face", path)
    page.until(lambda: "upside down" in page.text("#face-note"))
    assert "Turn the photo" in page.text("#face-note") and "upright" not in page.text("#face-note")
    assert page.pictures("#turned") == []
    page.click("#face-upright")
    if several:
        page.until(lambda: "2 faces" in page.text("#face-note"))
        page.click("#face-face label:nth-of-type(2) input")
    page.until(lambda: page.pictures("#turned"))
    assert "upside down" not in page.text("#face-note")
    assert any("photo.jpg" in one for one in page.pictures("#face-photo"))
    assert not [one for one in page.all("#face-upright") if one.is_displayed()]


def test_mix_takes_from_two_others(page, sep, photos):
    page.consent()
    page.tab("Mix")
    for place, photo in zip(("face", "mix1", "mix2"), photos, strict=False):
        page.upload(place, photo)
        page.until(lambda place=place: any("photo.jpg" in one for one in page.pictures(f"#{place}-photo")))
    page.click("#mix-button")
    page.until(lambda: len(page.pictures("#mixed")) == 2)
    page.click("#mixed-download")
    codes = [sep.portrait(path) for path in photos[:3]]
    expected = provenance.encode(in_photo(sep, codes[0].mix(hair=codes[1], illumination=codes[2])))
    assert page.until(lambda: page.saved(expected))
    page.click("#mixed-difference-wanted input")
    page.until(lambda: page.pictures("#mixed-difference"))


def test_sliders_start_at_the_face_and_move_it(page, photos):
    page.consent()
    page.tab("Edit")
    assert page.all("#edit-expression-1 input[type=range]") == []
    page.upload("face", photos[0])
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
    page.upload("face", photos[0])
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
    page.upload("face", photos[0])
    page.until(lambda: any("photo.jpg" in one for one in page.pictures("#face-photo")))
    page.until(lambda: page.all("#drive-video input[type=file]"))[0].send_keys(str(path))
    page.until(lambda: "9 frames (0.6 s)" in page.text("#drive-video-note"))
    assert page.all("#drive-video video") == []
    page.click("#drive-button")
    video = page.until(lambda: page.all("#driven video"))[0]
    page.until(lambda: page.driver.execute_script("return arguments[0].readyState", video) >= 2)
    length = page.driver.execute_script("return arguments[0].duration", video)
    assert length == pytest.approx(0.6, abs=0.05)


def test_the_webcam_moves_the_face_and_no_frame_is_kept(page, server, photos):
    page.tab("Drive")
    assert not page.until(lambda: page.all("#live-start"))[0].is_enabled()
    page.consent()
    page.upload("face", photos[0])
    page.until(lambda: page.pictures("#face-photo"))
    page.click("#live-start")
    first = page.until(lambda: page.pictures("#live"))
    page.until(lambda: page.pictures("#live") not in ([], first))
    page.until(lambda: re.search(r"[\d.]+ frames a second, \d+ ms", page.text("#live-note")))
    assert "no face" not in page.text("#live-note")
    shown = page.pictures("#live")[0].partition(",")[2].partition("#")[0]
    assert provenance.verify(base64.b64decode(shown)).made_by_facesep
    assert not [path for path in server.files() if path.suffix not in (".jpg", ".png")]
    frame = page.driver.execute_script("return window.facesepFrame")
    assert frame.startswith("data:image/jpeg")
    page.click("#live-stop")
    page.until(lambda: page.pictures("#live") == [] and page.text("#live-note") == "")
    assert page.driver.execute_script("return window.facesepFrame") == ""
    assert page.until(lambda: "data:image/jpeg" not in remembered(server))


def remembered(server: Server) -> str:
    """What gradio remembers of what its visitors' boxes hold."""
    return str([one.config_values for one in server.page.state_holder.session_data.values()])


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
    order = ["face-photo", "Transfer", "Verify", "donor-photo", "attributes", "transfer-button"]
    places = [next(i for i, one in enumerate(seen) if name in one) for name in order]
    assert places == sorted(places), seen
    keyboard.press(Keys.ENTER)
    page.until(lambda: "Your photo is missing" in page.text())


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
    page.upload("face", photos[0])  # a dialog of the system, which this browser does not show
    first = page.until(lambda: page.pictures("#turned"))
    keyboard.walk("orbit-button")
    for _ in range(20):
        keyboard.press(Keys.SHIFT + Keys.TAB)
        if page.driver.execute_script("return document.activeElement.closest('#yaw') !== null"):
            break
    keyboard.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.pictures("#turned") not in ([], first))


def test_without_a_refiner_the_switch_says_how_to_get_one(page):
    page.consent()
    page.click("#more button")
    (switch,) = page.until(lambda: page.all("#refine input"))
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
    plain, refined = (provenance.encode(one) for one in (in_photo(sep, face), sep.render(face, refine=True)))
    page = Page(driver, url)
    page.click("#more button")
    assert (
        page.until(lambda: re.search(r"about [\d.]+ s more for each picture", page.text("#refine")))
        and plain != refined
    )
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
        provenance.encode(in_photo(sep, base.swap(donor, EXAMPLES[0].attributes)))
        for base, donor in ([sep.portrait(FOLDER / name, fit=steps) for name in names] for steps in (0, 20))
    )
    page = Page(driver, url)
    page.click("#more button")
    assert page.until(lambda: re.search(r"about [\d.]+ s a photo", page.text("#fit"))) and plain != fitted
    page.consent()
    page.click("#fit input")
    results_follow(page, "#fit input", fitted, plain)


def test_a_link_brings_the_settings(page, photos):
    page.consent()
    page.click("#attributes input[name=hair]")
    page.tab("Turn")
    page.upload("face", photos[0])
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
    assert not other.all("#consent input")[0].is_selected() and other.pictures("#face-photo") == []
    other.consent()
    other.tab("Transfer")
    taken = [one.get_attribute("name") for one in other.all("#attributes input") if one.is_selected()]
    assert taken == ["expression", "hair"]
