"""The page in a real Chromium: consent, upload, transfer, turn, play the video."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from facesep import provenance

pytest.importorskip("selenium.webdriver")
from browser import MARKS, Page, chromium, phone  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = MARKS
TABS = ("Transfer", "Mix", "Turn", "Edit", "Drive", "Look inside", "Verify")


@pytest.fixture(scope="module")
def url(sep, tmp_path_factory) -> Iterator[str]:
    pytest.importorskip("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        from facesep.demo import launch_options
        from facesep.demo.ui import build_page

        page = build_page(sep)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        page.close()


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
    page.click("#download")
    saved = page.until(lambda: list(page.driver.downloads.glob("facesep*.png")))
    base, donor = sep.encode(photos[0]), sep.encode(photos[1])
    expected = provenance.encode(sep.render(base.swap(donor, ["expression", "hair"])))
    assert saved[0].read_bytes() == expected

    page.click("#turn-result")
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
    assert duration == pytest.approx(2.0, abs=0.1) and width == 32
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


def test_mix_takes_from_two_others(page, sep, photos):
    page.consent()
    page.tab("Mix")
    for place, photo in zip(("mix", "mix1", "mix2"), photos, strict=False):
        page.upload(place, photo)
        page.until(lambda place=place: any("photo.jpg" in one for one in page.pictures(f"#{place}-photo")))
    page.click("#mix-button")
    page.until(lambda: len(page.pictures("#mixed")) == 2)
    page.click("#mix-download")
    codes = [sep.encode(path) for path in photos[:3]]
    expected = provenance.encode(sep.render(codes[0].mix(hair=codes[1], illumination=codes[2])))
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
    page.click("#edit-turn")
    assert page.until(lambda: page.pictures("#turned"))


def test_a_face_is_shown_from_inside(page, photos):
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
    page.until(lambda: list(page.driver.downloads.glob("facesep-codes*.safetensors")))


def test_a_file_is_verified(page, sep, photos, tmp_path):
    page.tab("Verify")  # no consent is needed: no face is read
    path = tmp_path / "result.png"
    path.write_bytes(provenance.encode(sep.render(sep.encode(photos[0]))))
    for file, words in ((path, "Made by facesep"), (photos[0], "proves nothing")):
        page.until(lambda: page.all("#verify-file input[type=file]"))[0].send_keys(str(file))
        page.until(lambda words=words: words in page.text("#verdict"))


def test_a_video_is_read_and_deleted(page, photos, tmp_path):
    from facesep.images import load_image
    from facesep.video import write_video

    page.consent()
    page.tab("Drive")
    path = write_video([load_image(photos[1])] * 6, tmp_path / "moving.mp4", 10)
    page.upload("drive", photos[0])
    page.until(lambda: any("photo.jpg" in one for one in page.pictures("#drive-photo")))
    page.until(lambda: page.all("#drive-video input[type=file]"))[0].send_keys(str(path))
    page.until(lambda: "6 frames" in page.text("#drive-video-note"))
    page.click("#drive-button")
    video = page.until(lambda: page.all("#driven video"))[0]
    page.until(lambda: page.driver.execute_script("return arguments[0].readyState", video) >= 2)


def test_the_page_works_by_keyboard(page):
    page.driver.execute_script("document.querySelector('#consent input').focus()")
    page.driver.switch_to.active_element.send_keys(Keys.SPACE)
    page.until(lambda: page.all("#transfer-button")[0].is_enabled())
    focused = "return document.activeElement.id || document.activeElement.innerText || ''"
    seen = []
    for _ in range(60):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(page.driver.execute_script(focused).strip())
        if "transfer-button" in seen[-1]:
            break
    assert "transfer-button" in seen[-1], seen
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: "The first photo is missing" in page.text())
