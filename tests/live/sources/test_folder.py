"""A watched folder: new files are frames, once they are whole, and nothing in it ends the source."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from camfast.live.frames import BrokenFrameError, SourceError
from camfast.live.sources import FolderSource, open_source
from tests.live.sources.folders import picture, write
from tests.live.sources.until import next_frame, thread_count, wait_for


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[FolderSource]:
    """A source of the folder's TIFF files that is open, and closed at the end with no thread left behind."""
    threads = thread_count()
    source = FolderSource(tmp_path, "*.tif", patience=0.3)
    source.open()
    yield source
    source.close()
    wait_for(lambda: thread_count() <= threads)


@pytest.mark.parametrize("name", ["watch:run1/*.tif", "watch:run1", "watch:run1/**/*.tif", "watch:./run1/*.tif"])
def test_a_folder_by_a_relative_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run1"
    folder.mkdir()
    write(folder / "a.tif", picture(3, 4))
    threads = thread_count()
    source = open_source(name)
    source.open()
    try:
        assert next_frame(source).name == "a.tif"
        write(folder / "b.tif", picture(5, 6))
        frame = next_frame(source)
        assert (frame.name, frame.data.shape) == ("b.tif", (5, 6))
    finally:
        source.close()
    wait_for(lambda: thread_count() <= threads)


def test_a_new_file_is_a_frame(opened: FolderSource, tmp_path: Path) -> None:
    assert opened.read(0.05) is None
    for number, shape in enumerate([(5, 7), (1, 1), (300, 200)]):  # a camera whose size changes
        data = picture(*shape)
        write(tmp_path / f"{number}.tif", data)
        frame = next_frame(opened)
        np.testing.assert_array_equal(frame.data, data)
        assert frame.data.dtype == np.uint16
        assert (frame.number, frame.name, frame.volume) == (number, f"{number}.tif", False)
        assert 0 <= time.perf_counter() - frame.time < 1
    assert opened.read(0.05) is None


def test_it_is_noticed_and_not_just_found_by_a_look(
    opened: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camfast.live.sources.watched.LOOK_SECONDS", 1000)
    opened.read(0)
    data = picture()
    timer = threading.Timer(0.1, write, (tmp_path / "a.tif", data))
    timer.start()
    np.testing.assert_array_equal(next_frame(opened).data, data)
    timer.join()


def test_without_notices_it_is_found_by_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> Iterator[None]:
        raise OSError("OS file watch limit reached")
        yield

    monkeypatch.setattr("watchfiles.watch", refused)
    monkeypatch.setattr("camfast.live.sources.watched.LOOK_SECONDS", 0.1)
    source = FolderSource(tmp_path, "*.tif")
    source.open()
    assert source.read(0.05) is None
    data = picture()
    write(tmp_path / "a.tif", data)
    np.testing.assert_array_equal(next_frame(source).data, data)
    source.close()


def test_of_what_is_there_at_the_start_the_newest_is_a_frame(tmp_path: Path) -> None:
    kept = picture()
    for index, age in enumerate((30, 10, 20)):
        write(tmp_path / f"{index}.tif", kept if age == 10 else picture(), age)
    source = FolderSource(tmp_path, "*.tif")
    source.open()
    frame = next_frame(source)
    assert (frame.number, frame.name) == (0, "1.tif")
    np.testing.assert_array_equal(frame.data, kept)
    assert source.read(0.05) is None
    source.close()


def test_of_several_the_newest_is_taken_and_the_others_are_counted(opened: FolderSource, tmp_path: Path) -> None:
    write(tmp_path / "first.tif", picture())
    assert next_frame(opened).number == 0
    opened.close()  # so that they arrive together
    for index in range(4):
        write(tmp_path / f"{index}.tif", picture(index + 1), age=10 - index)
    opened.open()
    frame = next_frame(opened)
    assert (frame.number, frame.name, frame.data.shape) == (4, "3.tif", (4, 7))
    write(tmp_path / "last.tif", picture())
    assert next_frame(opened).number == 5


def test_a_file_that_is_written_again_is_another_frame(opened: FolderSource, tmp_path: Path) -> None:
    for number in range(3):
        data = picture()
        write(tmp_path / "live.tif", data)
        frame = next_frame(opened)
        assert frame.number == number
        np.testing.assert_array_equal(frame.data, data)


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 16}, {"compression": "zlib"}, {"tile": (64, 64)}])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.003, 0.5, 0.99])
def test_a_file_is_waited_for_until_it_is_finished(tmp_path: Path, options: dict[str, object], share: float) -> None:
    data = np.cumsum(np.ones((200, 300), np.uint16), 1)
    tifffile.imwrite(tmp_path / "whole", data, **options)
    content = (tmp_path / "whole").read_bytes()
    source = FolderSource(tmp_path, "*.tif", patience=10)
    source.open()
    with (tmp_path / "a.tif").open("wb") as file:
        for piece in (content[: int(len(content) * share)], content[int(len(content) * share) :]):
            assert source.read(0.05) is None
            file.write(piece)
            file.flush()
        np.testing.assert_array_equal(next_frame(source).data, data)
    source.close()


