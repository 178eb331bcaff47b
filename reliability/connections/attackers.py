"""Connections that read, never read, guess, flood, dawdle or babble, in a process of their own, and what they saw."""

import argparse
import asyncio
import json
import os
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from reliability.connections import TOKEN

seen: Counter[str] = Counter()
REFUSED = (b"401", b"403")


class Line:
    """One connection, with just enough of HTTP and websockets to misuse both."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> "Line":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def ask(self, path: str, *headers: str) -> bytes:
        """Send a request; return the status."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", ""]
        await self.send("\r\n".join(lines).encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        return head.split(b" ", 2)[1]

    async def upgrade(self, token: str = TOKEN, origin: str = "") -> bytes:
        more = [f"Origin: {origin}"] if origin else []
        return await self.ask(
            "/socket", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Authorization: Bearer {token}", *more,
        )  # fmt: skip

    async def say(self, content: bytes, opcode: int = 1) -> None:
        """Send a frame of a websocket, masked by nothing."""
        length = len(content)
        size = bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + struct.pack(">H", length)
        await self.send(bytes([0x80 | opcode]) + size + bytes(4) + content)

    async def hear(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 15, await self.reader.readexactly(length)


async def reader(line: Line, _: int) -> None:
    """Reads and acknowledges, as a page does."""
    if await line.upgrade() != b"101":
        return
    while True:
        opcode, content = await line.hear()
        if opcode == 8:
            seen["readers told to come later" if content[:2] == struct.pack(">H", 1013) else "readers closed"] += 1
            await asyncio.sleep(0.5)
            return
        if opcode == 2:
            (length,) = struct.unpack_from("<I", content)
            number = json.loads(content[4 : 4 + length])["number"]
            await line.say(json.dumps({"type": "shown", "number": number}).encode())
            seen["frames read by them"] += 1


async def never_reader(line: Line, _: int) -> None:
    """Asks for large frames and never reads."""
    line.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await line.send(
        f"GET /socket HTTP/1.1\r\nHost: 127.0.0.1:{line.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    await line.say(b'{"type":"want","format":"raw","frame":true}')
    while True:
        await asyncio.sleep(0.2)
        await line.say(b'{"type":"pause","paused":false}')  # fails once the server has cut it


async def guesser(line: Line, number: int) -> None:
    """Guesses the token by each way there is, from pages elsewhere too."""
    for turn in range(20):
        guess = f"guess-{number}-{turn}"
        async with Line(line.port) as other:
            match turn % 5:
                case 0:
                    status = await other.ask("/live.js", f"Authorization: Bearer {guess}")
                case 1:
                    status = await other.ask(f"/?token={guess}")
                case 2:
                    status = await other.ask("/", f"Cookie: camfast-{line.port}={guess}")
                case 3:
                    status = await other.upgrade(guess)
                case _:
                    status = await other.upgrade(TOKEN, "http://evil.example")
        seen["guesses refused" if status in REFUSED else "GUESSES THAT GOT IN"] += 1
        await asyncio.sleep(0.1)


async def flooder(line: Line, number: int) -> None:
    """Sends as much as goes: messages, pings, nonsense and too large ones."""
    if await line.upgrade() != b"101":
        return
    content, opcode = [
        (b'{"type":"pause","paused":true}', 1),
        (bytes(125), 9),
        (b'{"type":"want","format":"gif"}', 1),
        (bytes(60000), 2),
        (b"x" * 60000, 1),
    ][number % 5]
    while True:
        await line.say(content, opcode)
        seen["messages of floods"] += 1
        await asyncio.sleep(0)


async def dawdler(line: Line, number: int) -> None:
    """Begins a request and never ends it; counts whether it was cut."""
    started = time.monotonic()
    body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n"
    parts = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", body]
    seen["requests that never end"] += 1
    try:
        await line.send(parts[number % 4])
        while True:
            if number % 8 > 3:
                await line.send(b"y")  # in drops
            if number % 4 == 3:
                await line.reader.read(1 << 16)
            await asyncio.sleep(0.25)
            if line.reader.at_eof() or line.writer.transport.is_closing():
                break
    finally:
        seen["of these cut by the server"] += line.reader.at_eof() or line.writer.transport.is_closing()
        seen["longest of these, ms"] = max(seen["longest of these, ms"], int(1e3 * (time.monotonic() - started)))


async def babbler(line: Line, number: int) -> None:
    """Talks nonsense: no HTTP, endless lines, thousands of headers."""
    kind = number % 4
    if kind == 0:
        await line.send(b"\x16\x03\x01\x02\x00" + os.urandom(500) + b"\r\n\r\n")
    elif kind == 1:
        await line.send(b"GET /" + b"a" * 200_000)
    elif kind == 2:
        await line.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000)
    else:
        await line.send(300 * (b"GET /live.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
    await line.reader.read()
    seen["nonsense"] += 1
    await asyncio.sleep(0.1)


KINDS: dict[str, Callable[[Line, int], Awaitable[None]]] = {
    "read": reader,
    "never read": never_reader,
    "guess": guesser,
    "flood": flooder,
    "dawdle": dawdler,
    "babble": babbler,
}


async def _again(kind: Callable[[Line, int], Awaitable[None]], port: int, number: int, until: float) -> None:
    """Be one of a kind until the time is over, and connect again whenever the server ends it."""
    while time.monotonic() < until:
        with suppress(OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(until - time.monotonic()), Line(port) as line:
                seen["connections"] += 1
                await kind(line, number)
        await asyncio.sleep(0.05)


async def _attack(port: int, each: dict[str, int], seconds: float) -> None:
    until = time.monotonic() + seconds
    tasks = [_again(KINDS[kind], port, number, until) for kind, count in each.items() for number in range(count)]
    await asyncio.gather(*tasks)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("each", type=json.loads)
    options = parser.parse_args()
    print("begun", flush=True)
    asyncio.run(_attack(options.port, options.each, options.seconds))
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
