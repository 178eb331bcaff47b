"""An overlay of a camera that runs all the time, watched by pages that come and go, and checked against float64."""

import json
import struct
from itertools import count
from typing import Any

import numpy as np
import torch
from websockets.sync.client import ClientConnection, connect

import camfast
from camfast.live import Looks, Session
from camfast.live.serving import PageServer
from camfast.live.serving.application import SOCKET
from camfast.live.shown import Shown
from camfast.models import Preprocess
from reliability.soak.explaining import WrongError
from tests import oracle
from tests.live.networks import network_input, painted, pictures

_CAMERA = "sim:192x160@{fps:g}"
_LEVELS = (0.0, 4000.0)
_CHECKED = 20  # one overlay of so many is made again in float64
_STEPS = 3  # of 255: rounding, and a colour's neighbour in its table, whose steps are up to 4
_SAME = 1e-3  # of the map's largest value: float32, from an input that was resampled in float32, against float64
_WAIT = 10.0
_METHODS = ("gradcam", "respond", "hirescam")


class Checking:
    """A sink that makes some overlays again, step by step in float64."""

    name = "checking"

    def __init__(self, model: torch.nn.Module, preprocess: Preprocess) -> None:
        self._model, self._preprocess = model, preprocess
        self.checked = 0
        self.wrong: str = ""
        self._number = count()

    def put(self, shown: Shown) -> None:
        """Look at every twentieth overlay."""
        if next(self._number) % _CHECKED or self.wrong or not shown.high > shown.low:
            return
        inputs = network_input(shown.frame.data, self._preprocess, shown.black, shown.white)
        grid = oracle.grid(self._model, inputs, "3", shown.target, shown.settings.method)[0]
        grid = grid.relu() if shown.settings.method != "respond" else grid
        found = torch.from_numpy(shown.grid.copy()).double()
        largest = grid.abs().max().item()
        if not (found - grid).abs().max().item() <= _SAME * largest + 1e-9:
            self.wrong = f"frame {shown.frame.number}: its map isn't that of plain autograd in float64"
        colours = painted(torch.from_numpy(shown.gray.copy()), found.float(), shown.low, shown.high)
        if np.abs(shown.rgb - colours).max() > _STEPS:
            self.wrong = f"frame {shown.frame.number}: its colours aren't those of its map"
        self.checked += 1

    def close(self) -> None:
        """Nothing is kept."""


class Living:
    """A session for all of the time; a turn is a visitor who looks, changes something and leaves, politely or not."""

    name = "live"

    def __init__(self, fps: float) -> None:
        model, preprocess = pictures(), Preprocess(size=(64, 48))
        self._checking = Checking(model, preprocess)
        looks = Looks(camfast.Explainer(model, "3"), preprocess, labels=tuple("abcde"), levels=_LEVELS)
        self._session = Session(_CAMERA.format(fps=fps), looks)
        self._page = PageServer(self._session, port=0)
        self._turns = count()
        self._newest = -1

    def __enter__(self) -> "Living":
        self._page.start()
        self._session.add(self._page)
        self._session.add(self._checking)
        self._session.start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._session.stop()

    def turn(self) -> None:
        """Look at ten overlays; every second visitor leaves without a word, every fourth reads none."""
        turn = next(self._turns)
        address = self._page.name.replace("http", "ws", 1).rstrip("/") + SOCKET
        with connect(address, max_size=None, proxy=None, compression=None, open_timeout=_WAIT) as visitor:
            if turn % 4 != 3:
                self._look(visitor, turn)
            if turn % 2:
                visitor.socket.close()
        if self._checking.wrong:
            raise WrongError(self._checking.wrong)
        status = self._session.status()
        if status["failed"]:
            raise WrongError(f"{status['failed']} frames failed: {status['message']}")

    def _look(self, visitor: ClientConnection, turn: int) -> None:
        changes = {"method": _METHODS[turn % len(_METHODS)], "target": turn % 5 if turn % 2 else "predicted"}
        visitor.send(json.dumps({"type": "change", **changes}))
        for _ in range(10):
            header = _next_header(visitor)
            if header["number"] < self._newest:
                raise WrongError(f"frame {header['number']} came behind frame {self._newest}")
            self._newest = header["number"]

    def counts(self) -> dict[str, Any]:
        """The session's own account, after its end."""
        status = self._session.status()
        found = {name: status[name] for name in ("arrived", "shown", "dropped", "failed")}
        if found["arrived"] != found["shown"] + found["dropped"] + found["failed"]:
            raise WrongError(f"frames were lost: {found}")
        return {**found, "checked": self._checking.checked}


def _next_header(visitor: ClientConnection) -> dict[str, Any]:
    while isinstance(message := visitor.recv(_WAIT), str):
        pass
    (length,) = struct.unpack_from("<I", message)
    header: dict[str, Any] = json.loads(message[4 : 4 + length])
    visitor.send(json.dumps({"type": "shown", "number": header["number"]}))
    return header
