"""A GPU as the benchmarks see it: its bandwidths, its clock, its launches, and what it is called."""

import functools
import gc
import math
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.autograd.profiler_util import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

import camfast
from bench.peak_memory import Peak
from bench.report import commit, now
from bench.timing import Contender, call_in_a_row

# Bytes of one measurement of the bandwidth, many times what any cache holds.
_LARGE = 2 << 30
# Microseconds that Python takes at most to launch what is timed: the GPU is kept busy for as long before.
_LAUNCHING = 150.0


class Gpu:
    """The current CUDA device.

    Attributes
    ----------
    device
        Where tensors go.
    backends
        What is compared on it.
    cache
        Bytes of its last-level cache.
    """

    device = "cuda"
    backends: tuple[str, ...] = ("cuda", "triton")

    def __init__(self) -> None:
        self._properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.cache: int = self._properties.L2_cache_size
        self._cover = torch.empty(max(4 * self.cache, 1 << 28), dtype=torch.uint8, device=self.device)
        self._cover_microseconds = 1.0
        self._cover_microseconds = 1e6 * statistics.median(
            self.time(functools.partial(self._cover.fill_, 1), 10) for _ in range(5)
        )

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name()

    def circumstances(self) -> dict[str, Any]:
        """Where, when and with what something is measured."""
        try:
            import triton

            triton_version = triton.__version__
        except ImportError:
            triton_version = "none"
        return {
            "gpu": self.name,
            "date": now(),
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "torch": torch.__version__,
            "triton": triton_version,
            "python": platform.python_version(),
            "camfast": camfast.__version__,
            "commit": commit(),
            "compute capability": "{}.{}".format(*torch.cuda.get_device_capability()),
            "multiprocessors": self._properties.multi_processor_count,
            "cache MB": round(self.cache / 1e6, 1),
            "memory GB": round(self._properties.total_memory / 1e9, 1),
        }

    def time(self, contender: Contender, calls: int) -> float:
        """Seconds a call on the GPU alone: it is kept busy, and its cache filled, until all calls are queued."""
        contender()
        for _ in range(math.ceil(calls * _LAUNCHING / self._cover_microseconds)):
            self._cover.fill_(1)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(calls):
            contender()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls

    def time_with_launches(self, contender: Contender, calls: int) -> float:
        """Seconds a call as a caller sees it who makes many in a row: the launches count too."""

        def all_of_them() -> None:
            for _ in range(calls):
                contender()
            torch.cuda.synchronize()

        return call_in_a_row(all_of_them, 1) / calls

    def peak(self, contender: Contender) -> Peak:
        """What two calls have torch's allocator hand out at most, beside what was there before the first."""
        gc.collect()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        contender()
        torch.cuda.synchronize()
        first, between = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        contender()
        torch.cuda.synchronize()
        second = torch.cuda.max_memory_allocated()
        return Peak(before, max(first, second) - before, again=second - between)

    def bandwidths(self) -> dict[str, float]:
        """Bytes a second of a copy (bytes read and written), of reading and of writing, the best of what torch has."""
        count = min(_LARGE, torch.cuda.mem_get_info()[0] // 8) // 4
        source = torch.randn(count, device=self.device)
        target = torch.empty_like(source)
        half = count // 2
        ways: dict[str, tuple[int, Sequence[Callable[[], object]]]] = {
            "copy": (2 * source.nbytes, (lambda: target.copy_(source),)),
            "read": (source.nbytes, (lambda: torch.dot(source[:half], source[half:]), source.sum, source.amax)),
            "write": (source.nbytes, (lambda: target.fill_(1), target.zero_)),
        }
        return {
            name: max(traffic / statistics.median(self.time(way, 4) for _ in range(9)) for way in found)
            for name, (traffic, found) in ways.items()
        }

    def graph(self, contenders: Sequence[Contender]) -> Contender | None:
        """Replays of what was captured, one of each contender in turns."""
        graphs = []
        for contender in contenders:
            contender()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                contender()
            graphs.append(graph)
        return in_turns([graph.replay for graph in graphs])

    def launches(self, contender: Contender) -> list[str] | None:
        """Everything that a call has the GPU do, by name: kernels, and copies and fills of memory."""
        contender()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            contender()
            torch.cuda.synchronize()
        found = [event.name for event in profiler.events() if event.device_type == DeviceType.CUDA]
        return found or None

    def free_memory(self) -> int:
        """Bytes that tensors may have."""
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])


def in_turns(contenders: Sequence[Contender]) -> Contender:
    """One of some callables after the other, round and round: each time other data, which no cache holds."""

    def endless() -> Iterator[Contender]:
        while True:
            yield from contenders

    following = endless()
    return lambda: next(following)()


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"
