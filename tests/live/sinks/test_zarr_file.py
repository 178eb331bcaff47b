"""A recording: what it holds, that it can be read at any time, and that it never stands in the way of what is shown."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from camfast.errors import InputError
from camfast.live import Settings, Shown
from camfast.live.sinks import ZarrSink, recording, zarr_file
from tests.live.sinks.made import make, until

ROOT = Path(__file__).resolve().parents[3]
PLAIN = ("target", "low", "high", "black", "white")


def _assert_row(group: Any, row: int, shown: Shown) -> None:
    frame = shown.frame
    assert np.array_equal(group["frame"][row], frame.data)
    assert np.array_equal(group["map"][row], shown.grid)
    assert np.array_equal(group["scores"][row], shown.scores)
    for name in PLAIN:
        assert group[name][row] == getattr(shown, name), name
    assert (group["number"][row], group["name"][row], group["time"][row]) == (frame.number, frame.name, frame.time)
    assert json.loads(str(group["settings"][row])) == asdict(shown.settings)


def _record(sink: ZarrSink, shown: Shown) -> None:
    before = sink.recorded
    sink.put(shown)
    until(lambda: sink.recorded > before, "recorded")


@pytest.mark.parametrize(
    ("shape", "dtype", "volume", "grid", "axes"),
    [
        ((6, 7), "uint16", False, (2, 3), ("t", "y", "x")),
        ((6, 7, 3), "uint8", False, (1, 1), ("t", "y", "x", "c")),
        ((5, 6, 7), "float32", True, (2, 3, 4), ("t", "z", "y", "x")),
        ((1, 1), "uint8", False, (1, 1), ("t", "y", "x")),
        ((200, 300), "uint16", False, (20, 30), ("t", "y", "x")),  # a frame is a chunk of its own
    ],
)
def test_all_that_was_shown_is_there(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, volume: bool, grid: tuple[int, ...], axes: tuple[str, ...]
) -> None:
    wall = time.time()
    shown = [make(i, shape, dtype, volume=volume, grid=grid, settings=Settings("3", alpha=i / 20)) for i in range(11)]
    sink = ZarrSink(tmp_path / "run.zarr", {"model": "small", "seed": np.int64(3)}, overlay=True)
    for one in shown:
        _record(sink, one)
    sink.close()
    root = zarr.open_group(tmp_path / "run.zarr", mode="r")
    facts: Any = root.attrs["camfast"]
    assert facts["about"] == {"model": "small", "seed": 3}
    assert list(root.group_keys()) == ["0000"]
    group: Any = root["0000"]
    assert {array.shape[0] for array in group.array_values()} == {len(shown)}
    assert group["frame"].dtype == dtype
    assert group["frame"].metadata.dimension_names == axes
    assert all(array.attrs["meaning"] for array in group.array_values())
    for row, one in enumerate(shown):
        _assert_row(group, row, one)
        assert np.array_equal(group["overlay"][row], one.rgb)
        assert abs(group["utc"][row] - wall) < 60
    steady, utc = group["time"][:], group["utc"][:]
    assert np.abs((utc - utc[0]) - (steady - steady[0])).max() < 0.01  # clocks that are read one after the other


def test_rows_outlast_their_chunk(tmp_path: Path) -> None:
    """Small rows share chunks; those that are full and the one that isn't all read back."""
    shown = [make(i, (64, 65), "uint16", grid=(9, 9)) for i in range(30)]  # 7 frames to a chunk
    sink = ZarrSink(tmp_path / "run.zarr")
    for one in shown:
        _record(sink, one)
        group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
        last = one.frame.number
        assert group["frame"].shape[0] == last + 1
        _assert_row(group, last, one)
    sink.close()
    assert 1 < group["frame"].chunks[0] < len(shown)
    for row, one in enumerate(shown):
        _assert_row(group, row, one)


