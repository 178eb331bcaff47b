"""Frames of the caller's own: anything that can be iterated over."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, Frame, SourceEndedError, SourceError, checked
from camfast.live.sources.pace import Pace, check_rate


class IteratedSource:
    """What an iterable of the caller gives, in its own time.

    It runs in the source's thread. A frame can't be interrupted while the iterable makes it: `read` then takes longer
    than it was given.

    Parameters
    ----------
    frames
        Gives arrays or tensors (H, W), (H, W, 3) or (D, H, W), which are copied: they may be written to again; or
        `Frame`, taken as they are with numbers of their own.
    fps
        Frames a second, at most; None: as fast as they come.
    volume
        Whether arrays of three axes are (D, H, W).
    name
        What to call it.

    Raises
    ------
    InputError
        If nothing can be iterated over, or the rate makes no sense; in `open` where an iterator is to start again:
        only what can be iterated over again, such as a list, can.

    Examples
    --------
    >>> source = IteratedSource([np.zeros((4, 6), np.uint8)])
    >>> source.open()
    >>> source.read(timeout=1).data.shape
    (4, 6)
    >>> source.close()
    """

    def __init__(
        self, frames: Iterable[Any], *, fps: float | None = None, volume: bool = False, name: str | None = None
    ) -> None:
        if not isinstance(frames, Iterable):
            raise InputError(f"frames must be something to iterate over, found {type(frames).__name__}")
        self.name = f"iterated:{type(frames).__name__}" if name is None else name
        self._frames, self._volume = frames, volume
        self._fps = None if fps is None else check_rate(fps, self.name)
        self._iterator: Iterator[Any] | None = None
        self._pace: Pace | None = None
        self._number = self._first = 0
        self._over = ""

    def open(self) -> None:
        """Start it, or start it again."""
        if self._over and isinstance(self._frames, Iterator):
            raise InputError(f"{self.name} is an iterator, which can't start again: {self._over}")
        self._iterator = self._start()
        self._pace = None if self._fps is None else Pace(self._fps)
        self._first = self._number

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; None where it isn't due within so many seconds."""
        if self._iterator is None:
            raise SourceError(f"{self.name} isn't open")
        if self._pace is not None and not self._pace.wait(self._number - self._first, timeout):
            return None
        item = self._following(self._iterator)
        number = self._number
        self._number += 1
        what = f"{self.name}: frame {number}"
        if isinstance(item, Frame):
            return replace(item, data=checked(item.data, volume=item.volume, what=what))
        given = _array(item, what)
        data = checked(given, volume=self._volume, what=what)
        if np.may_share_memory(data, given):
            data = data.copy()
        return Frame(data, number, time.perf_counter(), volume=self._volume and data.ndim == 3)

    def close(self) -> None:
        """Let go of the iteration; an iterator of the caller's stays where it is, and `open` goes on with it."""
        self._iterator = None

    def _start(self) -> Iterator[Any]:
        try:
            return iter(self._frames)
        except Exception as error:  # whatever the caller's code raises
            raise SourceError(f"{self.name} failed: {_said(error)}") from error

    def _following(self, iterator: Iterator[Any]) -> Any:
        try:
            return next(iterator)
        except StopIteration:
            self._over = f"it ended after {self._number} frames"
            raise SourceEndedError(f"{self.name} has ended after {self._number} frames") from None
        except Exception as error:  # whatever the caller's code raises
            self._over = f"it failed: {_said(error)}"
            raise SourceError(f"{self.name} failed: {_said(error)}") from error


def _array(item: Any, what: str) -> NDArray[Any]:
    """Return an item as an array, over the same memory where that can be."""
    if isinstance(item, Tensor):
        item = item.detach().cpu()
        item = item.float() if item.dtype == torch.bfloat16 else item  # which numpy doesn't know
    try:
        return np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BrokenFrameError(f"{what} is no array: {error}") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
