"""Connections that are no websocket, or not yet: how many there are at once, and how long one may take."""

import asyncio
from typing import Any

from camfast._extras import require

MOST = 128
"""Connections of HTTP at once: for a new one the oldest is cut."""
LIFETIME = 20.0
"""Seconds after which one is cut, whatever it is doing: the page's files take milliseconds, a websocket has its own
rules, and a browser connects again where it wants more."""


def http_protocol() -> type[asyncio.Protocol]:
    """Make uvicorn's protocol of HTTP, with bounds that it hasn't: it waits for the rest of a request for ever."""
    base: Any = require("uvicorn.protocols.http.h11_impl", "live", "serving a page").H11Protocol
    lines: dict[Any, asyncio.TimerHandle] = {}  # the oldest first

    class Line(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            lines[self] = self.loop.call_later(LIFETIME, transport.abort)
            if len(lines) > MOST:
                oldest = next(iter(lines))
                oldest.forget()
                oldest.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self.forget()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:
            self.forget()
            super().handle_websocket_upgrade(event)

        def forget(self) -> None:
            """Be bound no longer."""
            timer = lines.pop(self, None)
            if timer is not None:
                timer.cancel()

    return Line
