"""EM files of both byte orders and every type."""

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan import read_volume

SHAPE = (3, 5, 7)


def em(path, values, machine, code):
    header = (
        bytes([machine, 0, 0, code])
        + np.array(values.shape[::-1], values.dtype.str[0].replace("|", "<") + "i4").tobytes()
    )
    path.write_bytes(header.ljust(512, b"\0") + values.tobytes())
    return path


@pytest.mark.parametrize(("machine", "order"), [(6, "<"), (1, "<"), (5, ">"), (3, ">"), (0, ">")])
@pytest.mark.parametrize(("code", "kind"), [(2, "i2"), (4, "i4"), (5, "f4"), (9, "f8")])
def test_em(tmp_path, machine, order, code, kind):
    values = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(order + kind)
    path = em(tmp_path / "a.em", values, machine, code)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, values)
    np.testing.assert_array_equal(volume.data[1:, 2:4, 3:], values[1:, 2:4, 3:])
    assert volume.data.dtype == np.dtype(kind)
    assert volume.voxel_angstrom is None
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"a.em: truncated: the header promises .* \(3 × 5 × 7 voxels of"):
        read_volume(path)


def test_bytes_are_signed(tmp_path):
    values = np.arange(-50, 55, dtype=np.int8).reshape(SHAPE)
    np.testing.assert_array_equal(read_volume(em(tmp_path / "a.em", values, 6, 1)).data, values)


def test_complex_values_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a.em: holds values of type complex64, expected real numbers"):
        read_volume(em(tmp_path / "a.em", np.zeros(SHAPE, np.complex64), 6, 8))


@pytest.mark.parametrize("content", [b"", b"\x06\0\0\x07" + bytes(508), b"\x06\0\0\x05" + bytes(508), bytes(600)])
def test_what_is_no_em_file(tmp_path, content):
    path = tmp_path / "a.em"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.em: not an EM file"):
        read_volume(path)
