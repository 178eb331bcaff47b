"""A scan keeps to the memory that it is given, whatever the size of its tomogram."""

import pytest

from bench.scan_memory import network, scanned, tomogram

LIMIT = 700 << 20
SHAPE = (256, 512, 512)  # 268 MB


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["exact", "shared"])
@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_a_scan_keeps_to_its_memory(tmp_path, trunk, name):
    tomogram(tmp_path / "tomogram.mrc", SHAPE)
    network(tmp_path)
    try:
        _, anonymous, _ = scanned(tmp_path, name, f"{LIMIT >> 20}M", trunk)
    finally:
        (tmp_path / "tomogram.mrc").unlink()
    assert 0 < anonymous < 1.2 * LIMIT  # buffers of libraries and of the allocator, of which it knows nothing
