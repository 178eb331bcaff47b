"""The server of the page, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterable
from typing import Any

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.serving.access import Access
from camfast.live.serving.application import application
from camfast.live.serving.client import Line
from camfast.live.serving.hub import Hub
from camfast.live.serving.lines import ALL, http_protocol, socket_protocol
from camfast.live.serving.messages import LARGEST
from camfast.live.shown import Control, Shown

PATIENCE = 0.4
"""Seconds that pages have to answer when the server closes."""


class PageServer:
    """A sink that shows overlays on a web page, and lets those who look change settings.

    Parameters
    ----------
    control
        What pages see and change, such as `camfast.live.Session`.
    host, port
        Where to listen: this machine alone, unless a token is given or insecure is set; port 0 takes any that is free.
    token
        What has to be known to look, 8 or more letters, digits or one of ``-._~``; None: nothing.
    insecure
        Whether other machines may look without a token.
    allow_hosts
        Names besides those of this machine and the host by which pages may be opened, such as a proxy's.

    Raises
    ------
    InputError
        If other machines could look without a token, or the token is too simple.

    References
    ----------
    docs/live/protocol.md: what goes over the websocket.
    """

    again = True  # a page shows what has changed

    def __init__(
        self,
        control: Control,
        host: str = "127.0.0.1",
        port: int = 8765,
        token: str | None = None,
        *,
        insecure: bool = False,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        self._control = control
        self._host, self._port, self._token = host, port, token
        self._access = Access(host, token, insecure=insecure, allow_hosts=allow_hosts)
        self._hub: Hub | None = None
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Where the page is, without the token."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"

    @property
    def address(self) -> str:
        """What to open in a browser, with the token where there is one."""
        return self.name if self._token is None else f"{self.name}?token={self._token}"

    def start(self) -> None:
        """Listen; returns once pages can be opened.

        Raises
        ------
        InputError
            If the address can't be had.
        MissingExtraError
            If a package of the extra ``live`` is not installed.
        """
        for package in ("starlette", "uvicorn", "websockets", "PIL.Image"):
            require(package, "live", "serving a page")
        listening = self._listen()
        self._port = listening.getsockname()[1]
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._hub = Hub(self._control, runner.get_loop())
        server = self._server(self._hub)
        self._thread = threading.Thread(
            target=self._run, args=(runner, self._hub, server, listening), name="camfast page", daemon=True
        )
        self._thread.start()

    def put(self, shown: Shown) -> None:
        """Show an overlay to those who look; waits for none of them."""
        hub = self._hub
        if hub is not None:
            hub.put(shown)

    def close(self) -> None:
        """Close all pages and stop listening, within a second; also where it isn't open."""
        if self._thread is not None and self._hub is not None:
            self._hub.stop()
            self._thread.join()
            self._thread = self._hub = None

    def _listen(self) -> socket.socket:
        try:
            family, *_, place = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server(place[:2], family=family)
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]  # without the address a second time
            raise InputError(
                f"can't listen on {self._host}:{self._port}: {why}; give another port, or 0 for any that is free"
            ) from None

    def _server(self, hub: Hub) -> Any:
        uvicorn = require("uvicorn", "live", "serving a page")

        def line(client: tuple[str, int]) -> Line | None:
            return _line(server.server_state.connections, client)

        config = uvicorn.Config(
            application(hub, self._access, f"camfast-{self._port}", line),
            interface="asgi3",
            loop="asyncio",
            http=http_protocol(),
            ws=socket_protocol(),
            ws_max_size=LARGEST,
            ws_per_message_deflate=False,  # pictures are compressed already
            lifespan="off",
            log_config=None,
            log_level="critical",  # a lower one logs addresses, with tokens in them, and whatever visitors send wrong
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=ALL,
        )
        server = uvicorn.Server(config)
        return server

    def _run(self, runner: asyncio.Runner, hub: Hub, server: Any, listening: socket.socket) -> None:
        with listening, runner:
            try:
                runner.run(_serve(hub, server, listening))
            finally:
                hub.stop()


async def _serve(hub: Hub, server: Any, listening: socket.socket) -> None:
    """Serve until the hub is asked to close."""
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    watching = asyncio.ensure_future(hub.watch())
    await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
    await hub.close(PATIENCE)
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    server.should_exit = True
    await asyncio.gather(serving, watching)


def _line(connections: Iterable[Any], client: tuple[str, int]) -> Line | None:
    """Find the connection of a client among uvicorn's: ASGI has no word for one that can't be closed in peace."""
    for connection in connections:
        if connection.client == client:
            transport = connection.transport
            return Line(transport.get_write_buffer_size, transport.is_closing, transport.abort)
    return None
