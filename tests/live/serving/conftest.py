import threading
from collections.abc import Iterator

import pytest

from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import FakeControl, Scene


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def scene(control: FakeControl) -> Scene:
    return Scene(control)


@pytest.fixture
def server(control: FakeControl) -> Iterator[PageServer]:
    threads = set(threading.enumerate())
    server = PageServer(control, port=0)
    server.start()
    yield server
    server.close()
    assert set(threading.enumerate()) <= threads
