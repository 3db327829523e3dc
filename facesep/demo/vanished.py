"""Files that are deleted while a browser asks for them: an answer without a word in the log.

A photo is deleted as soon as it was read, and the page of its sender may be about to show it. Left alone, the
server would log where it was and what its sender called it.
"""

from __future__ import annotations

from facesep.demo.middleware import Around, Message, Receive, Send


class Vanished(Around):
    """ASGI middleware that answers "not found" where a file has gone."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes everything on; the error of a missing file ends here."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except (FileNotFoundError, RuntimeError) as error:
            # starlette says by a RuntimeError that a file went before it was opened.
            if not isinstance(error if isinstance(error, OSError) else error.__context__, FileNotFoundError):
                raise
            if scope["type"] != "http" or "/file=" not in scope["path"]:
                raise
            if not started:
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})
