"""Two processes behind nginx as docs/demo.md says: visits stay with one; where they do not, they are told."""

from __future__ import annotations

import asyncio
import functools
import io
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")
from browser import MARKS, Page, chromium
from gradio_client import Client, handle_file
from PIL import Image
from visiting import RefusedError, Visitor, addresses
from workers import NGINX, behind_nginx, started

from facesep.demo.strangers import UNKNOWN

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not NGINX, reason="needs nginx")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def pages(sep, folder) -> Iterator[list]:
    sep.save_pretrained(folder / "tiny")
    cores = os.sched_getaffinity(0)
    with started(folder, [cores, cores], FACESEP_CHECKPOINT=str(folder / "tiny")) as running:
        yield running


@pytest.fixture
def address(pages, tmp_path) -> Iterator[str]:
    with behind_nginx(tmp_path, [url for url, _ in pages]) as url:
        yield url


async def edited(visitor: Visitor, photo: Path) -> None:
    """A visit from the page to the file of an edited face."""
    await visitor.open()
    await visitor.upload(photo)
    await visitor.tab("edit")
    before = visitor.files
    await visitor.set("edit-shape-1", 2.0)
    assert len(visitor.files) == 2 and visitor.files != before  # what it was, and what it is now
    (download,) = addresses(visitor.values[visitor.ids["edited-download"]])
    assert download.startswith(visitor.url)
    assert Image.open(io.BytesIO(await visitor.fetch(download))).format == "PNG"


def visits(url: str, folder: Path) -> int:
    """How many visits a process has results of."""
    return len(list((folder / url.split(":")[-1].strip("/")).glob("facesep-*")))


async def until_all_are_used(
    pages: list, address: str, folder: Path, photo: Path, stack: AsyncExitStack
) -> dict:
    """Lets visitors in until each process has one; gives one of each by the address of the process."""
    found: dict[str, Visitor] = {}
    for _ in range(20):  # cookies are drawn at random
        before = {url: visits(url, folder) for url, _ in pages}
        visitor = await stack.enter_async_context(Visitor(address))
        await edited(visitor, photo)
        (url,) = [url for url, count in before.items() if visits(url, folder) > count]  # one knows it
        found[url] = visitor
        if len(found) == len(pages):
            return found
    raise AssertionError("all visits went to one process")


def test_a_program_without_cookies_stays_too(address, photos):
    client = Client(address, verbose=False)
    for yaw in (10, 20):
        picture, _ = client.predict(handle_file(str(photos[0])), yaw=yaw, consent=True, api_name="/render")
        assert Image.open(picture).format == "PNG"
    client.close()


@pytest.mark.skipif(MARKS[1].args[0], reason="needs chromium and chromedriver")
def test_who_is_not_kept_together_is_told(pages, photos, tmp_path):
    async def visit(url: str) -> None:
        async with Visitor(url) as visitor:
            await visitor.open()
            await visitor.upload(photos[0])

    def says(page: Page) -> bool:
        return UNKNOWN in page.text()

    def shown(url: str) -> bool:
        for driver in chromium(tmp_path):
            page = Page(driver, url)
            page.consent()
            page.upload("face", photos[0])
            return page.until(functools.partial(says, page))

    with behind_nginx(tmp_path, [url for url, _ in pages], astray=True) as url:
        with pytest.raises(RefusedError) as said:
            asyncio.run(visit(url))
        assert str(said.value) == UNKNOWN
        assert shown(url)


def test_visits_spread_stay_and_go_on_where_a_process_ends(pages, address, folder, photos):
    """The last test: it ends a process."""
    url, process = pages[0]

    async def visit() -> None:
        async with AsyncExitStack() as stack:
            found = await until_all_are_used(pages, address, folder, photos[0], stack)
            cookies = {visitor.http.cookies["facesep"] for visitor in found.values()}
            assert len(cookies) == len(found) and {len(one) for one in cookies} == {32}
            process.kill()
            process.wait()
            visitor = found[url]
            for ask in (("edit-shape-1", "input"), ("turned", "turn")):
                with pytest.raises(RefusedError, match="photo is missing: upload it first"):
                    await visitor.fire(*ask)
            await visitor.upload(photos[0])
            await visitor.set("edit-shape-1", 1.0)
            assert len(visitor.files) == 2

    asyncio.run(visit())
