"""What a connection may take of the server below its messages: how many there are, how long, how many bytes."""

import asyncio
from typing import Any

from camfast._extras import require

MOST = 128
"""Connections of HTTP at once: for a new one the oldest is cut."""
LIFETIME = 20.0
"""Seconds after which one is cut, whatever it is doing: the page's files take milliseconds, a websocket has its own
rules, and a browser connects again where it wants more."""

ALL = 256
"""Connections at once, websockets among them; one more is no websocket."""
BYTES, BURST = 1 << 17, 1 << 20
"""Bytes a second that a websocket may send over a while, and at once: pings, too, which never become messages."""


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
            if len(self.connections) > ALL:
                self.transport.abort()
            else:
                super().handle_websocket_upgrade(event)

        def forget(self) -> None:
            """Be bound no longer."""
            timer = lines.pop(self, None)
            if timer is not None:
                timer.cancel()

    return Line


def socket_protocol() -> type[asyncio.Protocol]:
    """Make uvicorn's protocol of websockets, which is cut off where it sends more bytes than any page does."""
    module = require("uvicorn.protocols.websockets.websockets_sansio_impl", "live", "serving a page")
    base: Any = module.WebSocketsSansIOProtocol

    class Socket(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.left, self.left_at = float(BURST), self.loop.time()

        def data_received(self, data: bytes) -> None:
            now = self.loop.time()
            self.left = min(BURST, self.left + BYTES * (now - self.left_at)) - len(data)
            self.left_at = now
            if self.left < 0:
                self.transport.abort()
            else:
                super().data_received(data)

        def handle_ping(self) -> None:
            if not self.transport.is_closing():  # thousands may have come at once from one who has gone meanwhile
                super().handle_ping()

    return Socket
