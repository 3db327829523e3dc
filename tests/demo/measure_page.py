"""How long the page takes to show an edit: from a key pressed in Chromium to the new picture on the screen.

python tests/demo/measure_page.py                # the bundled checkpoint
python tests/demo/measure_page.py --preset small # random weights of a preset, at its size
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from browser import Page, chromium
from selenium.webdriver.common.keys import Keys
from serving import serve

from facesep import FaceSep
from facesep.config import preset
from facesep.demo.examples import FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", help="random weights instead of the bundled checkpoint")
    parser.add_argument("--edits", type=int, default=10, help="edits of each kind")
    args = parser.parse_args()
    sep = FaceSep(preset(args.preset)) if args.preset else FaceSep.from_pretrained()
    photo = sorted(FOLDER.resolve().glob("*.jpg"))[1]
    with tempfile.TemporaryDirectory() as folder:
        for server in serve(sep, Path(folder) / "gradio"):
            for driver in chromium(Path(folder)):
                page = Page(driver, server.url)
                page.consent()
                print(f"{sep.image_size} pixels, {len(os.sched_getaffinity(0))} cores")
                measure(page, "Turn", "turn", "turned", "yaw", photo, args.edits)
                measure(page, "Edit", "edit", "edited", "edit-expression-1", photo, args.edits)


def measure(page: Page, tab: str, place: str, result: str, slider: str, photo: Path, edits: int) -> None:
    page.tab(tab)
    start = time.monotonic()
    page.upload(place, photo)
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
