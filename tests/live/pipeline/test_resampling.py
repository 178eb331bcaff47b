"""Filters, against PIL's on pictures of floats."""

import numpy as np
import pytest
import torch
from PIL import Image

from camfast.live.pipeline.resampling import NativeResampler, TorchResampler, resampler
from camfast.ops import native

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
SIZES = [
    ((31, 47), (7, 9)),
    ((16, 16), (16, 16)),
    ((9, 5), (20, 11)),
    ((1, 1), (3, 2)),
    ((40, 8), (1, 1)),
    ((64, 61), (64, 10)),
]


KINDS = {
    "native": NativeResampler,
    "torch": lambda *arguments: TorchResampler(*arguments, torch.device("cpu")),
}


def _pil(frame: np.ndarray, size: tuple[int, int], resample: str) -> np.ndarray:
    """The planes (C, h, w), each resampled by PIL as a picture of floats."""
    planes = frame[None] if frame.ndim == 2 else np.moveaxis(frame, -1, 0)
    filtering = Image.Resampling[resample.upper()]
    return np.stack([Image.fromarray(np.float32(plane)).resize(size[::-1], filtering) for plane in planes])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_equals_pil(kind: str, resample: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    for shape in (before, (*before, 3)):
        frame = np.random.default_rng(0).random(shape, np.float32) * 4000
        found = KINDS[kind](shape, after, resample)(torch.from_numpy(frame))
        # PIL sums in float64 and both store float32; values reach 4000
        np.testing.assert_allclose(found.numpy(), _pil(frame, after, resample), rtol=3e-6, atol=4e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(37, 53), (300, 1001), (37, 53, 3), (5, 3, 3)])
def test_frames_as_they_are_stored(kind: str, dtype: str, shape: tuple[int, ...]) -> None:
    frame = (np.random.default_rng(1).random(shape) * (255 if dtype == "uint8" else 65535)).astype(dtype)
    found = KINDS[kind](shape, (17, 29), "bilinear")(torch.from_numpy(frame))
    np.testing.assert_allclose(found.numpy(), _pil(frame, (17, 29), "bilinear"), rtol=3e-6, atol=1e-2)


def test_threads_do_not_change_the_bits() -> None:
    frame = torch.rand(700, 900)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(NativeResampler((700, 900), (150, 160), "lanczos")(frame).clone())
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_nan_stays_where_it_is_seen() -> None:
    frame = torch.zeros(40, 40)
    frame[20, 8] = torch.nan
    for kind in KINDS.values():
        found = kind((40, 40), (10, 10), "bilinear")(frame)[0].isnan()
        assert found[4:6, 1:3].any()
        assert not found[8:].any()


def test_without_the_extension_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(resampler((4, 4), (2, 2), "box", torch.device("cpu")), NativeResampler)
    monkeypatch.setattr(native, "load_failure", lambda: "it isn't built")
    assert isinstance(resampler((4, 4), (2, 2), "box", torch.device("cpu")), TorchResampler)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_kept(kind: str) -> None:
    resampling = KINDS[kind]((8, 8), (4, 4), "bilinear")
    first = resampling(torch.zeros(8, 8))
    assert resampling(torch.ones(8, 8)).data_ptr() == first.data_ptr()
