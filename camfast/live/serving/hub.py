"""All who watch: frames, status and settings go to each."""

import asyncio
import base64
import threading
from contextlib import suppress
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from camfast._version import __version__
from camfast.live.serving import messages
from camfast.live.serving.client import Client
from camfast.live.serving.messages import Want
from camfast.live.serving.newest import Newest, encodings, packed
from camfast.live.shown import Control, Shown
from camfast.ops.colormaps import color_table

MOST = 64
"""Pages at once."""
STILL_EVERY = 0.5
"""Seconds between copies of a frame for those who come next; slower sources are copied always."""
LOOK_EVERY, TELL_EVERY = 0.25, 1.0


class Hub:
    """Between the pipeline's thread, which calls `put`, and the clients in the server's event loop.

    Parameters
    ----------
    control
        What pages see and change.
    loop
        The server's.

    Attributes
    ----------
    latest : Newest or None
        The newest frame.
    """

    def __init__(self, control: Control, loop: asyncio.AbstractEventLoop) -> None:
        self.latest: Newest | None = None
        self._kept: Newest | None = None  # the last with a still
        self._published = loop.time()
        self._control = control
        self._loop = loop
        self._clients: set[Client] = set()
        self._wants: frozenset[Want] = frozenset()  # replaced, never changed: the pipeline's thread reads it
        self._settings, self._choices = control.settings, control.choices
        self._last_still = -STILL_EVERY
        self._lock = threading.Lock()
        self._fresh: Newest | None = None
        self._closed = False
        self._closing = asyncio.Event()

    def put(self, shown: Shown) -> None:
        """Encode a frame for those who wait for it, and leave it to the loop; called by the pipeline's thread."""
        wants, now = self._wants, perf_counter()
        still = None
        if now - self._last_still >= STILL_EVERY:
            still, self._last_still = (shown.rgb.copy(), shown.gray.copy()), now
        if not wants and still is None:
            return
        encoded = encodings(shown.rgb, shown.gray, wants)
        header = messages.header(shown, self._control.choices.classes, perf_counter() - shown.frame.time)
        picture = Newest(header, {want: packed(header, want, encoded) for want in wants}, still)
        with self._lock:
            called, self._fresh = self._fresh is not None, picture
            if not called and not self._closed:
                self._loop.call_soon_threadsafe(self._publish)

    def _publish(self) -> None:
        with self._lock:
            self.latest, self._fresh = self._fresh, None
        self._published = self._loop.time()
        if self.latest is not None and self.latest.still is not None:
            self._kept = self.latest
        for client in self._clients:
            client.offer(self.latest)

    def wanted(self) -> None:
        """See again what has to be encoded."""
        self._wants = frozenset(client.want for client in self._clients if client.encoded_for())

    def change(self, changes: dict[str, Any]) -> None:
        """Change settings for all who watch."""
        self._control.change(changes)
        self._tell_settings()

    async def serve(self, client: Client) -> None:
        """Let a client watch until it ends."""
        if self._closed:
            client.end(messages.GOING_AWAY, "camfast is closing")
        elif len(self._clients) >= MOST:
            client.end(messages.TRY_LATER, f"{MOST} pages are open already")
        else:
            self._clients.add(client)
            client.tell("hello", self._hello())
            client.tell("settings", messages.text("settings", settings=asdict(self._control.settings)))
            client.tell("status", self._status_text(self._control.status()))
            self.wanted()
            client.offer(self.latest)
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            self.wanted()

    async def watch(self) -> None:
        """Tell status once a second, and what changes at once; end who is too slow; until asked to close."""
        told, before = -TELL_EVERY, None
        while not self._closing.is_set():
            status, now = self._control.status(), self._loop.time()
            if now - told >= TELL_EVERY or (status["state"], status["message"]) != before:
                told, before = now, (status["state"], status["message"])
                self._tell("status", self._status_text(status))
            if self._control.choices != self._choices:  # a network's classes may be known from its first frame on
                self._choices = self._control.choices
                self._tell("hello", self._hello())
            if self._control.settings != self._settings:
                self._tell_settings()
            for client in self._clients:
                client.judge()
                if client.waits_for_a_first and now - self._published > STILL_EVERY:
                    client.offer(
                        self._kept
                    )  # no other comes soon: one from shortly before the last is better than none
            self.wanted()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._closing.wait()

    def stop(self) -> None:
        """Take no more frames, and make `watch` return; called by any thread, also more than once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._closing.set)

    async def close(self, patience: float) -> None:
        """Close all clients, and wait so many seconds for them."""
        for client in self._clients:
            client.end(messages.GOING_AWAY, "camfast is closing")
        deadline = self._loop.time() + patience
        while self._clients and self._loop.time() < deadline:
            await asyncio.sleep(0.01)

    def _tell(self, kind: str, text: str) -> None:
        for client in self._clients:
            client.tell(kind, text)

    def _tell_settings(self) -> None:
        self._settings = self._control.settings
        self._tell("settings", messages.text("settings", settings=asdict(self._settings)))

    def _status_text(self, status: dict[str, Any]) -> str:
        return messages.text("status", **status, pages=len(self._clients))

    def _hello(self) -> str:
        choices = self._control.choices
        tables = {name: color_table(name, torch.device("cpu")).numpy().tobytes() for name in choices.colormaps}
        return messages.text(
            "hello",
            protocol=messages.PROTOCOL,
            camfast=__version__,
            choices=asdict(choices),
            colors={name: base64.b64encode(table).decode() for name, table in tables.items()},
        )