def test_large_volumes_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of two planes, the last of which is half empty."""
    monkeypatch.setattr(recording, "_LARGE", 2 * 6 * 7 * 4)
    monkeypatch.setattr(recording, "_SMALL", 1)
    shown = [make(i, (5, 6, 7), "float32", volume=True, grid=(2, 3, 4)) for i in range(3)]
    sink = ZarrSink(tmp_path / "run.zarr")
    for one in shown:
        _record(sink, one)
    sink.close()
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
    assert group["frame"].chunks == (1, 2, 6, 7)
    for row, one in enumerate(shown):
        _assert_row(group, row, one)


def test_arrays_are_copied(tmp_path: Path) -> None:
    """The pipeline writes to them again as soon as `put` has returned."""
    sink = ZarrSink(tmp_path / "run.zarr")
    shown = make(3)
    kept = replace(shown, grid=shown.grid.copy(), scores=shown.scores.copy())
    sink.put(shown)
    shown.grid[:], shown.scores[:] = -1, -1
    sink.close()
    _assert_row(zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"], 0, kept)


def test_another_form_starts_another_group(tmp_path: Path) -> None:
    forms: list[dict[str, Any]] = [
        {"shape": (6, 7)},
        {"shape": (8, 7)},
        {"shape": (8, 7), "dtype": "uint8"},
        {"shape": (8, 7), "grid": (4, 4)},
        {"shape": (8, 7), "classes": 9},
        {"shape": (8, 7, 3)},
        {"shape": (8, 7, 3), "volume": True, "grid": (2, 2, 2)},
        {"shape": (6, 7)},
    ]
    sink = ZarrSink(tmp_path / "run.zarr")
    shown = [make(2 * i + j, **form) for i, form in enumerate(forms) for j in range(2)]
    for one in shown:
        _record(sink, one)
    sink.close()
    root = zarr.open_group(tmp_path / "run.zarr", mode="r")
    assert sorted(root.group_keys()) == [f"{i:04}" for i in range(len(forms))]
    for row, one in enumerate(shown):
        _assert_row(root[f"{row // 2:04}"], row % 2, one)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Names of files may hold bytes that are no UTF-8."""
    sink, shown = ZarrSink(tmp_path / "run.zarr"), make(0)
    _record(sink, replace(shown, frame=replace(shown.frame, name="m\udce9t.tif")))
    _record(sink, replace(shown, frame=replace(shown.frame, name="mét.tif")))
    sink.close()
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
    assert group["name"][:].tolist() == ["m\\udce9t.tif", "mét.tif"]


def test_every_nth(tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "run.zarr", every=3)
    for number in range(7):
        sink.put(make(number))
    sink.close()
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
    assert group["number"][:].tolist() == [0, 3, 6]
    assert (sink.recorded, sink.missed) == (3, 0)


def test_a_slow_disk_is_counted_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    append = recording.Recording.append

    def slow(*arguments: Any) -> None:
        assert go.wait(20)
        append(*arguments)

    monkeypatch.setattr(recording.Recording, "append", slow)
    sink = ZarrSink(tmp_path / "run.zarr")
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            sink.put(make(number))
    assert sink.missed == 100 - zarr_file.SLOTS
    assert sum("too slow" in record.message for record in caplog.records) == 1
    go.set()
    with caplog.at_level(logging.WARNING):
        sink.close()
    assert caplog.records[-1].message.endswith("the disk was too slow, 92 frames in all aren't recorded")
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
    assert group["number"][:].tolist() == list(range(zarr_file.SLOTS))
    assert (sink.recorded, sink.failure) == (zarr_file.SLOTS, "")


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(zarr_file, "CLOSING_SECONDS", 0.1)
    monkeypatch.setattr(recording.Recording, "append", lambda *_: go.wait(20))
    sink = ZarrSink(tmp_path / "run.zarr")
    sink.put(make(0))
    begin = time.monotonic()
    sink.close()
    assert time.monotonic() - begin < 5
    assert "the last frames may be lost" in sink.failure
    go.set()
    sink._thread.join(20)
    assert not sink._thread.is_alive()


