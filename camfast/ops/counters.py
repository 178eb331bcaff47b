"""Numbers in device memory by which the blocks of a CUDA kernel find out which of them is the last."""

import threading

import torch
from torch import Tensor


class Counters:
    """Zeros that every kernel leaves as zeros, one tensor for each stream: calls of one stream follow each other."""

    _SMALLEST = 4096

    def __init__(self) -> None:
        self._by_queue: dict[tuple[int, int], Tensor] = {}
        self._lock = threading.Lock()

    def get(self, like: Tensor, queue: tuple[int, int], count: int) -> Tensor:
        """At least so many zeros on a tensor's device, for the stream of (device, stream)."""
        if like.is_cuda and torch.cuda.is_current_stream_capturing():
            # a graph runs on any stream, also beside this one: it gets its own, cleared at each replay
            return like.new_zeros(count, dtype=torch.int32)
        with self._lock:
            counters = self._by_queue.get(queue)
            if counters is None or counters.numel() < count:
                counters = like.new_zeros(max(count, self._SMALLEST), dtype=torch.int32)
                self._by_queue[queue] = counters
        return counters
