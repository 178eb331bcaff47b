"""Two scans into one output: the second one is told of the first, and a dead one keeps nobody out."""

import errno
import fcntl
import os
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import camfast
from camfast.scan.tasks import locking
from camfast.scan.tasks.locking import Lock
from camfast.scan.windows.exact import Exact
from tests.scan.cases import contents

HERE = f"process {os.getpid()} on {re.escape(socket.gethostname())}"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(locking, "_BEAT", 0.05)
    monkeypatch.setattr(locking, "_WATCH", 2.0)


@pytest.fixture
def without_locks(monkeypatch, hasty):
    """As on some file systems of clusters."""

    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_a_second_process_is_refused(scanning, monkeypatch, tmp_path, name):
    entered, leave, explain = threading.Event(), threading.Event(), Exact.explain

    def held(self, *arguments):
        entered.set()
        assert leave.wait(60)
        return explain(self, *arguments)

    monkeypatch.setattr(Exact, "explain", held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(scanning, out=tmp_path / name)
        assert entered.wait(60)
        for change in ({}, {"overwrite": True}, {"resume": False}):
            says = f"{name}: process {os.getpid()} on {re.escape(socket.gethostname())} is scanning into it; wait"
            with pytest.raises(camfast.InputError, match=says):
                scanning(out=tmp_path / name, **change)
        leave.set()
        assert any(one.startswith(name) for one in first.result())
    assert not list(tmp_path.glob(".*"))


def test_where_a_file_system_has_no_locks_it_runs_all_the_same(scanning, monkeypatch, hasty):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    expected = scanning()
    monkeypatch.setattr(fcntl, "flock", none)
    assert scanning(overwrite=True) == expected


def test_without_locks_a_living_one_is_known_by_its_beat(tmp_path, without_locks):
    with Lock(tmp_path / "folder", tmp_path / "cam.mrc"):
        time.sleep(0.2)
        with pytest.raises(camfast.InputError, match=f"cam.mrc: {HERE} is scanning into it; wait"):
            Lock(tmp_path / "folder", tmp_path / "cam.mrc").__enter__()
    began = time.monotonic()
    with Lock(tmp_path / "folder", tmp_path / "cam.mrc") as lock:  # one that ended by itself is not waited for
        lock.check()
        assert time.monotonic() - began < 0.5


def test_without_locks_a_dead_one_is_taken_over(tmp_path, without_locks):
    (tmp_path / "lock").write_text("process 1 on another-machine\nabc\n7\n")
    with Lock(tmp_path, tmp_path / "cam.mrc") as lock:
        lock.check()


def test_a_folder_that_goes_while_it_is_watched_is_made_again(tmp_path, without_locks):
    """The other scan has finished."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "lock").write_text("process 1 on another-machine\nabc\n7\n")
    gone = threading.Timer(0.3, lambda: shutil.rmtree(folder))
    gone.start()
    with Lock(folder, tmp_path / "cam.mrc") as lock:
        lock.check()
        gone.join()
        assert folder.exists()


def test_of_two_that_begin_at_once_without_locks_one_goes_on(tmp_path, without_locks, monkeypatch):
    monkeypatch.setattr(locking, "_BEAT", 0.5)
    with ThreadPoolExecutor(2) as pool:
        locks = [Lock(tmp_path, tmp_path / "cam.mrc") for _ in range(2)]
        ends = [pool.submit(lock.__enter__) for lock in locks]
        failed = [end.exception() for end in ends]
    assert sorted(error is None for error in failed) == [False, True]
    for lock, error in zip(locks, failed, strict=True):
        if error is None:
            lock.__exit__(None, None, None)


def test_another_machine_whose_lock_is_not_seen_here_is_known_by_its_beat(tmp_path, hasty):
    path, ended = tmp_path / "lock", threading.Event()
    path.write_text("process 1 on another-machine\nabc\n0\n")

    def beats():
        count = 0
        while not ended.wait(0.05):
            count += 1
            path.write_text(f"process 1 on another-machine\nabc\n{count}\n")

    other = threading.Thread(target=beats)
    other.start()
    with pytest.raises(camfast.InputError, match="process 1 on another-machine is scanning into it"):
        Lock(tmp_path, tmp_path / "cam.mrc").__enter__()
    ended.set()
    other.join()
    with Lock(tmp_path, tmp_path / "cam.mrc") as lock:
        lock.check()


def test_a_dead_one_of_this_machine_is_not_waited_for(tmp_path):
    """Its number may be another process's by now: the lock alone says that it is dead."""
    (tmp_path / "lock").write_text(f"process {os.getppid()} on {socket.gethostname()}\nabc\n7\n")
    began = time.monotonic()
    with Lock(tmp_path, tmp_path / "cam.mrc"):
        assert time.monotonic() - began < locking._BEAT


def test_who_lost_the_folder_is_told_to_whom(tmp_path):
    folder = tmp_path / "folder"
    with Lock(folder, tmp_path / "cam.mrc") as first:
        shutil.rmtree(folder)
        with pytest.raises(camfast.InputError, match=r"the folder of unfinished work, .*folder, was removed while"):
            first.check()
        with Lock(folder, tmp_path / "cam.mrc") as second:
            with pytest.raises(camfast.InputError, match=f"{HERE} is scanning into it by now, so this scan was given"):
                first.check()
            second.check()
            (folder / "lock").write_text("process 1 on another-machine\nabc\n7\n")
            with pytest.raises(camfast.InputError, match="process 1 on another-machine is scanning into it by now"):
                second.check()


def test_a_scan_that_lost_its_folder_does_not_write_into_the_next_ones(scanning, interrupted, monkeypatch, tmp_path):
    """A person removes the folder of a scan that seems dead, and begins another one."""
    expected = scanning(target=3)
    (tmp_path / "cam.mrc").unlink()
    folder, explain = tmp_path / ".cam.mrc.partial", Exact.explain
    left = {}

    def begin_another():
        monkeypatch.setattr(Exact, "explain", explain)
        shutil.rmtree(folder.rename(tmp_path / "gone"))
        other = Lock(folder, tmp_path / "cam.mrc")
        left["other"] = other.__enter__()
        for name in ("parts", "blocks", "done"):
            (folder / name).mkdir()

    error = interrupted(at=9, do=begin_another)
    assert isinstance(error, OSError | camfast.InputError)
    assert not any((folder / "parts").glob("[!.]*"))
    left["other"].__exit__(None, None, None)
    assert scanning(target=3) == expected
    assert contents(tmp_path).keys() >= {"cam.mrc"}
