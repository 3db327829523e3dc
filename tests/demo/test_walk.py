"""A walk through every tab with the bundled checkpoint, in a window of a desktop and in one of a phone.

``FACESEP_SCREENSHOTS=docs/images/demo pytest tests/demo/test_walk.py`` keeps the pictures of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facesep import FaceSep, provenance

pytest.importorskip("selenium.webdriver")
pytest.importorskip("gradio")
from browser import MARKS, Page, chromium, passing, phone, webcam  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from serving import serve  # noqa: E402

pytestmark = MARKS


@pytest.fixture(scope="module")
def bundled() -> FaceSep:
    return FaceSep.from_pretrained()


@pytest.fixture(scope="module")
def url(bundled, tmp_path_factory) -> Iterator[str]:
    for server in serve(bundled, tmp_path_factory.mktemp("gradio")):
        yield server.url


@pytest.fixture(scope="module")
def driver(photos, tmp_path_factory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("chromium")
    yield from chromium(folder, *webcam(passing(photos[3]), folder / "face.y4m"))


@pytest.fixture(scope="module")
def film(bundled, photos, tmp_path_factory) -> Path:
    """A short video of a face that turns."""
    path = tmp_path_factory.mktemp("film") / "moving.mp4"
    frames = bundled.orbit(bundled.encode(photos[3]), yaw=20, frames=15)
    return provenance.write_video(frames, path, fps=15)


class Walk(Page):
    """What a visitor does on each tab."""

    def photo(self, place: str, path: Path) -> None:
        self.upload(place, path)
        self.until(lambda: any("photo.jpg" in one for one in self.pictures(f"#{place}-photo")))

    def slide(self, name: str, key: str, times: int) -> None:
        slider = self.until(
            lambda: [one for one in self.all(f"#{name} input[type=range]") if one.is_enabled()]
        )[0]
        slider.send_keys(*[key] * times)

    def playing(self, name: str) -> None:
        """Waits for a video, and shows its first frame rather than a moment of it."""
        video = self.until(lambda: self.all(f"#{name} video"))[0]
        self.until(lambda: self.driver.execute_script("return arguments[0].readyState", video) >= 3)
        self.driver.execute_script("arguments[0].pause(); arguments[0].currentTime = 0", video)

    def transfer(self, photos: list[Path], film: Path) -> None:
        self.photo("face", photos[0])  # once, for all tabs
        self.photo("donor", photos[1])
        self.click("#attributes input[name=hair]")
        self.click("#transfer-button")
        self.until(lambda: len(self.pictures("#result")) == 2)
        self.click("#result-difference-wanted input")
        self.until(lambda: self.pictures("#result-difference"))

    def mix(self, photos: list[Path], film: Path) -> None:
        for place, photo in (("mix1", photos[1]), ("mix2", photos[2])):
            self.photo(place, photo)
        self.click("#mix-button")
        self.until(lambda: len(self.pictures("#mixed")) == 2)

    def turn(self, photos: list[Path], film: Path) -> None:
        self.until(lambda: self.pictures("#turned"))
        self.all("#turned [role=img]")[0].send_keys(*[Keys.ARROW_RIGHT] * 6)
        self.until(lambda: self.pictures("#turned")[0].startswith("data:image/jpeg"))
        self.until(lambda: self.pictures("#turned")[0].startswith("data:image/png"))
        self.click("#orbit-button")
        self.playing("video")

    def edit(self, photos: list[Path], film: Path) -> None:
        first = self.until(lambda: self.pictures("#edited"))
        self.slide("edit-expression-2", Keys.ARROW_RIGHT, 20)
        self.until(lambda: self.pictures("#edited") not in ([], first))

    def drive(self, photos: list[Path], film: Path) -> None:
        self.click("#live-start")
        self.until(lambda: self.pictures("#live") and "frames a second" in self.text("#live-note"))
        self.until(lambda: self.all("#drive-video input[type=file]"))[0].send_keys(str(film))
        self.until(lambda: "15 frames" in self.text("#drive-video-note"))
        self.click("#drive-button")
        self.playing("driven")
        self.driver.execute_script("window.facesepLive.stop()")

    def look_inside(self, photos: list[Path], film: Path) -> None:
        self.until(lambda: self.pictures("#inside-points") and self.pictures("#inside-head"))
        self.until(lambda: len(self.all("#inside-report svg")) == 7)

    def verify(self, photos: list[Path], film: Path) -> None:
        self.until(lambda: self.all("#verify-file input[type=file]"))[0].send_keys(str(film))
        self.until(lambda: "Made by facesep" in self.text("#verdict"))


SMALL = """
const kinds = "button:not([tabindex='-1']), a[download], input[type=range], input[type=checkbox]";
return [...document.querySelectorAll(kinds)].filter(one => {
    const {width, height} = (one.closest("label") || one).getBoundingClientRect();
    return one.checkVisibility({visibilityProperty: true}) && width && (width < 40 || height < 40);
}).map(one => one.outerHTML.slice(0, 150));
"""
"""What is too small for a thumb."""


@pytest.mark.parametrize("window", ["desktop", "phone"])
def test_every_tab_works_and_fits(driver, url, photos, film, tmp_path, window, capfd):
    folder = Path(os.environ.get("FACESEP_SCREENSHOTS") or tmp_path).resolve()
    with phone(driver, 390) if window == "phone" else contextlib.nullcontext():
        walk = Walk(driver, url)
        walk.consent()
        for tab in ("Transfer", "Mix", "Turn", "Edit", "Drive", "Look inside", "Verify"):
            walk.tab(tab)
            name = tab.lower().replace(" ", "_")
            getattr(walk, name)(photos, film)
            wide, seen = driver.execute_script(
                "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            assert wide <= seen, tab
            if window == "phone":
                assert not driver.execute_script(SMALL), tab
            walk.screenshot(folder / f"{window}-{name}.webp")
    severe = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    # Photos are deleted when they were read, which may be before the page has shown them.
    severe = [
        line for line in severe if not ("/file=" in line and ("404" in line or "LENGTH_MISMATCH" in line))
    ]
    assert not severe
    assert "Traceback" not in capfd.readouterr().err  # of the server
