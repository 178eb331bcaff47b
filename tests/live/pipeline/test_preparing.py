"""What a frame becomes for the network, against `Preprocess` and against float64, and for the eye."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from camfast.live.pipeline.preparing import FrameForm, Levels, Preparation
from camfast.models import Preprocess
from tests.live.networks import greys, network_input

RGB = Preprocess(size=(12, 10), mean=(0.48, 0.45, 0.4), std=(0.22, 0.23, 0.24))
BGR = Preprocess(size=14, channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0))
L = Preprocess(channels="L", mean=(0.5,), std=(0.25,), resample="lanczos")


def _frame(shape: tuple[int, ...], dtype: str) -> NDArray[np.generic]:
    values = np.random.default_rng(0).random(shape) * (255 if dtype == "uint8" else 5000)
    return values.astype(dtype)


@pytest.mark.parametrize("preprocess", [RGB, BGR, L], ids=lambda p: p.channels)
@pytest.mark.parametrize("shape", [(33, 41), (33, 41, 3), (1, 1), (7, 3, 3)])
@pytest.mark.parametrize(
    ("dtype", "levels"), [("uint8", None), ("uint16", (100.0, 4000.0)), ("float32", (4000.0, 0.0))]
)
def test_input_and_greys(preprocess: Preprocess, shape: tuple[int, ...], dtype: str, levels: Levels) -> None:
    frame = _frame(shape, dtype)
    prepare = Preparation(FrameForm(shape, dtype), preprocess, levels)
    prepare(torch.from_numpy(frame))
    black, white = (0.0, 255.0) if levels is None else levels
    expected = network_input(frame, preprocess, black, white)
    # float32 sums of levels up to 255, times scale/std
    torch.testing.assert_close(prepare.input.double(), expected, rtol=1e-5, atol=2e-3 * preprocess.scale / 0.2)
    assert np.abs(prepare.make_gray().numpy() - greys(frame, black, white)).max() <= 0.5 + 1e-3


def test_eight_bits_are_what_preprocess_makes_of_them() -> None:
    frame = _frame((30, 20, 3), "uint8")
    same_size = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    prepare = Preparation(FrameForm((30, 20, 3), "uint8"), same_size)
    prepare(torch.from_numpy(frame))
    torch.testing.assert_close(prepare.input, same_size(frame))
    assert np.array_equal(prepare.make_gray(), frame)


def test_levels_follow_the_frames() -> None:
    frame = _frame((64, 64), "uint16")
    prepare = Preparation(FrameForm((64, 64), "uint16"), Preprocess(channels="L"), "auto")
    prepare(torch.from_numpy(frame))
    black, white = np.percentile(frame, (0.1, 99.9))
    assert float(prepare.black) == pytest.approx(black)
    assert float(prepare.white) == pytest.approx(white)
    for _ in range(200):
        prepare(torch.from_numpy((frame // 2).astype(np.uint16)))
    assert float(prepare.white) == pytest.approx(np.percentile(frame // 2, 99.9), rel=1e-3)


@pytest.mark.parametrize("volume", [False, True])
def test_without_preprocess_a_frame_is_standardised(volume: bool) -> None:
    shape = (6, 9, 11) if volume else (9, 11)
    frame = _frame(shape, "float32")
    prepare = Preparation(FrameForm(shape, "float32", volume), None)
    prepare(torch.from_numpy(frame))
    expected = (frame - frame.mean(dtype=np.float64)) / frame.std(dtype=np.float64)
    np.testing.assert_allclose(prepare.input.numpy().reshape(shape), expected, rtol=1e-4, atol=1e-5)


def test_a_closed_shutter_is_no_nan() -> None:
    for preprocess in (None, Preprocess(channels="L")):
        prepare = Preparation(FrameForm((8, 8), "uint16"), preprocess)
        prepare(torch.full((8, 8), 300, dtype=torch.uint16))
        assert prepare.input.isfinite().all()
        assert prepare.make_gray().max() == 0


def test_nan_reaches_the_network_and_is_shown_black() -> None:
    frame = torch.rand(8, 8)
    frame[2, 3] = torch.nan
    prepare = Preparation(FrameForm((8, 8), "float32"), Preprocess(channels="L"), (0.0, 1.0))
    prepare(frame)
    assert prepare.input.isnan().sum() == 1
    assert prepare.make_gray()[2, 3] == 0


def test_greys_far_from_zero_are_exact() -> None:
    frame = (10_000 + torch.arange(1025.0) / 1024).reshape(25, 41)
    prepare = Preparation(FrameForm((25, 41), "float32"), None, (10_000.0, 10_001.0))
    prepare(frame)
    expected = np.round(greys(frame.numpy(), 10_000, 10_001))
    assert np.abs(prepare.make_gray().numpy() - expected).max() <= 1  # halves
    assert np.mean(prepare.make_gray().numpy() != expected) < 0.02


def test_a_masked_border_leaves_the_rest_visible() -> None:
    frame = torch.rand(40, 40)
    frame[:10] = torch.nan
    prepare = Preparation(FrameForm((40, 40), "float32"), None)
    prepare(frame)
    assert 0 <= float(prepare.black) < 0.01
    assert 0.99 < float(prepare.white) <= 1
    assert prepare.make_gray()[:10].max() == 0
    assert prepare.make_gray()[10:].float().std() > 60


@pytest.mark.parametrize("dtype", [np.uint16, np.dtype("uint16"), torch.uint16, "uint16"])
def test_dtypes_by_whatever_name(dtype: object) -> None:
    assert FrameForm.of([3, 4], dtype) == FrameForm((3, 4), "uint16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (3, 4, 5), "dtype": "uint8"}, "frame_shape must be"),
        ({"shape": (3, 4), "dtype": "uint8", "volume": True}, "frame_shape must be"),
        ({"shape": (0, 4), "dtype": "uint8"}, "frame_shape must be"),
        ({"shape": (3, 4), "dtype": "int32"}, "dtype must be one of"),
    ],
)
def test_forms_that_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameForm(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [(1.0, 1.0), (0.0, np.nan), "bright", (1, 2, 3), 5])
def test_levels_that_are_refused(levels: Levels) -> None:
    with pytest.raises(ValueError, match="levels must be"):
        Preparation(FrameForm((4, 4), "uint8"), None, levels)


def test_preprocess_is_for_pictures() -> None:
    with pytest.raises(ValueError, match="preprocess is for pictures"):
        Preparation(FrameForm((4, 4, 4), "uint8", True), RGB)
