"""Where a frame comes in and its overlay goes out: on a GPU two lanes of pinned memory, and a CUDA graph between."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from camfast.errors import CaptureError
from camfast.explanation import Explanation
from camfast.frozen import Graph
from camfast.live.pipeline.preparing import FrameForm
from camfast.methods import COMPONENTS

# One frame is computed while the other's results are looked at.
_LANES = 2


class Lane:
    """The memory of one frame on its way, on the CPU's side. On a CPU nothing is copied but the results."""

    def __init__(self, form: FrameForm, size: tuple[int, ...], gray: Tensor, first: Explanation) -> None:
        pinned = gray.is_cuda
        self._on_gpu = pinned
        self.rgb = torch.zeros(*size, 3, dtype=torch.uint8, pin_memory=pinned)
        self.gray = torch.zeros(gray.shape, dtype=torch.uint8, pin_memory=pinned)
        self.grid = torch.zeros(first.grid.shape[1:], pin_memory=pinned)
        self.scores = torch.zeros(first.scores.shape[1], pin_memory=pinned)
        self.target = torch.zeros((), dtype=torch.int64, pin_memory=pinned)
        self.ends = torch.zeros(4, dtype=torch.float32, pin_memory=pinned)
        self.colours = self.rgb.to(gray.device)  # the same tensor on a CPU
        self._staged = torch.zeros(form.shape, dtype=getattr(torch, form.dtype), pin_memory=pinned) if pinned else None
        self._events: dict[str, Any] = {}
        self._done: Any = None
        self.raw = self.rgb  # the frame, where the network is

    def upload(self, raw: Tensor, device: Tensor) -> None:
        """Bring a frame to where the network is."""
        if self._staged is None:
            self.raw = raw
            return
        self.mark("start")
        self._staged.copy_(raw)
        self.mark("stage")
        device.copy_(self._staged, non_blocking=True)
        self.raw = device

    def mark(self, stage: str) -> None:
        """Note on the stream that a stage has ended."""
        if self._on_gpu:
            event = self._events.setdefault(stage, torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
            event.record()

    def download(self, explanation: Explanation, gray: Tensor | None, ends: Sequence[Tensor]) -> None:
        """Bring the results to the CPU's side."""
        (range_ends, black, white) = ends
        if self.colours is not self.rgb:
            self.rgb.copy_(self.colours, non_blocking=True)
        if gray is not None:
            self.gray.copy_(gray, non_blocking=True)
        self.grid.copy_(explanation.grid[0], non_blocking=True)
        self.scores.copy_(explanation.scores[0], non_blocking=True)
        self.target.copy_(explanation.targets.flatten()[0], non_blocking=True)
        self.ends[:2].copy_(range_ends, non_blocking=True)
        self.ends[2].copy_(black, non_blocking=True)
        self.ends[3].copy_(white, non_blocking=True)
        self.mark("download")
        self._done = self._events.get("download")

    def wait(self) -> None:
        """Wait until the lane's frame is done."""
        if self._done is not None:
            self._done.synchronize()

    def milliseconds(self, on_cpu: Mapping[str, float]) -> dict[str, float]:
        """What the stages took: between the marks on a GPU's stream, as they were stamped on a CPU."""
        if not self._on_gpu:
            return dict(on_cpu)
        marks = self._events.items()
        return {name: before.elapsed_time(event) for (_, before), (name, event) in pairwise(marks)}


class Lanes:
    """The lanes of a pipeline in turn, with its stream and its graphs.

    Parameters
    ----------
    form
        Of the frames.
    size
        Height and width of the overlay.
    gray
        The frame as it is shown, on the network's device.
    first
        An explanation of such a frame.
    device
        Of the network.
    capture
        Whether an explanation may be captured in a graph.
    """

    def __init__(
        self,
        form: FrameForm,
        size: tuple[int, ...],
        gray: Tensor,
        first: Explanation,
        device: torch.device,
        *,
        capture: bool = True,
    ) -> None:
        self._device, self._capture = device, capture
        self._lanes = [Lane(form, size, gray, first) for _ in range(_LANES)]
        self._turn = 0
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._graphs: dict[Hashable, Graph[Explanation]] = {}
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))

    def next(self) -> Lane:
        """Return the lane whose frame is the older one, once it is done."""
        lane = self._lanes[self._turn]
        self._turn = (self._turn + 1) % _LANES
        lane.wait()
        return lane

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Work on the pipeline's own stream, if it is on a GPU."""
        if self._stream is None:
            yield
            return
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield

    def explain(self, step: Callable[[], Explanation], target: Any) -> Explanation:
        """Run a step; on a GPU replay the graph of it that was captured for the kind of target."""
        if self._stream is None or not self._capture:
            return step()
        kind = target if isinstance(target, str) else "class"
        if kind not in self._graphs:
            try:
                self._graphs[kind] = Graph(step, target)
            except CaptureError:  # something in the model waits for the GPU
                self._capture = False
                return step()
        return self._graphs[kind].replay()


def can_be_captured(method: str) -> bool:
    """Whether a method waits for nothing on its way: singular vectors and the check of a linear head do."""
    return method not in COMPONENTS and method != "cam"
