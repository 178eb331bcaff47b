"""A folder that does everything wrong, from the file to what a page is told and the log says."""

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import camfast
from camfast.live import Looks, Session, reading
from camfast.live.serving import PageServer
from camfast.live.serving.application import SOCKET
from camfast.live.sources import FolderSource
from camfast.models import Preprocess
from tests.live.feeds import DEADLINE, threads
from tests.live.networks import pictures


class Page:
    """What a page is told: each status, and the shapes of the frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.statuses: list[dict[str, Any]] = []
        self.shapes: list[list[int]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, name="listening")
        self._thread.start()

    def _listen(self) -> None:
        try:
            for message in self._connection:
                with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            return

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            header = json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])
            self.shapes.append(header["shape"])
            self._connection.send(json.dumps({"type": "shown", "number": header["number"]}))
        elif (text := json.loads(message))["type"] == "status":
            self.statuses.append(text)

    def is_told(self, state: str, words: str = "") -> None:
        """Wait for a status of a state, with words in its message, after those that were waited for before."""
        with self._changed:
            told = self._changed.wait_for(lambda: self._drop_until(state, words), DEADLINE)
        assert told, f"{state}, {words!r} not within {DEADLINE:.0f} s"

    def _drop_until(self, state: str, words: str) -> bool:
        while self.statuses:
            status = self.statuses.pop(0)
            if status["state"] == state and words in status["message"]:
                return True
        return False

    def sees(self, shape: list[int]) -> None:
        """Wait for a frame of a shape."""
        with self._changed:
            assert self._changed.wait_for(lambda: shape in self.shapes, DEADLINE), f"no frame of {shape}"

    def join(self) -> None:
        self._thread.join(DEADLINE)


def test_a_folder_that_does_everything_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reading, "_STALLED", 0.5)
    caplog.set_level(logging.INFO, "camfast.live")
    folder = tmp_path / "run"
    looks = Looks(camfast.Explainer(pictures(), "3"), Preprocess(size=17))
    session = Session(FolderSource(folder, "*.tif", patience=0.3), looks)
    server = PageServer(session, port=0)
    server.start()
    session.add(server)
    with session, connect(f"ws{server.name[4:-1]}{SOCKET}", proxy=None) as connection:
        page = Page(connection)
        page.is_told("failed", "there is no such folder")

        folder.mkdir()
        written(folder, "a.tif", (24, 20))
        page.is_told("running")
        page.sees([24, 20])

        page.is_told("stalled", "no frame for")
        written(folder, "b.tif", (30, 40))
        page.is_told("running", "frames are now uint16 (30, 40), after uint16 (24, 20)")
        page.sees([30, 40])

        whole = written(tmp_path, "whole.tif", (28, 28)).read_bytes()
        (folder / "c.tif").write_bytes(whole[: len(whole) // 2])
        page.is_told("stalled", "c.tif")
        (folder / "c.tif").write_bytes(whole)
        page.is_told("running")
        page.sees([28, 28])

        shutil.rmtree(folder)
        page.is_told("failed", "there is no such folder")
        folder.mkdir()
        written(folder, "d.tif", (16, 18))
        page.is_told("running")
        page.sees([16, 18])
    page.join()
    said = caplog.text
    for words in ("no such folder", "c.tif", "no frame for", "frames are now uint16 (30, 40)"):
        assert words in said
    status = session.status()
    assert status["arrived"] == status["shown"] + status["dropped"]
    assert status["broken"] == 1
    assert not threads()


def written(folder: Path, name: str, shape: tuple[int, int]) -> Path:
    """Write a TIFF under another name, and give it its own in one step."""
    values = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    waiting = folder / f".{name}"
    tifffile.imwrite(waiting, values)
    time.sleep(0.02)  # so that files differ by their time
    return waiting.rename(folder / name)
