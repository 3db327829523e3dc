"""Visitors of a running page without a browser: what the page's script does, over HTTP, many at a time.

A visitor fetches the page, finds events in its configuration, sends the values of their inputs through the
queue, and fetches the pictures that come back. It keeps cookies and, as long as it stays, the connection by
which the server knows that it is still there.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

CONFIGURATION = re.compile(r"window\.gradio_config = (\{.*?\});</script>", re.DOTALL)
SHOWN = {"image", "imageslider", "video"}
"""Components whose files a browser fetches at once."""


class RefusedError(Exception):
    """The page's answer was a sentence instead of a result."""


class LostError(Exception):
    """There was no answer, or one without a word."""


class Visitor:
    """One visit; ``async with`` opens the page and leaves it.

    Args:
        url: of the page.
        seconds: longest time to wait for anything.

    Attributes:
        values: of the page's components by their number.
        files: what the page showed last, as bytes.
    """

    def __init__(self, url: str, seconds: float = 300.0) -> None:
        self.url, self.key = url.rstrip("/"), secrets.token_hex(6)
        limits = httpx.Limits(max_connections=8)
        self.http = httpx.AsyncClient(base_url=self.url, timeout=seconds, limits=limits, trust_env=False)
        self.values: dict[int, Any] = {}
        self.files: list[bytes] = []

    async def __aenter__(self) -> Visitor:
        return self

    async def __aexit__(self, *_: object) -> None:
        if hasattr(self, "_presence"):
            self._presence.cancel()
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await self._presence
        await self.http.aclose()

    async def open(self) -> None:
        """Fetches the page and agrees to what its box says."""
        answer = await self._get("/")
        config = json.loads(CONFIGURATION.search(answer.text)[1])
        self.types = {one["id"]: one["type"] for one in config["components"]}
        self.ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
        tabs = [one for one in config["components"] if one["type"] == "tabitem"]
        self.ids |= {one["props"]["id"]: one["id"] for one in tabs}
        self.values = {one["id"]: one["props"].get("value") for one in config["components"]}
        self.events = [one for one in config["dependencies"] if one["backend_fn"]]
        self._presence = asyncio.create_task(self._stay())
        self.values[self.ids["consent"]] = True

    async def upload(self, photo: Path) -> None:
        """Gives the page a photo, and waits until it shows what the open tab makes of it."""
        files = {"files": (photo.name, photo.read_bytes())}
        answer = await self.http.post("/gradio_api/upload", files=files)
        if answer.status_code != 200:
            raise RefusedError(answer.text) if answer.text else LostError(f"{answer.status_code}")
        path = answer.json()[0]
        self.values[self.ids["face-photo"]] = {
            "path": path,
            "orig_name": photo.name,
            "meta": {"_type": "gradio.FileData"},
        }
        await self.fire("face-photo", "upload")

    async def tab(self, name: str) -> None:
        """Opens a tab."""
        (chosen,) = (one for one in self.events if self._target(one, "face-back", "click"))
        follow = next(one for one in self.events if one["trigger_after"] == chosen["id"])
        self.values[follow["inputs"][0]] = name
        await self.fire(name, "select")

    async def set(self, slider: str, value: float) -> None:
        """Moves a slider."""
        self.values[self.ids[slider]] = value
        await self.fire(slider, "input")

    async def fire(self, name: str, event: str, *first: Any) -> list[Any]:
        """Lets an event happen, with what follows it; gives its own outputs.

        Args:
            name: ``elem_id`` of a component, or the name of a tab.
            event: such as ``click``.
            first: replaces the values of the first inputs, as the page's script does.

        Raises:
            RefusedError: with the page's sentence.
            LostError: if there was no answer.
        """
        (found,) = (one for one in self.events if self._target(one, name, event))
        self.files = []
        try:
            return await self._run(found, first)
        except httpx.HTTPError as error:
            raise LostError(f"{type(error).__name__}: {error}") from error

    def _target(self, event: dict, name: str, kind: str) -> bool:
        return [self.ids.get(name), kind] in event["targets"]

    async def _run(self, event: dict, first: tuple = ()) -> list[Any]:
        data = [*first, *[self.values[one] for one in event["inputs"][len(first) :]]]
        body = {"data": data, "fn_index": event["id"], "session_hash": self.key, "trigger_id": None}
        joined = await self.http.post("/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            with suppress(ValueError, KeyError):
                raise RefusedError(str(joined.json()["detail"]))
            raise LostError(f"join: {joined.status_code}")
        output = await self._answer(joined.json()["event_id"])
        for number, value in zip(event["outputs"], output, strict=True):
            await self._take(number, value)
        for one in self.events:
            if one["trigger_after"] == event["id"]:
                await self._run(one)
        return output

    async def _answer(self, event: str) -> list[Any]:
        """What the stream of events says of one of them."""
        outcome: Any = LostError("the stream ended without an answer")
        async with self.http.stream("GET", f"/gradio_api/queue/data?session_hash={self.key}") as stream:
            async for line in stream.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed" and message.get("event_id") == event:
                    outcome = message["output"]
                    if not message["success"]:
                        said = outcome.get("error")
                        outcome = RefusedError(said) if said else LostError("an error without a sentence")
                if message.get("msg") == "unexpected_error":
                    # A browser says that the connection was lost, and loads the page anew.
                    lost = message.get("session_not_found") or not message.get("message")
                    raise LostError("no such session") if lost else RefusedError(message["message"])
                if message.get("msg") == "close_stream":
                    break
        if isinstance(outcome, Exception):
            raise outcome
        return outcome["data"]

    async def _take(self, number: int, value: Any) -> None:
        """Puts a value where its component is, and fetches its files."""
        if isinstance(value, dict) and value.get("__type__") == "update":
            if "value" not in value:
                return
            value = value["value"]
        self.values[number] = value
        for address in addresses(value) if self.types[number] in SHOWN else ():
            self.files.append(await self.fetch(address))

    async def fetch(self, address: str) -> bytes:
        """A file of the page."""
        return (await self._get(address)).content

    async def _get(self, address: str) -> httpx.Response:
        try:
            answer = await self.http.get(address)
        except httpx.HTTPError as error:
            raise LostError(f"{type(error).__name__}: {error}") from error
        if answer.status_code != 200:
            raise LostError(f"{address}: {answer.status_code}")
        return answer

    async def _stay(self) -> None:
        async with self.http.stream("GET", f"/gradio_api/heartbeat/{self.key}", timeout=None) as stream:
            async for _ in stream.aiter_lines():
                pass


def addresses(value: Any) -> Iterator[str]:
    """Addresses of all files in what a component holds."""
    if isinstance(value, dict) and isinstance(value.get("url"), str):
        yield value["url"]
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from addresses(one)
