"""NIfTI files, whole or scaled, plain or compressed: against nibabel."""

import gzip

import nibabel
import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan import read_volume
from camfast.scan.formats import contents
from tests.scan.test_raw import random_keys

SHAPE = (3, 5, 7)


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti(tmp_path, data, ending, kind):
    image = kind(data.T, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / f"a{ending}")
    volume = read_volume(tmp_path / f"a{ending}")
    assert volume.data.dtype == np.float32
    for key in random_keys(SHAPE, 10):
        np.testing.assert_array_equal(volume.data[key], data[key])
    assert volume.voxel_angstrom == pytest.approx((4e4, 3e4, 2e4))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u1", "<f4", ">f8"])
@pytest.mark.parametrize("scaling", [(2.0, 0.0), (0.1, -3.0), (1.0, 5.0), (None, None)])
def test_values_are_scaled_as_nibabel_scales_them(tmp_path, scaling, dtype, ending):
    stored = np.random.default_rng(0).integers(0, 100, SHAPE[::-1]).astype(dtype)
    header = nibabel.Nifti1Header(endianness=dtype[0])
    header.set_data_dtype(dtype)
    image = nibabel.Nifti1Image(stored, np.eye(4), header)
    image.header.set_slope_inter(*scaling)
    nibabel.save(image, tmp_path / f"a{ending}")
    expected = np.asarray(nibabel.load(tmp_path / f"a{ending}").dataobj).transpose()
    volume = read_volume(tmp_path / f"a{ending}")
    assert volume.data.dtype == volume.data[...].dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(volume.data, expected)
    np.testing.assert_array_equal(volume.data[1:, 2:4, 3:], expected[1:, 2:4, 3:])


def test_axes_of_one_behind_the_three_are_dropped_and_others_refused(tmp_path, data):
    nibabel.save(nibabel.Nifti1Image(data.T[..., None, None], np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, data)
    nibabel.save(nibabel.Nifti1Image(np.stack([data.T, data.T], 3), np.eye(4)), tmp_path / "b.nii")
    with pytest.raises(InputError, match=r"b.nii: found 4 axes \(2, 3, 5, 7\)"):
        read_volume(tmp_path / "b.nii")


def test_complex_values_are_refused(tmp_path, data):
    nibabel.save(nibabel.Nifti1Image(data.T.astype(np.complex64), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a.nii: holds values of type complex64"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_damaged(tmp_path, data, pack):
    path = tmp_path / ("a.nii" if pack is bytes else "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(data.T, np.eye(4)), tmp_path / "whole.nii")
    whole = (tmp_path / "whole.nii").read_bytes()
    path.write_bytes(pack(whole[:-1]))
    with pytest.raises(InputError, match=f"{path.name}: truncated"):
        read_volume(path)
    path.write_bytes(pack(whole[:40]))
    with pytest.raises(InputError, match=f"{path.name}: cannot be read as NIfTI"):
        read_volume(path)
    path.write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(InputError, match=f"{path.name}: (the compressed data is damaged|cannot be read as NIfTI)"):
        read_volume(path)


def test_large_packed_files_are_unpacked_on_disk(tmp_path, data, monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_IN_MEMORY", 100)
    nibabel.save(nibabel.Nifti1Image(data.T, np.eye(4)), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, data)


@pytest.mark.realdata
def test_a_real_brain(data_dir):
    volume = read_volume(data_dir / "mri/t1.nii.gz")
    assert volume.shape == (256, 256, 256)
    assert volume.voxel_angstrom is None  # its header names no unit of length
    # Stored (x, y, z): the same values as nibabel gives them, axes reversed.
    stored = np.asarray(nibabel.load(data_dir / "mri/t1.nii.gz").dataobj)
    np.testing.assert_array_equal(volume.data, np.moveaxis(stored, (0, 1, 2), (2, 1, 0)))
