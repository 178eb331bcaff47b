"""Volumes stored in parts that have to be unpacked: chunks of a Zarr array, pages of a compressed TIFF."""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.scan.formats.lazy import Box, LazyArray, Shape

LARGEST_KEPT = 1 << 28


class ChunkedArray(LazyArray):
    """A volume on a regular grid of chunks, which keeps those that were used last.

    Boxes that overlap, as windows do, would otherwise unpack a chunk many times. A chunk that one thread unpacks is
    waited for by the others.

    Parameters
    ----------
    load
        Gives the values of the chunk with the index (z, y, x), those at the far ends cut to the volume. It may be
        called by several threads, and is pickled with the array.
    shape, chunks
        Of the volume and of a chunk, (z, y, x).
    dtype
        Type of the values.
    budget
        Bytes of chunks to keep, 256 MB unless said otherwise; one chunk is kept whatever its size. It may be changed.

    Examples
    --------
    >>> stored = np.arange(24).reshape(2, 3, 4)
    >>> array = ChunkedArray(lambda index: stored[index[0] : index[0] + 1], (2, 3, 4), (1, 3, 4), stored.dtype)
    >>> array[1, 1:, 2:]
    array([[18, 19],
           [22, 23]])
    """

    def __init__(
        self, load: Callable[[Shape], NDArray[Any]], shape: Shape, chunks: Shape, dtype: Any, budget: int = LARGEST_KEPT
    ) -> None:
        super().__init__(shape, dtype, chunks)
        self._load, self.budget = load, budget
        self._kept: OrderedDict[Shape, Future[NDArray[Any]]] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkedArray, (self._load, self.shape, self.chunks, self.dtype, self.budget)

    def read(self, box: Box) -> NDArray[Any]:
        """Read a box of (z, y, x), chunk by chunk."""
        values = np.empty([span.stop - span.start for span in box], self.dtype)
        touched = (
            range(span.start // size, -(-span.stop // size)) for span, size in zip(box, self.chunks, strict=True)
        )
        for z, y, x in itertools.product(*touched):
            here, there = [], []
            for index, size, span in zip((z, y, x), self.chunks, box, strict=True):
                first, last = max(index * size, span.start), min((index + 1) * size, span.stop)
                here.append(slice(first - span.start, last - span.start))
                there.append(slice(first - index * size, last - index * size))
            values[tuple(here)] = self._chunk((z, y, x))[tuple(there)]
        return values

    def _chunk(self, index: Shape) -> NDArray[Any]:
        with self._lock:
            future = self._kept.get(index)
            if missing := future is None:
                future = self._kept[index] = Future()
            self._kept.move_to_end(index)
        if missing:
            try:
                chunk = self._load(index)
            except BaseException as error:  # also Ctrl-C: others wait for this chunk
                with self._lock:
                    del self._kept[index]
                future.set_exception(error)
                raise
            future.set_result(chunk)
            self._account(chunk.nbytes)
        return future.result()

    def _account(self, added: int) -> None:
        """Count a new chunk, and forget those that were not used for longest."""
        with self._lock:
            self._bytes += added
            ready = [index for index, future in self._kept.items() if future.done()]
            for index in ready[:-1]:
                if self._bytes <= self.budget:
                    break
                self._bytes -= self._kept.pop(index).result().nbytes
