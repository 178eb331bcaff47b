"""A tomogram that changes under a scan, or between two: no map is of two versions."""

import os
import shutil

import numpy as np
import pytest
import zarr

import camfast
from camfast.scan import Volume, read_volume, write_volumes
from camfast.scan.formats import zarr_chunks
from camfast.scan.tasks.job import Job
from camfast.scan.unchanged import State
from tests.scan.cases import SHAPE, STRIDE, WINDOW, density

WHEN = 10**18


def test_a_tomogram_that_was_replaced_is_noticed(scanning, interrupted, tomogram, tmp_path):
    interrupted()
    os.utime(tomogram, ns=(0, 10**18))
    with pytest.raises(camfast.InputError, match=r"volume.changed was \d+ and is 1000000000000000000\b"):
        scanning()
    write_volumes(tomogram, [density((20, 16, 32))], Volume(density((20, 16, 32)), (10.0, 10.0, 10.0)))
    with pytest.raises(camfast.InputError, match=r"volume.shape was \[20, 16, 24\] and is \[20, 16, 32\]"):
        scanning()


def overwrite(path):
    """In place, at once."""
    values, other = density(SHAPE, 1), path.with_name("other.mrc")
    write_volumes(other, [values], Volume(values, (10.0, 10.0, 10.0)))
    with path.open("r+b") as file:
        file.write(other.read_bytes())


def append(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [overwrite, append, os.utime])
@pytest.mark.parametrize("at", [2, 9])
def test_a_tomogram_that_changes_meanwhile_ends_the_scan(scanning, interrupted, tomogram, tmp_path, change, at):
    os.utime(tomogram, ns=(WHEN, WHEN))
    error = interrupted(at=at, do=lambda: change(tomogram))
    assert isinstance(error, camfast.InputError)
    assert "tomo.mrc: was changed while it was scanned" in str(error)
    assert not (tmp_path / "cam.mrc").exists()
    if (tmp_path / ".cam.mrc.partial").exists():
        with pytest.raises(camfast.InputError, match=r"volume.(bytes|changed) was"):
            scanning()
    found = scanning(overwrite=True)
    shutil.rmtree(tmp_path / ".cam.mrc.partial", ignore_errors=True)
    assert scanning(overwrite=True) == found


def test_a_tomogram_that_is_moved_away_and_put_back(scanning, interrupted, tomogram, tmp_path):
    expected = scanning()
    (tmp_path / "cam.mrc").unlink()
    error = interrupted(at=9, do=lambda: tomogram.rename(tmp_path / "elsewhere"))
    assert "was moved or removed while it was scanned; put it back" in str(error)
    (tmp_path / "elsewhere").rename(tomogram)
    assert scanning() == expected


@pytest.mark.parametrize("at", [0, 3, 30])
def test_a_store_that_is_moved_away_and_put_back(scanning, monkeypatch, tmp_path, at):
    """Chunks that aren't there are zeros for Zarr: nothing of them is kept."""
    store = tmp_path / "tomo.zarr"
    zarr.create_array(store, shape=SHAPE, dtype="f4", chunks=(5, 6, 7))[...] = density(SHAPE)
    expected = scanning(volume=store)
    (tmp_path / "cam.mrc").unlink()
    read, calls = zarr_chunks._Chunks.__call__, []

    def moving(self, index):
        calls.append(index)
        if len(calls) == at + 1:
            store.rename(tmp_path / "elsewhere")
        return read(self, index)

    with monkeypatch.context() as patched:
        patched.setattr(zarr_chunks._Chunks, "__call__", moving)
        with pytest.raises(camfast.InputError, match=r"tomo.zarr: was moved or removed while .*; put it back"):
            scanning(volume=store)
    assert not (tmp_path / "cam.mrc").exists()
    (tmp_path / "elsewhere").rename(store)
    assert scanning(volume=store) == expected


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_store_that_is_moved_away_between_two_parts(scanning, monkeypatch, tmp_path, at):
    store = tmp_path / "tomo.zarr"
    write_volumes(store, [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    expected = scanning(volume=store)
    (tmp_path / "cam.mrc").unlink()
    read, calls = Job.read, []

    def moving(self, number):
        calls.append(number)
        if len(calls) == at + 1:
            store.rename(tmp_path / "elsewhere")
        return read(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(Job, "read", moving)
        with pytest.raises(camfast.InputError, match=r"tomo.zarr: was moved or removed while .*; put it back"):
            scanning(volume=store)
    assert len(calls) == at + 1
    (tmp_path / "elsewhere").rename(store)
    assert scanning(volume=store) == expected


def test_a_tomogram_that_changed_since_it_was_opened(scanning, tomogram):
    """The command opens all tomograms first, and scans the last one hours later."""
    volume = read_volume(tomogram)
    overwrite(tomogram)
    os.utime(tomogram, ns=(WHEN, WHEN))
    with pytest.raises(camfast.InputError, match="was changed while it was scanned"):
        scanning(volume=volume)


def test_a_store_that_changes_meanwhile_is_noticed_in_the_end_by_a_clock_that_was_set_back(
    scanning, interrupted, monkeypatch, tmp_path
):
    store = tmp_path / "tomo.zarr"
    write_volumes(store, [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    chunk = next(path for path in sorted(store.rglob("*")) if path.is_file() and path.name != "zarr.json")

    def change():
        state = chunk.stat()
        os.utime(chunk, ns=(state.st_mtime_ns, state.st_mtime_ns - 10**9))

    error = interrupted(at=9, do=change, volume=store)
    assert "tomo.zarr: was changed while it was scanned (as its time of change says)" in str(error)
    assert not list(tmp_path.glob(".cam*"))  # what was read since may be of two versions
    scanning(volume=store)


def test_a_store_that_changed_since_is_refused_though_no_file_is_later(scanning, interrupted, tmp_path):
    store = tmp_path / "tomo.zarr"
    write_volumes(store, [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    interrupted(volume=store)
    first = min(path for path in store.rglob("*") if path.is_file())
    os.utime(first, ns=(0, 0))
    with pytest.raises(camfast.InputError, match=r"volume.files was"):
        scanning(volume=store)


def test_values_in_memory_are_known_by_themselves(scanning, interrupted, tomogram):
    """Two arrays may say that they are of one file."""
    values = np.asarray(read_volume(tomogram).data[...])
    interrupted(volume=Volume(values, path=tomogram))
    with pytest.raises(camfast.InputError, match=r"volume.sha256 was"):
        scanning(volume=Volume(values * 2, path=tomogram))


def test_a_result_in_memory_is_of_one_version(tomogram, explainer, monkeypatch):
    read = Job.read

    def changing(self, number):
        os.utime(tomogram)
        return read(self, number)

    monkeypatch.setattr(Job, "read", changing)
    with pytest.raises(camfast.InputError, match="was changed while it was scanned"):
        camfast.scan(tomogram, explainer, window=WINDOW, stride=STRIDE, target=2, progress=False)


def test_states_are_compared_and_not_ordered(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    before = State.of(tmp_path)
    os.utime(tmp_path / "a", ns=(0, 0))
    now = State.of(tmp_path)
    assert (now.bytes, now.changed) == (before.bytes, before.changed)
    assert now != before
