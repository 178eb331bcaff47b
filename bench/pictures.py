"""Cases of the ops that make pictures of maps, and keep the largest of several."""

import importlib.util

import torch
from torch import Tensor

from bench.case import CV2, Case, Peer, Spec, make_case
from camfast import ops
from camfast.ops import reference
from camfast.ops.colormaps import color_table
from camfast.ops.forms import RunningMax, map_dtype

_COLORMAP, _ALPHA = "jet", 0.5


def overlay(spec: Spec, device: str) -> Case:
    """A map over the largest values of its image's dtype, which is the variant."""
    assert spec.to is not None
    dtype = getattr(torch, spec.variant)
    white = torch.iinfo(dtype).max
    image = torch.randint(white + 1, (spec.size[0], *spec.to), device=device).to(dtype)
    heat = torch.randn(spec.size, dtype=getattr(torch, spec.dtype), device=device)
    low, high = heat.min().item(), heat.max().item()
    table = color_table(_COLORMAP, image.device)
    out = torch.empty(*image.shape, 3, dtype=torch.uint8, device=device)
    peers = {}
    if device == "cpu" and len(image) == 1 and importlib.util.find_spec("cv2"):
        # it rounds to 8 bits before it blends, where the formula rounds once
        peers[CV2] = Peer(_OpenCV(image, heat, table, low, high), tolerance=1e-2)
    return make_case(
        spec,
        lambda backend: ops.overlay(
            image, heat, low=low, high=high, colormap=_COLORMAP, alpha=_ALPHA, out=out, backend=backend
        ),
        lambda pixels, cells: reference.overlay(pixels, cells, table, low, high, _ALPHA, None, 0.0, float(white)),
        (image, heat),
        out,
        peers=peers,
        tolerance=2e-3,  # levels of 8 bits that float32 rounds to the other side
    )


def running_max(spec: Spec, device: str) -> Case:
    """Into other tensors than those that are read, so that every call does the same."""
    candidate = torch.randn(spec.size, dtype=getattr(torch, spec.dtype), device=device)
    values = torch.randn(spec.size, dtype=map_dtype(candidate.dtype), device=device)
    index = torch.randint(100, spec.size, dtype=torch.int32, device=device)
    out = RunningMax(torch.empty_like(values), torch.empty_like(index))
    unit = 100

    def floor() -> None:
        """As many reads and writes, in torch's fastest routines."""
        torch.maximum(values, candidate, out=out.values)
        out.index.copy_(index)

    return make_case(
        spec,
        lambda backend: ops.running_max(values, index, candidate, unit, out=out, backend=backend),
        lambda v, i, c: reference.running_max(v, i, c, unit),
        (values, index, candidate),
        out,
        floor=floor,
    )


class _OpenCV:
    """What users of OpenCV write: resize, scale to 8 bits, colour, and add, each into an array that exists."""

    def __init__(self, image: Tensor, heat: Tensor, table: Tensor, low: float, high: float) -> None:
        import cv2

        self.cv2 = cv2
        cv2.setNumThreads(torch.get_num_threads())
        height, width = image.shape[1:]
        self.image, self.heat, self.table = image[0].numpy(), heat[0].numpy(), table[:, None].numpy()
        self.scale, self.offset = 255 / (high - low), -low * 255 / (high - low)
        self.levels = 255 / torch.iinfo(image.dtype).max
        self.size = (width, height)
        self.resized, self.gray = torch.empty(height, width).numpy(), torch.empty(2, height, width).byte().numpy()
        self.colour, self.out = torch.empty(2, height, width, 3).byte().numpy()

    def __call__(self) -> Tensor:
        cv2 = self.cv2
        cv2.resize(self.heat, self.size, dst=self.resized, interpolation=cv2.INTER_LINEAR)
        cv2.convertScaleAbs(self.resized, dst=self.gray[0], alpha=self.scale, beta=self.offset)
        cv2.applyColorMap(self.gray[0], self.table, dst=self.colour)
        cv2.convertScaleAbs(self.image, dst=self.gray[1], alpha=self.levels)
        cv2.cvtColor(self.gray[1], cv2.COLOR_GRAY2RGB, dst=self.out)
        cv2.addWeighted(self.out, 1 - _ALPHA, self.colour, _ALPHA, 0, dst=self.out)
        return torch.from_numpy(self.out)[None]
