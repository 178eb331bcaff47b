"""Pictures come out of their bytes again."""

import io

import numpy as np
import pytest
from PIL import Image

from camfast.live.serving.encoding import encode


def _smooth(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width)]
    return np.stack(channels, 2).astype(np.uint8)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
@pytest.mark.parametrize("size", [(1, 1), (7, 33), (64, 48)])
@pytest.mark.parametrize("channels", [1, 3])
def test_files_hold_the_picture(form: str, size: tuple[int, int], channels: int) -> None:
    picture = _smooth(*size) if channels == 3 else _smooth(*size)[..., 2]
    encoded = encode(picture, form, 95)
    assert (encoded.format, encoded.height, encoded.width, encoded.channels) == (form, *size, channels)
    image = Image.open(io.BytesIO(encoded.data))
    assert image.format == form.upper()
    decoded = np.asarray(image.convert("L" if channels == 1 else "RGB"), float)
    # lossy, with colours at half the resolution: ramps of one grey level a pixel and more come back within 3 levels
    assert np.abs(decoded - picture).mean() < 3


def test_raw_bytes_are_the_pixels() -> None:
    for picture in (_smooth(5, 7), _smooth(5, 7)[..., 1], _smooth(9, 7)[::2]):
        encoded = encode(picture, "raw", 0)
        np.testing.assert_array_equal(np.frombuffer(encoded.data, np.uint8).reshape(picture.shape), picture)


def test_a_better_quality_is_larger() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for form in ("jpeg", "webp"):
        assert len(encode(noise, form, 60).data) < len(encode(noise, form, 95).data)


@pytest.mark.parametrize(
    ("form", "length", "sent"),
    [("webp", 16383, "webp"), ("webp", 16384, "jpeg"), ("jpeg", 65536, "raw"), ("webp", 65536, "raw")],
)
def test_what_a_format_cant_hold_goes_in_another(form: str, length: int, sent: str) -> None:
    assert encode(np.zeros((1, length), np.uint8), form, 60).format == sent
