"""One page that watches: what it gets, what it says, and when it is sent away."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.serving import messages
from camfast.live.serving.messages import Change, Malformed, Message, Pause, Seen, Want
from camfast.live.serving.newest import Newest

ON_THE_WAY = 2
"""So many frames may be sent that a page hasn't acknowledged: a slow link gets the newest frame, not a queue."""
TOO_SLOW = 10.0
"""Seconds in which a page has to acknowledge, or at least to read."""
STUCK = 1.0
"""Seconds without an acknowledgement after which no frame is encoded for a page."""
GOODBYE = 1.0
"""Seconds that a page has to answer a close."""
PER_SECOND = 200
"""Messages from a page."""
_SPARE = 1 << 20  # bytes beside the frames that may wait to be written: a page that asks and never reads ends here


class Watched(Protocol):
    """What a page's client asks of the hub."""

    @property
    def latest(self) -> Newest | None:
        """The newest frame."""

    def change(self, changes: dict[str, Any]) -> None:
        """Change settings for all; InputError where one doesn't fit."""

    def wanted(self) -> None:
        """See again what pages want."""


@dataclass(frozen=True)
class Line:
    """The connection under a websocket."""

    buffered: Callable[[], int]
    closing: Callable[[], bool]
    abort: Callable[[], None]


class Client:
    """A page at the other end of a websocket that was accepted; lives in the server's event loop.

    Parameters
    ----------
    socket
        Starlette's.
    line
        What is under it.
    hub
        Where frames come from.

    Attributes
    ----------
    want : Want
        What it gets.
    waits_for_a_first : bool
        Whether no frame could be offered yet as it is wanted.
    paused : bool
        Whether it gets none.
    """

    def __init__(self, socket: Any, line: Line, hub: Watched) -> None:
        self.want = Want()
        self.waits_for_a_first = True
        self.paused = False
        self._socket = socket
        self._line = line
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._gone = require("starlette.websockets", "live", "serving a page").WebSocketDisconnect
        self._wake = asyncio.Event()
        self._texts: dict[str, str] = {}
        self._frame: tuple[int, bytes] | None = None
        self._on_the_way: deque[tuple[int, float]] = deque()
        self._largest = 0
        self._sending: float | None = None
        self._budget, self._budget_of = float(PER_SECOND), self._loop.time()
        self._end: asyncio.Future[tuple[int, str]] = self._loop.create_future()

    def tell(self, kind: str, text: str) -> None:
        """Send a text; of each kind only the newest waits."""
        self._texts[kind] = text
        self._wake.set()

    def offer(self, picture: Newest | None) -> None:
        """Send a frame as soon as the page can take one, in place of any that waits."""
        if picture is None or not self.encoded_for():
            return
        message = picture.message(self.want)
        if message is not None:
            self.waits_for_a_first = False
            self._frame = (picture.header["number"], message)
            self._largest = max(self._largest, len(message))
            self._wake.set()

    def end(self, code: int, reason: str) -> None:
        """Close the connection with a code and a reason."""
        if not self._end.done():
            self._end.set_result((code, reason))

    def encoded_for(self) -> bool:
        """Whether frames have to be encoded for this page now."""
        waits = self._loop.time() - self._on_the_way[0][1] if self._on_the_way else 0.0
        return not self.paused and waits < STUCK

    def judge(self) -> None:
        """End the page that reads nothing, or doesn't acknowledge."""
        since = [self._on_the_way[0][1]] if self._on_the_way else []
        since += [self._sending] if self._sending is not None else []
        if since and self._loop.time() - min(since) > TOO_SLOW:
            self.end(messages.POLICY, "too slow")
        elif self._line.buffered() > ON_THE_WAY * self._largest + _SPARE:
            self.end(messages.POLICY, "too much is asked and not read")

    async def run(self) -> None:
        """Serve the page until it goes or is sent away."""
        tasks: list[asyncio.Future[None]] = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        waited: list[asyncio.Future[Any]] = [*tasks, self._end]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        if self._end.done():
            await self._close(*self._end.result())
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, self._gone):
                raise end

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(GOODBYE):
                await self._socket.close(code, reason)
        except (TimeoutError, RuntimeError, self._gone):  # never read, or closed below
            self._line.abort()
        else:
            self._loop.call_later(GOODBYE, self._line.abort)  # where it was never read, or never answered

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (message := self._next()) is not None:
                self._sending = self._loop.time()
                await self._put(message)
                self._sending = None

    async def _put(self, message: str | bytes) -> None:
        if self._line.closing():  # many messages may still wait to be read of one who has gone
            raise self._gone(1006)
        try:
            await (self._socket.send_bytes if isinstance(message, bytes) else self._socket.send_text)(message)
        except RuntimeError as error:  # it was closed below, for a message that is too large or no text
            raise self._gone(1006) from error

    def _next(self) -> str | bytes | None:
        if self._texts:
            return self._texts.pop(next(iter(self._texts)))
        # while a frame waits to be written no other is chosen: a newer one may come, and be the next
        if self._frame is None or len(self._on_the_way) >= ON_THE_WAY or (self._on_the_way and self._line.buffered()):
            return None
        (number, message), self._frame = self._frame, None
        self._on_the_way.append((number, self._loop.time()))
        return message

    async def _receive(self) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                self._count()
                if event.get("text") is None:
                    raise Malformed(messages.UNSUPPORTED, "messages are text")
                self._heed(messages.read(event["text"]))
            except Malformed as malformed:
                self.end(malformed.code, malformed.reason)
                return
            except InputError as error:
                await self._put(messages.error_text(error))

    def _count(self) -> None:
        now = self._loop.time()
        self._budget = min(self._budget + PER_SECOND * (now - self._budget_of), PER_SECOND)
        self._budget_of = now
        if self._budget < 1:
            raise Malformed(messages.POLICY, f"more than {PER_SECOND} messages a second")
        self._budget -= 1

    def _heed(self, message: Message) -> None:
        if isinstance(message, Seen):
            self._acknowledge(message.number)
        elif isinstance(message, Change):
            self._hub.change(message.changes)
        elif isinstance(message, Pause):
            self.paused, self._frame, self.waits_for_a_first = message.paused, None, True
            self._offer_again()
        else:
            self.want, self._frame, self.waits_for_a_first = message, None, True
            self._offer_again()

    def _offer_again(self) -> None:
        self._hub.wanted()
        self.offer(self._hub.latest)

    def _acknowledge(self, number: int) -> None:
        if number not in [sent for sent, _ in self._on_the_way]:
            raise InputError(f"the frame {number} isn't on its way")
        was_left_out = not self.encoded_for()
        while self._on_the_way.popleft()[0] != number:
            pass
        self._wake.set()
        if was_left_out:
            self._offer_again()
