"""Runs the page on a free port, and ways to talk to it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facesep import FaceSep
from facesep.demo.actions import IN_PHOTO
from facesep.demo.examples import FOLDER
from facesep.demo.limits import SIZES
from facesep.demo.models import Models
from facesep.detail import Portrait
from facesep.video import write_video


def as_shown(sep: FaceSep, face: Portrait, **view: float) -> Image.Image:
    """A face as the endpoints show it, and the page on white."""
    return sep.render(face, size=SIZES[0], **view)


def in_photo(sep: FaceSep, face: Portrait) -> Image.Image:
    """A face as the page shows it at first: in its photo, which is not larger than the page shows it."""
    assert max(face.frames[0].photo.size) <= IN_PHOTO * SIZES[0]
    return sep.render(face, background="keep")


@dataclass
class Server:
    """The page on a free port of this machine.

    Attributes:
        url: its address.
        folder: where gradio keeps files.
        connected: hosts that the process connected to.
        page: the gradio.Blocks.
    """

    url: str
    folder: Path
    connected: list[str]
    page: Any

    def files(self) -> list[Path]:
        """All files that visitors or results left."""
        # Not rglob: it fails when the server deletes a folder meanwhile.
        found = [Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names]
        return [path for path in found if path.is_file()]

    def event(self, element: str, name: str) -> int:
        """The number of what the page runs at an event of an element."""
        return next(
            number
            for number, function in self.page.fns.items()
            for where, what in function.targets
            if what == name and self.page.blocks[where].elem_id == element
        )

    def call(self, name: str | int, data: list[Any], visitor: str) -> dict[str, Any]:
        """Sends raw values to a named endpoint, as no well-behaved client would, and gives its last word.

        What the page runs at its events is called by number.
        """
        import httpx

        index = name
        if isinstance(name, str):
            index = next(fn._id for fn in self.page.fns.values() if fn.api_name == name)
        body = {"data": data, "fn_index": index, "session_hash": visitor}
        joined = httpx.post(f"{self.url}gradio_api/queue/join", json=body, timeout=120)
        if joined.status_code != 200:
            return {"success": False, "output": joined.json()}
        address = f"{self.url}gradio_api/queue/data?session_hash={visitor}"
        with httpx.stream("GET", address, timeout=120) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the server said nothing")


def serve(sep: FaceSep | Models, folder: Path) -> Iterator[Server]:
    """For a fixture: the page with its files in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        from facesep.demo import launch_options
        from facesep.demo.ui import build_page

        connected, connect = [], socket.socket.connect

        def recorded(self, address):
            connected.append(str(address[0]))
            return connect(self, address)

        patch.setattr(socket.socket, "connect", recorded)
        page = build_page(sep)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        try:
            yield Server(url, folder, connected, page)
        finally:
            page.close()


def connect(server: Server) -> Any:
    """A client of its own session."""
    from gradio_client import Client

    return Client(server.url, verbose=False, httpx_kwargs={"timeout": 120})


def refused(client: Any, *arguments: Any, api_name: str = "/transfer", **options: Any) -> str:
    """The message of a call that must be refused."""
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as caught:
        client.predict(*arguments, api_name=api_name, **options)
    return str(caught.value)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits for something true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def what_endpoints_take(client: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Arguments of each endpoint whose result is a picture or a video; a video is written to ``folder``."""
    from gradio_client import handle_file

    first, second = sorted(FOLDER.glob("*.jpg"))[:2]
    photo, other = handle_file(str(first)), handle_file(str(second))
    name = client.predict(photo, consent=True, api_name="/sliders")[0][0]["name"]
    with Image.open(first) as face:
        write_video([face.convert("RGB")] * 2, folder / "moving.mp4", 15)
    return {
        "transfer": {"source": photo, "donor": other, "attributes": ["hair"]},
        "render": {"photo": photo, "yaw": 10},
        "mix": {"photo": photo, "hair": other},
        "edit": {"photo": photo, "moves": {name: 1.0}},
        "orbit": {"photo": photo, "frames": 2},
        "drive": {"photo": photo, "video": handle_file(str(folder / "moving.mp4"))},
    }
