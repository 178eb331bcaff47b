"""What ops get ready for kernels: shapes that don't fit each other, colour tables, counters, threads."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from camfast import ops
from camfast.ops import colormaps, threads
from camfast.ops.bands import linear_band
from camfast.ops.counters import Counters

A = torch.rand(2, 3, 4, 4)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 4, 4, 4)])
def test_activations_of_other_axes(shape: tuple[int, ...]) -> None:
    odd = torch.rand(shape)
    with pytest.raises(ValueError, match=r"activations must be \(N, C, \*S\) with one to three spatial axes, found"):
        ops.fused_cam(odd, odd, "gradcam")


def test_maps_of_four_axes() -> None:
    with pytest.raises(ValueError, match=r"size must have one to three axes, found \(4, 4, 4, 4\)"):
        ops.linear_upsample(torch.rand(1, 2, 2, 2, 2), (4, 4, 4, 4))


def test_gaussians_are_not_asked_of_a_linear_upsampling() -> None:
    for options in ({"sigma": 2.0}, {"centres": [(0.0, 1.0), (0.0, 1.0)]}):
        with pytest.raises(ValueError, match="sigma and centres belong to upsample='gaussian', found them with 'lin"):
            ops.fused_cam(A, A, "gradcam", size=(8, 8), upsample="linear", **options)  # type: ignore[arg-type]


def test_without_a_size_the_map_is_the_grid() -> None:
    out = ops.allocate(A, "gradcam", None)
    assert ops.fused_cam_parts(A, A, "gradcam", out=out).maps is out.grid
    with pytest.raises(ValueError, match=r"out\.maps must be out\.grid where no size is given"):
        ops.fused_cam_parts(A, A, "gradcam", out=out._replace(maps=out.grid.clone()))


def test_windows_larger_than_the_grid() -> None:
    total, taper = torch.zeros(1, 3, 3, dtype=torch.float64), torch.ones(4, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"no more than the grid along each axis: found windows of \(4, 2\) on a grid"):
        ops.window_sum(total, torch.zeros(1, 1, 4, 2), torch.zeros(1, 2, dtype=torch.int64), taper)


@pytest.mark.parametrize("backend", [None, "torch"])
def test_a_linear_overlay_is_the_blend_of_what_torch_interpolates(backend: str | None) -> None:
    image, heat = torch.randint(0, 256, (1, 12, 9), dtype=torch.uint8), torch.rand(1, 4, 3)
    found = ops.overlay(image, heat, low=0.0, high=1.0, colormap="gray", alpha=0.5, backend=backend)
    upsampled = F.interpolate(heat[None].double(), (12, 9), mode="bilinear", align_corners=False)[0]
    expected = 0.5 * image.double() + 0.5 * (255 * upsampled).round()
    # half a level of its own rounding, and half of one of the colour that both round
    assert float((found.double() - expected[..., None]).abs().max()) <= 1.0


def test_a_band_knows_both_lengths() -> None:
    band = linear_band(5, 40, torch.float32, torch.device("cpu"))
    assert band is not None
    assert band.pixels == 40


def test_colours_are_copied_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colormaps, "_ON_DEVICES", {})
    elsewhere = torch.device("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):  # as an exporter's, whose tensors nobody else may get
        colormaps.color_table("jet", elsewhere)
    assert colormaps._ON_DEVICES == {}
    table = colormaps.color_table("jet", elsewhere)
    assert (table.device.type, table.shape, table.dtype) == ("meta", (256, 3), torch.uint8)
    assert colormaps.color_table("jet", elsewhere) is table
    assert colormaps.color_table("hot", elsewhere) is not table


def test_counters_are_kept_for_each_stream_and_grow() -> None:
    counters, like = Counters(), torch.zeros(1)
    first = counters.get(like, (0, 1), 10)
    assert first.dtype == torch.int32
    assert len(first) >= 10
    assert not first.any()
    assert counters.get(like, (0, 1), len(first)) is first
    assert counters.get(like, (0, 2), 10) is not first
    larger = counters.get(like, (0, 1), len(first) + 1)
    assert len(larger) > len(first)
    assert counters.get(like, (0, 1), 10) is larger


def test_torchs_threads_are_not_looked_for_where_they_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another system, a torch that brings no libgomp, and one that lies there and isn't the one in use."""
    kernels = SimpleNamespace(use_team=lambda *_: pytest.fail("there is no team to use"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert threads.share(kernels) is False  # type: ignore[arg-type]
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "__init__.py"))
    assert threads.share(kernels) is False  # type: ignore[arg-type]
    (tmp_path / "lib" / "libgomp-0.so.1").write_bytes(b"not in use")
    assert threads.share(kernels) is False  # type: ignore[arg-type]