def test_a_disk_that_fails_ends_the_recording_alone(tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "run.zarr")
    _record(sink, make(0))
    shutil.rmtree(tmp_path / "run.zarr")
    (tmp_path / "run.zarr").write_text("in the way")
    sink.put(make(1))
    until(lambda: bool(sink.failure), "failed")
    for number in range(20):
        sink.put(make(number))
    assert "recording ended after 1 frames" in sink.failure
    assert (sink.recorded, sink.missed) == (1, 21)
    sink.close()
    assert not sink._thread.is_alive()


def test_a_full_disk_leaves_what_was_recorded(tmp_path: Path) -> None:
    """A limit of the size of files stands for a full disk: frames of noise, the third of which is too large."""
    program = f"""
        import resource
        from camfast.live.sinks import ZarrSink
        from tests.live.sinks.made import make, until
        sink = ZarrSink({str(tmp_path / "run.zarr")!r})
        for number in range(2):
            sink.put(make(number, (64, 1024), "float32"))
            until(lambda: sink.recorded > number, "recorded")
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        sink.put(make(2, (64, 1024), "float32"))
        until(lambda: bool(sink.failure), "failed")
        sink.close()
        print(sink.failure)
    """
    found = _run(program)
    assert "recording ended after 2 frames: [Errno 27] File too large" in found
    assert not list(tmp_path.rglob("*.partial"))
    group: Any = zarr.open_group(tmp_path / "run.zarr", mode="r")["0000"]
    assert group["frame"].shape[0] == 2
    for row in range(2):
        assert np.array_equal(group["frame"][row], make(row, (64, 1024), "float32").frame.data)


def test_a_kill_leaves_whole_frames(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    program = f"""
        import itertools, time
        from camfast.live.sinks import ZarrSink
        from tests.live.sinks.made import make
        sink = ZarrSink({str(path)!r}, overlay=True)
        for number in itertools.count():
            sink.put(make(number, (64, 65)))
            time.sleep(0.001)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    try:
        until(lambda: _length(path) > 40, "40 frames")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    group: Any = zarr.open_group(path, mode="r")["0000"]
    count = group["frame"].shape[0]
    assert count > 40
    assert {array.shape[0] - count for array in group.array_values()} <= set(range(zarr_file.SLOTS + 1))
    numbers = group["number"][:count].tolist()
    assert numbers == sorted(set(numbers))
    for row, number in enumerate(numbers):
        expected = make(number, (64, 65))
        assert np.array_equal(group["frame"][row], expected.frame.data)
        assert np.array_equal(group["overlay"][row], expected.rgb)
        assert np.array_equal(group["map"][row], expected.grid)
        assert np.array_equal(group["scores"][row], expected.scores)
        assert group["name"][row] == expected.frame.name


def _length(path: Path) -> int:
    try:
        return int(json.loads((path / "0000" / "frame" / "zarr.json").read_text())["shape"][0])
    except FileNotFoundError:
        return 0


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_there_is_kept_unless_it_is_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    ZarrSink(path).close()
    with pytest.raises(InputError, match=r"run.zarr is there already: .*\?overwrite=1"):
        ZarrSink(path)
    (path / "note").write_text("mine")
    ZarrSink(path, overwrite=True).close()
    assert not (path / "note").exists()
    for other in ("file", "folder", "link"):
        there = tmp_path / other
        if other == "file":
            there.write_text("{}")
        elif other == "folder":
            there.mkdir()
        else:
            there.symlink_to(path)
        with pytest.raises(InputError, match="is no recording of camfast, so it isn't overwritten"):
            ZarrSink(there, overwrite=True)
        assert there.exists()
    assert (path / "zarr.json").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't be made: .*choose another folder"):
        ZarrSink(tmp_path / "file" / "run.zarr")


def test_after_the_end_nothing_is_taken(tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "run.zarr")
    sink.put(make(0))
    sink.close()
    sink.put(make(1))
    sink.close()
    assert (sink.recorded, sink.missed) == (1, 1)
    assert not sink._thread.is_alive()