def test_others_are_shown_while_one_is_unfinished(opened: FolderSource, tmp_path: Path) -> None:
    write(tmp_path / "whole", picture())
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:100])
    assert opened.read(0.1) is None
    write(tmp_path / "b.tif", picture())
    assert next_frame(opened).name == "b.tif"
    (tmp_path / "a.tif").write_bytes(content)
    frame = next_frame(opened)
    assert (frame.name, frame.number) == ("a.tif", 1)


def test_a_file_that_stays_unfinished_is_broken(opened: FolderSource, tmp_path: Path) -> None:
    data = picture(200, 200)
    write(tmp_path / "whole", data)
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-1])
    start = time.perf_counter()
    with pytest.raises(BrokenFrameError, match=r"a\.tif can't be read: truncated: .* it hasn't changed for 0.3 s"):
        next_frame(opened)
    assert time.perf_counter() - start > 0.29
    assert opened.read(0.05) is None  # once
    (tmp_path / "a.tif").write_bytes(content)
    frame = next_frame(opened)
    assert frame.number == 0
    np.testing.assert_array_equal(frame.data, data)


def test_a_file_that_changed_without_a_sign_is_tried_a_last_time(opened: FolderSource, tmp_path: Path) -> None:
    """As on drives whose times are coarse."""
    data = picture()
    write(tmp_path / "whole", data)
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "a.tif").write_bytes(bytes(len(content)))
    os.utime(tmp_path / "a.tif", (1e9, 1e9))
    wait_for(lambda: opened.read(0.01) is None and bool(opened._unfinished))
    with (tmp_path / "a.tif").open("r+b") as file:
        file.write(content)
    os.utime(tmp_path / "a.tif", (1e9, 1e9))
    np.testing.assert_array_equal(next_frame(opened).data, data)


def test_a_folder_that_can_not_be_read_is_named(
    opened: FolderSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stale(path: Path) -> bool:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "is_dir", stale)
    with pytest.raises(SourceError, match="can't be read: Stale file handle"):
        next_frame(opened)
    monkeypatch.undo()


def test_hidden_files_are_left_out(opened: FolderSource, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / ".a.tif", picture())  # as rsync names what it is copying
    assert opened.read(0.1) is None


def test_files_that_are_deleted_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is emptied all the time doesn't fill the memory."""
    monkeypatch.setattr("camfast.live.sources.watched.LOOK_SECONDS", 0.05)
    source = FolderSource(tmp_path)
    source.open()
    for index in range(3):
        write(tmp_path / f"{index}.tif", picture())
        next_frame(source)
        (tmp_path / f"{index}.tif").unlink()
    wait_for(lambda: source.read(0.01) is None and not source._watched._known)
    source.close()


def test_a_file_that_is_gone_is_no_complaint(opened: FolderSource, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    assert opened.read(0.1) is None
    (tmp_path / "a.tif").unlink()
    assert opened.read(0.5) is None


def test_what_is_no_picture_is_broken_at_once(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, patience=1000)
    source.open()
    write(tmp_path / "a.tif", np.zeros((4, 5), complex))
    with pytest.raises(BrokenFrameError, match=r"a\.tif holds complex128, expected real numbers"):
        next_frame(source)
    source.close()


def test_reading_unfinished_files_is_silent(
    opened: FolderSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "whole", picture())
    (tmp_path / "a.tif").write_bytes((tmp_path / "whole").read_bytes()[:200])
    with pytest.raises(BrokenFrameError):
        next_frame(opened)
    assert [record for record in caplog.records if record.name == "tifffile"] == []


def test_a_folder_may_go_and_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    source = open_source(f"watch:{folder}/*.tif")
    with pytest.raises(SourceError, match=r"run: there is no such folder; it is watched as soon as there is one"):
        source.open()
    folder.mkdir()
    source.open()
    write(folder / "0.tif", picture())
    assert next_frame(source).number == 0
    shutil.rmtree(folder)
    with pytest.raises(SourceError, match="there is no such folder") as raised:
        next_frame(source)
    assert not isinstance(raised.value, BrokenFrameError)
    source.close()
    folder.mkdir()
    write(folder / "1.tif", picture(), age=5)
    write(folder / "2.tif", picture())
    source.open()
    frame = next_frame(source)
    assert (frame.number, frame.name) == (2, "2.tif")
    source.close()


def test_a_folder_that_is_replaced_at_once_is_watched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camfast.live.sources.watched.LOOK_SECONDS", 0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    source = FolderSource(folder, "*.tif")
    source.open()
    folder.rename(tmp_path / "away")
    folder.mkdir()
    write(folder / "0.tif", picture())
    assert next_frame(source).name == "0.tif"
    monkeypatch.setattr("camfast.live.sources.watched.LOOK_SECONDS", 1000)
    assert source.read(0.15) is None  # the last look for long
    write(folder / "1.tif", picture())
    assert next_frame(source).name == "1.tif"
    source.close()
