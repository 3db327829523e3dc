"""What the page's ASGI middlewares share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
"""A scope, or a message of ASGI."""
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Around:
    """Middleware around an application.

    Args:
        app: the application.
    """

    def __init__(self, app: App) -> None:
        self.app = app
