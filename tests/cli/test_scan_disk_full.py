"""``camfast scan`` on a disk that is full: one line, nothing half-written, and it goes on once there is room."""

import errno
import os
import re
import resource
import subprocess

import pytest
import zarr.storage._local as zarr_files

from camfast.scan.formats import mrc_writer
from camfast.scan.tasks import job, parts
from tests.scan.cases import contents

OPTIONS = ("--quiet", "--also", "scores,labels,picks", "--batch", "4")


def results(folder):
    return {name: content for name, content in contents(folder).items() if name.startswith("cam.")}


def refused_for_want_of_room(ran, out, why="No space left on device"):
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert re.fullmatch(r"camfast: error: [^\n]+\n", ran.err), ran.err
    assert f"{out}: {why}" in ran.err
    assert "the same command goes on" in ran.err
    assert not out.exists()


@pytest.fixture
def disk(tmp_path):
    """A disk of 2 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted, which only root may: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk, free):
    """Leave so many bytes."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    state = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - free)


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_a_full_disk(camfast, command, disk, tmp_path, name):
    (tmp_path / "roomy").mkdir()
    assert camfast(*command(*OPTIONS, out=tmp_path / "roomy" / name)).code == 0
    out, refused = disk / name, 0
    while True:  # with a little more room each time it gets a little further
        fill(disk, refused * 4096)
        ran = camfast(*command(*OPTIONS, out=out))
        if ran.code == 0:
            break
        refused_for_want_of_room(ran, out)
        assert results(disk) == {}
        refused += 1
    assert refused > 3
    assert results(disk) == results(tmp_path / "roomy")
    assert sorted(path.name for path in disk.glob(".*")) == []


def failing(function, which):
    """The function, but for its k-th call, which finds the disk full; -1: none."""
    calls = []

    def call(*arguments, **options):
        calls.append(arguments)
        if len(calls) - 1 == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*arguments, **options)

    return call, calls


@pytest.mark.parametrize(
    ("name", "place", "function"),
    [
        ("cam.mrc", mrc_writer, "_write_at"),
        ("cam.zarr", zarr_files, "_put"),
        ("cam.zarr", parts, "save"),
        ("cam.zarr", job, "write_whole"),
        ("cam.mrc", os, "replace"),
    ],
)
def test_any_write_may_find_the_disk_full(camfast, command, tmp_path, monkeypatch, name, place, function):
    before = getattr(place, function)
    (tmp_path / "out").mkdir()
    arguments = command(*OPTIONS, out=tmp_path / "out" / name)
    monkeypatch.setattr(place, function, (counted := failing(before, -1))[0])
    assert camfast(*arguments).code == 0
    expected, count = results(tmp_path / "out"), len(counted[1])
    assert count > 0
    for which in {0, count // 3, count // 2, count - 1}:
        for path in (tmp_path / "out").iterdir():
            path.rename(tmp_path / f"{which}.{path.name}")
        monkeypatch.setattr(place, function, failing(before, which)[0])
        refused_for_want_of_room(camfast(*arguments), tmp_path / "out" / name)
        assert results(tmp_path / "out").items() <= expected.items()
        monkeypatch.setattr(place, function, before)
        assert camfast(*arguments).code == 0
        assert results(tmp_path / "out") == expected


def test_a_quota_that_is_used_up(camfast, command, tmp_path):
    """Files may not grow beyond 40 kB here, as a real limit of the system that every process may set for itself."""
    (tmp_path / "out").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        ran = camfast(*command(*OPTIONS, out=tmp_path / "out" / "cam.mrc"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused_for_want_of_room(ran, tmp_path / "out" / "cam.mrc", "File too large")
    assert camfast(*command(*OPTIONS, out=tmp_path / "out" / "cam.mrc")).code == 0
    assert camfast(*command(*OPTIONS, out=tmp_path / "cam.mrc")).code == 0
    assert results(tmp_path / "out") == results(tmp_path)
