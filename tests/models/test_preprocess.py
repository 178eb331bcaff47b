import numpy as np
import pytest
import torch
from PIL import Image

from camfast.errors import InputError
from camfast.models import Preprocess

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)


def test_the_formula_channel_by_channel():
    given = Preprocess(None, "BGR", 0.5, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))(COLOUR)
    blue_first = COLOUR[:, :, ::-1].astype(np.float64)
    expected = (blue_first * 0.5 - [1.0, 2.0, 3.0]) / [4.0, 5.0, 6.0]
    assert given.shape == (1, 3, 7, 5)
    assert given.dtype == torch.float32
    np.testing.assert_allclose(given[0].permute(1, 2, 0).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_pictures_of_any_colour_mode(mode):
    image = Image.fromarray(COLOUR).convert(mode)
    expected = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)
    assert np.array_equal(Preprocess(scale=1.0)(image)[0].numpy(), expected)


@pytest.mark.parametrize("resample", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize("channels", ["RGB", "L"])
def test_resizing_is_pils(resample, channels):
    image = Image.fromarray(COLOUR).convert(channels)
    resized = np.asarray(image.resize((11, 4), Image.Resampling[resample.upper()]), np.float32)
    given = Preprocess((4, 11), channels, 1.0, resample=resample)(image)[0].numpy()
    assert np.array_equal(given, np.atleast_3d(resized).transpose(2, 0, 1))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64, bool])
def test_deep_pictures_are_not_clipped(dtype):
    deep = (GREY.astype(np.float64) * 257).astype(dtype)
    expected = deep.astype(np.float32)
    assert np.array_equal(Preprocess(channels="L", scale=1.0)(deep)[0, 0].numpy(), expected)
    repeated = Preprocess(channels="RGB", scale=1.0)(deep[..., None])[0].numpy()
    assert np.array_equal(repeated, np.stack([expected] * 3))


def test_deep_colours_become_luma_and_sixteen_bit_files_keep_their_depth(tmp_path):
    deep = COLOUR.astype(np.float32) * 100
    expected = deep @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(Preprocess(channels="L", scale=1.0)(deep)[0, 0].numpy(), expected, rtol=1e-5)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        assert Preprocess(channels="L", scale=1.0)(image).max() == GREY.max() * 257.0


def test_alpha_of_arrays_is_dropped_and_grey_is_repeated():
    alpha = np.dstack([COLOUR, GREY])
    assert torch.equal(Preprocess()(alpha), Preprocess()(COLOUR))
    assert torch.equal(Preprocess()(GREY), Preprocess()(np.dstack([GREY] * 3)))
    assert torch.equal(Preprocess(channels="L")(GREY[:1, :, None]), Preprocess(channels="L")(GREY[:1]))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4, 3), (4, 4, 2), (0, 4), (4, 4, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="a picture must be"):
        Preprocess()(np.zeros(shape, np.uint8))


def test_what_holds_no_numbers_is_refused():
    with pytest.raises(InputError, match="must hold numbers"):
        Preprocess()(np.full((2, 2), "a"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": "RBG"}, "channels must be one of RGB, BGR, L"),
        ({"resample": "cubic"}, "resample must be one of nearest"),
        ({"size": 0}, "size must be"),
        ({"size": (3, 4, 5)}, "size must be"),
        ({"size": (3.5, 4)}, "size must be"),
        ({"mean": (1, 2)}, "mean must be one number or 3"),
        ({"channels": "L", "std": (1, 2, 3)}, "std must be one number or 1"),
        ({"std": (1, 0, 1)}, "std must not hold 0"),
        ({"scale": float("nan")}, "scale must be finite"),
        ({"mean": float("inf")}, "mean must be finite"),
        ({"std": (1, float("nan"), 1)}, "std must be finite"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Preprocess(**fields)


def test_a_number_is_a_square_and_goes_for_all_channels():
    assert Preprocess(4, mean=0.5) == Preprocess((4, 4), mean=(0.5, 0.5, 0.5))
