"""A page in Chromium: opens it, finds what is on it, waits, clicks, types, takes pictures of it."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.common.exceptions import (  # noqa: E402
    ElementClickInterceptedException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
PATIENCE = 120.0
"""Seconds to wait for anything; far more than a machine with nothing else to do needs."""


class Page:
    """The open page."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)
        self.until(lambda: self.all("#consent input"))

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Waits for something true and returns it; elements that are not there yet, or no more, are fine."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except (StaleElementReferenceException, IndexError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"waited too long; the page says: {self.text()[:2000]}")

    def text(self, selector: str = "body") -> str:
        return " ".join(element.text for element in self.all(selector))

    def click(self, selector: str) -> None:
        element = self.until(lambda: [one for one in self.all(selector) if one.is_enabled()])[0]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        self.until(lambda: self._try_click(element))

    def _try_click(self, element: Any) -> bool:
        try:
            element.click()
        except ElementClickInterceptedException:  # a message or a moving panel is in the way for a moment
            return False
        return True

    def tab(self, name: str) -> None:
        self.until(lambda: self._try_tab(name))

    def _try_tab(self, name: str) -> bool:
        """Opens a tab, from the menu of those that do not fit if it is there."""
        tabs = [one for one in self.all("button[role=tab]") if one.text.strip() == name]
        if tabs and tabs[0].is_displayed():
            return self._try_click(tabs[0])
        hidden = [one for one in self.all(".overflow-dropdown button") if one.text.strip() == name]
        if hidden and hidden[0].is_displayed():
            return self._try_click(hidden[0])
        for menu in self.all(".overflow-menu > button"):
            self._try_click(menu)
        return False

    def upload(self, place: str, path: Path) -> None:
        self.until(lambda: self.all(f"#{place}-photo input[type=file]"))[0].send_keys(str(path))

    def pictures(self, selector: str) -> list[str]:
        """Addresses of the pictures in a part of the page, once all of them have loaded."""
        images = self.all(f"{selector} img")
        loaded = [self.driver.execute_script("return arguments[0].naturalWidth", one) for one in images]
        return [one.get_attribute("src") for one in images] if images and all(loaded) else []

    def saved(self, data: bytes) -> bool:
        """Whether a file of these bytes was downloaded; those on their way may be renamed meanwhile."""
        for path in self.driver.downloads.iterdir():
            with suppress(FileNotFoundError):
                if path.read_bytes() == data:
                    return True
        return False

    def consent(self) -> None:
        self.click("#consent input")
        self.until(lambda: self.all("#face-photo input[type=file]"))

    def screenshot(self, path: Path) -> None:
        """Writes a WebP picture of the whole page, also of what one would have to scroll to."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot",
            {
                "format": "webp",
                "quality": 70,
                "captureBeyondViewport": True,
                "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
            },
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))


def chromium(folder: Path, *arguments: str) -> Iterator[Any]:
    """For a fixture: Chromium with its profile and its downloads in a folder, and further arguments."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    downloads = folder / "downloads"
    downloads.mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "window-size=1200,1600",
        f"user-data-dir={folder / 'profile'}",
        *arguments,
    ):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(PATIENCE)
    driver.downloads = downloads
    yield driver
    driver.quit()


def webcam(frames: Iterable[Image.Image], path: Path) -> tuple[str, ...]:
    """Arguments by which Chromium takes frames, again and again, for those of a webcam, and asks nobody."""
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            if not number:
                file.write(f"YUV4MPEG2 W{frame.width} H{frame.height} F15:1 Ip A1:1 C420jpeg\n".encode())
            luma, *colour = frame.convert("YCbCr").split()
            file.write(b"FRAME\n" + luma.tobytes() + b"".join(one.reduce(2).tobytes() for one in colour))
    fake = ("use-fake-ui-for-media-stream", "use-fake-device-for-media-stream")
    return (*fake, f"use-file-for-fake-video-capture={path}")


def passing(photo: Path) -> list[Image.Image]:
    """Frames of a face that moves a little from side to side."""
    face = Image.open(photo).convert("RGB").resize((360, 360))
    return [face.crop((20 + x, 60, 340 + x, 300)) for x in (*range(0, 20, 2), *range(20, 0, -2))]


@contextmanager
def phone(driver: Any, width: int = 360) -> Iterator[None]:
    """Gives the window the size of a phone, 360 pixels wide or more."""
    size = {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
