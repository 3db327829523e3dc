"""How long the page takes: from a photo or a frame of a webcam to the server's answer, and in a browser.

Chromium draws on the same processor as the server computes, which takes a good part of it away.

python tests/demo/measure_page.py                # the bundled checkpoint
python tests/demo/measure_page.py --preset small # random weights of a preset, at its size
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import tempfile
import time
from pathlib import Path

from browser import Page, chromium, passing, webcam
from PIL import Image
from selenium.webdriver.common.keys import Keys
from serving import Server, serve

from facesep import FaceSep
from facesep.config import preset
from facesep.demo import live
from facesep.demo.examples import FOLDER
from facesep.driving import MOVES
from facesep.images import encode_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", help="random weights instead of the bundled checkpoint")
    parser.add_argument("--edits", type=int, default=10, help="edits of each kind")
    args = parser.parse_args()
    sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained()
    photos = sorted(FOLDER.resolve().glob("*.jpg"))
    moving = passing(photos[3])
    print(f"{sep.image_size} pixels, {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as folder:
        for server in serve(sep, Path(folder) / "gradio"):
            for photo in photos[:4]:  # the first one warms up
                print(
                    f"First picture in Turn: {first_answer(server, photo):.2f} s from the photo to the answer"
                )
            for size in live.SIZES:
                answer_live(server, moving, size)
            for driver in chromium(Path(folder), *webcam(moving, Path(folder) / "face.y4m")):
                page = Page(driver, server.url)
                page.consent()
                measure(page, "Turn", "turned", "yaw", photos[1], args.edits)
                measure(page, "Edit", "edited", "edit-expression-1", photos[2], args.edits)
                for size in live.SIZES:
                    measure_live(page, size)


VISITOR = "measuring"


def first_answer(server: Server, photo: Path) -> float:
    """Seconds until the server has read a photo and made its first picture, as the page asks for them."""
    import httpx

    upload, start = server.event("face-photo", "upload"), time.monotonic()
    with photo.open("rb") as file:
        sent = httpx.post(f"{server.url}gradio_api/upload", files={"files": file}, timeout=60)
    payload = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
    assert server.call(upload, [payload, True], VISITOR)["success"]
    followed = next(n for n, one in server.page.fns.items() if one.trigger_after == upload)
    answer = server.call(followed, ["turn", True], VISITOR)
    assert "data:image/png" in str(answer["output"])
    return time.monotonic() - start


def answer_live(server: Server, frames: list[Image.Image], size: int, count: int = 40) -> None:
    """Frames that the server answers one after another."""
    event, taken = server.event("live", "frame"), []
    for number in range(count):
        data = encode_image(frames[number % len(frames)], "jpeg")
        frame, start = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", time.monotonic()
        answer = server.call(event, [frame, list(MOVES), False, size, True], VISITOR)
        assert "data:image/jpeg" in str(answer["output"])
        taken.append(time.monotonic() - start)
    wait = statistics.median(taken)
    print(f"Webcam, {size} pixels: {1 / wait:.1f} frames a second, {1000 * wait:.0f} ms to the answer")


def measure(page: Page, tab: str, result: str, slider: str, photo: Path, edits: int) -> None:
    page.tab(tab)
    start = time.monotonic()
    page.upload("face", photo)
    page.until(lambda: page.pictures(f"#{result}"))
    first = time.monotonic() - start
    handle = page.until(
        lambda: [one for one in page.all(f"#{slider} input[type=range]") if one.is_enabled()]
    )[0]
    page.driver.set_script_timeout(60)
    taken = []
    for number in range(edits + 1):
        before = page.pictures(f"#{result}")
        start = time.monotonic()
        handle.send_keys(Keys.ARROW_RIGHT if number % 2 else Keys.ARROW_LEFT)
        page.driver.execute_async_script(NEW, f"#{result} img", before[-1])
        taken.append(time.monotonic() - start)
        time.sleep(0.3)
    taken = taken[1:]  # the first one warms up
    print(f"{tab}: {statistics.median(taken):.2f} s, at most {max(taken):.2f} s ({edits} edits); ", end="")
    print(f"{first:.2f} s from the photo to its first picture")


def measure_live(page: Page, size: int, seconds: int = 10) -> None:
    """Frames that the page shows of a webcam, and the time from a frame to its picture in the browser."""
    page.tab("Drive")
    page.click("#live-size input")
    page.click(f"#live-size [aria-label='{size} pixels']")
    page.click("#live-start")
    page.until(lambda: page.pictures("#live"))
    time.sleep(2)
    count = "return Number(document.querySelector('#live img').src.split('#')[1])"
    latency = "return Number(document.querySelector('#live [data-latency]').dataset.latency)"
    begin, first, taken = time.monotonic(), page.driver.execute_script(count), []
    while time.monotonic() < begin + seconds:
        time.sleep(0.25)
        taken.append(page.driver.execute_script(latency))
    frames = page.driver.execute_script(count) - first
    rate, wait = frames / (time.monotonic() - begin), statistics.median(taken)
    print(f"Webcam, {size} pixels: {rate:.1f} frames a second, {wait:.0f} ms from a frame to its picture")
    page.click("#live-stop")
    page.until(lambda: page.pictures("#live") == [])


NEW = """
const [selector, before, done] = arguments;
function look() {
    const all = [...document.querySelectorAll(selector)], last = all[all.length - 1];
    const fresh = last && last.src !== before && last.complete && last.naturalWidth;
    if (fresh) done();
    else setTimeout(look, 5);
}
look();
"""
"""Ends when another picture has been loaded."""

if __name__ == "__main__":
    main()
