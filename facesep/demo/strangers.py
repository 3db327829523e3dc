"""Visits that this process does not know, because another one answered their last request.

All that is kept of a visit is in one process. Where a proxy spreads the requests of one visit over several,
an answer is waited for at a process that was never asked. Gradio would then say that the connection was lost,
load the page anew, and so on for ever.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from facesep.demo.middleware import Around, Message, Receive, Send

UNKNOWN = (
    "This server does not know this visit: open the page again. If it happens again, requests of one visit "
    "reach several servers; whoever runs the page must keep them together."
)


class Strangers(Around):
    """ASGI middleware that answers in a sentence who waits for what was never asked here."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes everything on but these."""
        if scope["type"] != "http" or not scope["path"].endswith("/queue/data"):
            await self.app(scope, receive, send)
            return
        key = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[-1]
        if key in scope["app"].get_blocks()._queue.pending_messages_per_session:
            await self.app(scope, receive, send)
            return
        shown = {
            "msg": "log",
            "log": UNKNOWN,
            "level": "warning",
            "title": "Error",
            "duration": 30,
            "visible": True,
        }
        ended = {"msg": "unexpected_error", "message": UNKNOWN, "success": False, "session_not_found": False}
        body = "".join(f"data: {json.dumps(one)}\n\n" for one in (shown, ended))
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")],
            }
        )
        await send({"type": "http.response.body", "body": body.encode()})
