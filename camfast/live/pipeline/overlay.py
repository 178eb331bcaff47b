"""From a camera's frame to an overlay, again and again: `Overlay`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast import ops
from camfast.engine import Explainer
from camfast.live.clock import StageClock
from camfast.live.pipeline.device import Lanes, can_be_captured
from camfast.live.pipeline.levels import HALF_LIFE, RunningRange
from camfast.live.pipeline.picture import Pending, Picture
from camfast.live.pipeline.preparing import FrameForm, Levels, Preparation
from camfast.live.pipeline.projections import canvas_size, places, projections
from camfast.models import Preprocess
from camfast.targets import Classes

# Ends of the colours: nearly the largest value of the map, and for maps with negative values nearly the smallest.
_PERCENTILES = (0.5, 99.5)


class Overlay:
    """Lays the map of each frame over it, in tensors that are kept: a pipeline for frames of one shape.

    A frame is resampled and normalised for the network, explained, and painted: the map, upsampled by the explainer's
    own mode (Gaussians with the gain ``"average"``), is coloured between running percentiles of its values and blended
    with the frame in one pass. On a CPU nothing is allocated but by the model and the gradient of its head, and a few
    numbers. On a GPU frames are copied from pinned memory, on a stream of the pipeline's own, and all between the raw
    frame and the scale of the colours is one CUDA graph for a kind of target; the colours, whose settings may change
    with each frame, follow on the stream.

    ``target``, ``alpha``, ``threshold`` and ``colormap`` may be set between frames. Frames are taken by one thread.

    Parameters
    ----------
    explainer
        Of one layer, for a network of pictures (1, C, h, w) or volumes (1, 1, D, H, W) with scores (1, C).
    frame_shape
        (H, W), (H, W, 3) of red, green and blue, or (D, H, W) of a volume.
    dtype
        ``"uint8"``, ``"uint16"`` or ``"float32"``, or such a dtype of numpy or torch.
    preprocess
        What a picture needs before the network; its values are the frame's between black and white as 0 to 255. None:
        the frame standardised to mean 0 and standard deviation 1, as volumes always are.
    volume
        Whether three axes are those of a volume, which is shown by its maxima along z, x and y.
    target
        A class, or ``"predicted"``.
    alpha, threshold, colormap
        See `camfast.ops.overlay`.
    levels
        (black, white) of the frames, ``"auto"``: their running percentiles 0.1 and 99.9, or None: (0, 255) for uint8,
        else auto.
    half_life
        Frames in which the running percentiles follow half of a change. The colours run from the map's percentile 0.5
        (from 0 where negative values are set to 0) to 99.5.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it. Also what the explainer raises for such a frame.

    Examples
    --------
    >>> import numpy as np
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5)).eval()
    >>> explainer = camfast.Explainer(model, "1")
    >>> preprocess = camfast.models.Preprocess(size=8)
    >>> pipeline = camfast.live.Overlay(explainer, frame_shape=(64, 48), dtype="uint16", preprocess=preprocess)
    >>> rgb, scores = pipeline(np.ones((64, 48), np.uint16))
    >>> rgb.shape, rgb.dtype, scores.shape
    (torch.Size([64, 48, 3]), torch.uint8, torch.Size([5]))
    """

    def __init__(
        self,
        explainer: Explainer,
        frame_shape: Sequence[int],
        dtype: Any = "uint8",
        *,
        preprocess: Preprocess | None = None,
        volume: bool = False,
        target: int | str = "predicted",
        alpha: float = 0.5,
        threshold: float = 0.0,
        colormap: str = "jet",
        levels: Levels = None,
        half_life: float = HALF_LIFE,
    ) -> None:
        if not isinstance(explainer.layer, str):
            raise ValueError("an overlay shows one layer: give an explainer of a single one")
        if not half_life > 0:
            raise ValueError(f"half_life must be a positive number of frames, found {half_life}")
        self.form = FrameForm.of(frame_shape, dtype, volume=volume)
        self.alpha, self.threshold, self.colormap = alpha, threshold, colormap
        weight = next((p for p in explainer.model.parameters() if p.is_floating_point()), torch.empty(0))
        self.device = weight.device
        self._clock = StageClock()
        self._prepare = Preparation(self.form, preprocess, levels, half_life, self.device, weight.dtype)
        self._raw = torch.zeros(self.form.shape, dtype=getattr(torch, self.form.dtype), device=self.device)
        timed = self._clock.ends("forward", explainer.arguments["output"])
        gridded = explainer.replace(size="grid", upsample="linear", sigma=None, calibration=None, output=timed)
        self._frozen = gridded.freeze(self._prepare.input)
        self._prepare.keep_in(self._frozen.inputs[0][0])
        first = self._frozen.explain_kept("predicted")
        if first.scores.ndim != 2 or first.grid.ndim != len(self._map_axes()) + 1:
            raise ValueError(
                f"an overlay of frames {self.form.shape} needs a network with scores (N, C) and a layer with "
                f"{len(self._map_axes())} spatial axes, found the output {tuple(first.scores.shape)} and the grid "
                f"{tuple(first.grid.shape[1:])}: choose another layer, or an explainer with output="
            )
        self.classes = first.scores.shape[1]
        self.layer, self.method = explainer.layer, explainer.method
        self._backend = explainer.arguments["backend"]
        self._class = Classes(torch.zeros(1, 1, dtype=torch.int64, device=self.device), False)
        self._sigma = _sigma_of_frames(explainer, self._prepare.input.shape[2:], self._map_axes())
        self._range = RunningRange(first.grid.numel(), _PERCENTILES, half_life, self.device)
        self._smooth = torch.empty_like(first.grid)
        self._starts_at_0 = explainer.relu
        self._size = canvas_size(self.form.shape) if volume else self.form.shape[:2]
        self._gray = self._canvas() if volume else self._prepare.make_gray()
        self._blends_raw = self.device.type == "cpu" and not volume  # a GPU's kernel wants levels that are numbers
        self._lanes = Lanes(self.form, self._size, self._gray, first, self.device, capture=can_be_captured(self.method))
        self._target: int | str = "predicted"
        self.target = target
        with self._lanes.stream():
            self._paint(self._raw, first.grid, self._lanes.next().colours)  # says what is wrong with the colours

    @property
    def example(self) -> Tensor:
        """The network's input as the last frame left it, (1, C, h, w) or (1, 1, D, H, W)."""
        return self._prepare.input

    @property
    def target(self) -> int | str:
        """The class that is explained, or ``"predicted"``; the colours get a new scale where it changes."""
        return self._target

    @target.setter
    def target(self, target: int | str) -> None:
        if target != "predicted":
            if not hasattr(target, "__index__") or not 0 <= int(target) < self.classes:
                raise ValueError(
                    f"target must be 'predicted' or a class from 0 to {self.classes - 1}, found {target!r}"
                )
            target = int(target)
        if target == self._target:
            return
        self._target = target
        with self._lanes.stream():
            self._range.reset()
            if isinstance(target, int):
                self._class.indices.fill_(target)

    def forget(self) -> None:
        """Start the running percentiles anew with the next frame, as after a pause."""
        with self._lanes.stream():
            self._range.reset()
            self._prepare.forget()

    def __call__(self, frame: NDArray[Any] | Tensor) -> tuple[Tensor, Tensor]:
        """Return the overlay of a frame, (H, W, 3) uint8, and the scores (C,); see `show`."""
        picture = self.show(frame)
        return picture.rgb, picture.scores

    def show(self, frame: NDArray[Any] | Tensor) -> Picture:
        """Make a frame's overlay.

        Parameters
        ----------
        frame
            Array or CPU tensor of the pipeline's shape and dtype.

        Returns
        -------
        Picture
            Of tensors that the second frame after this one overwrites.

        Raises
        ------
        TypeError, ValueError
            If the frame has another shape or dtype.
        """
        return self.submit(frame).result()

    def submit(self, frame: NDArray[Any] | Tensor) -> Pending:
        """Start on a frame, and return what will wait for it: on a GPU the next frame can be given meanwhile.

        At most two frames are on their way: the third waits for the first. See `show`.
        """
        raw = self._checked(frame)
        lane = self._lanes.next()
        self._clock.start()
        with self._lanes.stream():
            lane.upload(raw, self._raw)
            target = self._target if isinstance(self._target, str) else self._class
            lane.mark("upload")
            explanation = self._lanes.explain(lambda: self._explain(lane.raw, target), target)
            lane.mark("explain")
            self._paint(lane.raw, explanation.grid, lane.colours)
            self._clock.stamp("colour")
            lane.mark("colour")
            ends = (self._range.ends, self._prepare.black, self._prepare.white)
            lane.download(explanation, None if self._blends_raw else self._gray, ends)
            self._clock.stamp("results")
        return Pending(lane, self._clock.milliseconds, self._prepare.make_gray if self._blends_raw else None)

    def _explain(self, raw: Tensor, target: Any) -> Any:
        """All between the raw frame and the scale of the colours; nothing of it waits for a GPU."""
        self._prepare(raw)
        if self.form.volume:
            self._project()
        elif not self._blends_raw:
            self._prepare.make_gray()
        self._clock.stamp("prepare")
        explanation = self._frozen.explain_kept(target)
        self._clock.stamp("map")
        self._range.update(self._as_painted(explanation.grid))
        if self._starts_at_0:
            self._range.low.zero_()
        self._clock.stamp("scale")
        return explanation

    def _as_painted(self, grid: Tensor) -> Tensor:
        """The map at the centres of its cells, as smooth as it is painted: what the scale of the colours is for."""
        if self._sigma is None:
            return grid
        sizes = zip(self._sigma, grid.shape[1:], self._map_axes(), strict=True)
        cells = [sigma * cells / pixels for sigma, cells, pixels in sizes]
        return ops.gaussian_upsample(
            grid, grid.shape[1:], cells, gain="average", out=self._smooth, backend=self._backend
        )

    def _paint(self, raw: Tensor, grid: Tensor, colours: Tensor) -> None:
        if self._blends_raw:
            self._blend(raw[None], grid, self._sigma, colours[None], self._prepare.levels())
            return
        if not self.form.volume:
            self._blend(self._gray[None], grid, self._sigma, colours[None])
            return
        heat = grid if self._sigma is None else self._smooth  # it is projected as smooth as its scale is for
        parts = zip(places(self._gray, self.form.shape), projections(heat[0]), strict=True)
        targets = places(colours, self.form.shape)
        for (gray, projection), target in zip(parts, targets, strict=True):
            target.copy_(self._blend(gray.contiguous()[None], projection[None], None)[0])

    def _blend(self, image: Tensor, heat: Tensor, sigma: Any, out: Tensor | None = None, levels: Any = None) -> Tensor:
        return ops.overlay(
            image, heat, low=self._range.low, high=self._range.high, colormap=self.colormap, alpha=self.alpha,
            threshold=self.threshold, sigma=sigma, image_range=levels, out=out, backend=self._backend,
        )  # fmt: skip

    def _canvas(self) -> Tensor:
        return torch.zeros(self._size, dtype=torch.uint8, device=self.device)

    def _project(self) -> None:
        parts = zip(places(self._gray, self.form.shape), projections(self._prepare.make_gray()), strict=True)
        for place, projection in parts:
            place.copy_(projection)

    def _map_axes(self) -> tuple[int, ...]:
        return self.form.shape if self.form.volume else self.form.shape[:2]

    def _checked(self, frame: Any) -> Tensor:
        raw = frame
        if isinstance(frame, np.ndarray):  # torch wants to be able to write
            raw = torch.from_numpy(np.ascontiguousarray(frame) if frame.flags.writeable else frame.copy())
        if not isinstance(raw, Tensor):
            raise TypeError(f"a frame must be a numpy array or a tensor, found {type(frame).__name__}")
        found = (tuple(raw.shape), str(raw.dtype).removeprefix("torch."))
        if found != (self.form.shape, self.form.dtype):
            raise ValueError(
                f"this overlay takes {self.form.dtype} frames {self.form.shape}, found {found[1]} {found[0]}: make "
                "another one for these"
            )
        return raw.detach()


def _sigma_of_frames(explainer: Explainer, inputs: Sequence[int], frames: Sequence[int]) -> tuple[float, ...] | None:
    """The explainer's σ in pixels of the frames; None for linear upsampling."""
    upsampling = explainer.upsampling
    if upsampling.mode != "gaussian" or upsampling.sigma is None:
        return None
    sigma = np.broadcast_to(np.asarray(upsampling.sigma, float), len(inputs))
    return tuple(float(s) * frame / size for s, frame, size in zip(sigma, frames, inputs, strict=True))
