from collections.abc import Iterator
from typing import Any

import pytest

from camfast.live.serving import PageServer
from tests import browsers
from tests.live.serving.fakes import FakeControl, Pump, Scene

CLASSES = ("mitochondrion", "ribosome", "membrane", "vesicle", "nothing", *(f"kind {i}" for i in range(5, 1000)))


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(CLASSES)


@pytest.fixture
def server(control: FakeControl) -> Iterator[PageServer]:
    server = PageServer(control, port=0)
    server.start()
    yield server
    server.close()


@pytest.fixture
def scene(control: FakeControl, server: PageServer) -> Iterator[Scene]:
    """A scene whose frames come all the time."""
    scene = Scene(control, 64)
    with Pump(scene, server, fps=20):
        yield scene


class Opened:
    """A page in Chromium, with what it asked for and complained of."""

    def __init__(self, chromium: Any, address: str, size: tuple[int, int], **options: Any) -> None:
        self.context = browsers.context_for(chromium, size, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda one: self.complaints.append(f"{one.type}: {one.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.goto(address)

    def number(self) -> int:
        """Number of the frame that is shown, -1 where there is none."""
        words = self.page.text_content("#caption").split()
        return int(words[words.index("frame") + 1 if "frame" in words else 1]) if words else -1

    def pixels(self, canvas: str = "overlay") -> list[int]:
        """Red, green, blue and alpha of every pixel of a canvas."""
        return self.page.evaluate(
            """(id) => {
                const canvas = document.getElementById(id), copy = new OffscreenCanvas(canvas.width, canvas.height);
                const context = copy.getContext("2d", {willReadFrequently: true});
                context.drawImage(canvas, 0, 0);
                return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
            }""",
            canvas,
        )

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait for what a piece of JavaScript says."""
        self.page.wait_for_function(condition, arg=argument)


@pytest.fixture
def opened(chromium: Any, server: PageServer, scene: Scene) -> Iterator[Opened]:
    """The page, with the first frame on it; it may neither complain nor ask anybody else for anything."""
    opened = Opened(chromium, server.address, browsers.TUBE)
    opened.page.wait_for_selector("#empty", state="hidden")
    yield opened
    opened.context.close()
    assert opened.complaints == []
    assert {url.split("/")[2].split(":")[0] for url in opened.asked} == {"127.0.0.1"}
