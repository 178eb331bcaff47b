"""Real maps of the field, read as mrcfile reads them, and at their corners."""

import itertools

import mrcfile
import numpy as np
import pytest

from camfast.scan import read_volume
from camfast.scan.volumes import statistics


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "shape", "voxel", "start"),
    [
        ("maps/EMD-3001.map", (73, 25, 43), (0.4587, 0.3925, 0.4482), (0, -12, -21)),
        ("maps/EMD-3001.map.bz2", (73, 25, 43), (0.4587, 0.3925, 0.4482), (0, -12, -21)),
        ("maps/emd_3001.map.gz", (73, 25, 43), (0.4587, 0.3925, 0.4482), (0, -12, -21)),
        ("maps/EMD-3197.map", (20, 20, 20), (11.4, 11.4, 11.4), (0, 0, -2)),
        ("maps/emd_1832.map", (64, 64, 64), (5.7, 5.7, 5.7), (-32, -32, -32)),
        ("maps/voxel_size_zero.mrc", (37, 37, 37), None, (0, 0, 0)),
        ("tomograms/microtubule_14pf.mrc", (44, 136, 84), (10.52, 10.52, 10.52), (0, 0, 0)),
    ],
)
def test_real_maps(data_dir, name, shape, voxel, start):
    volume = read_volume(data_dir / name)
    assert volume.shape == shape
    assert volume.start == start
    assert volume.voxel_angstrom == (None if voxel is None else pytest.approx(voxel, rel=2e-4))
    with mrcfile.open(data_dir / name, permissive=True) as file:
        assert float(np.asarray(volume.data).mean()) == pytest.approx(float(file.header.dmean), rel=1e-3, abs=1e-6)


@pytest.mark.realdata
def test_every_real_file_is_read_as_mrcfile_reads_it(data_dir):
    names = sorted(path for folder in ("maps", "tomograms", "templates") for path in (data_dir / folder).iterdir())
    assert len(names) >= 30
    for path in names:
        volume = read_volume(path)
        with mrcfile.open(path, permissive=True) as file:
            columns, rows, sections = (int(file.header[name]) for name in ("mapc", "mapr", "maps"))
            places = [(sections, rows, columns).index(axis) for axis in (3, 2, 1)]
            expected, sizes = file.data.transpose(places), file.voxel_size
        np.testing.assert_array_equal(volume.data, expected)
        np.testing.assert_array_equal(volume.data[3:9, 2:7, 4:11], expected[3:9, 2:7, 4:11])
        mean, std = statistics(volume)
        # mean and deviation in float64 of values of one sign and size: rounding alone
        assert mean == pytest.approx(expected.mean(dtype=np.float64), rel=1e-10, abs=1e-12)
        assert std == pytest.approx(expected.std(dtype=np.float64), rel=1e-10)
        known = [float(sizes[axis]) for axis in "zyx"]
        assert volume.voxel_angstrom == (None if not all(known) else pytest.approx(known, rel=1e-6))


@pytest.mark.realdata
def test_a_crystallographic_map_by_its_corner_voxels(data_dir):
    volume = read_volume(data_dir / "maps/EMD-3001.map")
    with mrcfile.open(data_dir / "maps/EMD-3001.map") as file:  # columns are z, rows x, sections y
        for z, y, x in itertools.product((0, 72), (0, 24), (0, 42)):
            assert volume.data[z, y, x] == file.data[y, x, z]
