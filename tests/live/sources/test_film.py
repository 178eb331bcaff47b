import itertools
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError, Frame, SourceEndedError, SourceError
from camfast.live.sources import FilmSource, open_source
from tests.live.sources.until import next_frame, thread_count, wait_for

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 65536, (40, 48, 64)).astype(np.uint16)


def write(path: Path, frames: np.ndarray, pixels: str, codec: str = "ffv1", rate: int = 20, **options: str) -> Path:
    """Write a film; FFV1 keeps every bit."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        given = {"bgr0": "rgb24", "yuv420p": "rgb24", "gray10le": "gray16le"}.get(pixels, pixels)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=given)))
        container.mux(stream.encode())
    return path


def read_all(source: FilmSource) -> np.ndarray:
    source.open()
    frames: list[Frame] = []
    with pytest.raises(SourceEndedError, match="has ended after"):
        frames.extend(next_frame(source) for _ in itertools.count())
    source.close()
    assert [frame.number for frame in frames] == list(range(len(frames)))
    return np.stack([frame.data for frame in frames])


@pytest.mark.parametrize(
    ("frames", "pixels"),
    [
        (GREY, "gray16le"),
        ((GREY >> 8).astype(np.uint8), "gray"),
        (RANDOM.integers(0, 256, (10, 48, 64, 3)).astype(np.uint8), "bgr0"),
    ],
)
def test_pixels_are_kept(tmp_path: Path, frames: np.ndarray, pixels: str) -> None:
    path = write(tmp_path / "film.mkv", frames, pixels)
    threads = thread_count()
    read = read_all(FilmSource(path, fps=1000))
    assert read.dtype == frames.dtype
    np.testing.assert_array_equal(read, frames)
    wait_for(lambda: thread_count() <= threads)


def test_ten_bits_become_sixteen(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", GREY[:5], "gray10le")
    read = read_all(FilmSource(path, fps=1000))
    assert read.dtype == np.uint16
    # a step of 10 bits is 64 of 16, rounded twice
    np.testing.assert_allclose(read.astype(float), GREY[:5], atol=2 * 64)


def test_it_keeps_its_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", GREY[:9], "gray16le", rate=20)
    source = open_source(f"video:{path}")
    source.open()
    start = time.perf_counter()
    moments = [next_frame(source).time - start for _ in range(9)]
    source.close()
    np.testing.assert_array_less(np.arange(9) / 20 - 0.002, moments)
    assert moments[-1] < 0.4 + 0.3  # a busy machine
    slow = open_source(f"video:{path}?fps=0.1")
    slow.open()
    assert next_frame(slow).number == 0
    assert slow.read(0.01) is None
    slow.close()


def test_it_starts_again(tmp_path: Path) -> None:
    path = write(tmp_path / "film.mkv", GREY[:3], "gray16le", rate=50)
    source = open_source(f"video:{path}?loop=1")
    source.open()
    start = time.perf_counter()
    frames = [next_frame(source) for _ in range(8)]
    assert time.perf_counter() - start > 7 / 50 - 0.002
    source.close()
    assert [frame.number for frame in frames] == list(range(8))
    np.testing.assert_array_equal(np.stack([frame.data for frame in frames]), GREY[[0, 1, 2, 0, 1, 2, 0, 1]])


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("film.mkv", "ffv1", "gray16le", {}),
        ("film.avi", "mjpeg", "yuvj420p", {}),
        ("film.mp4", "libx264", "yuv420p", {"movflags": "faststart"}),
    ],
)
def test_a_film_that_is_cut_off_says_so(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    frames = GREY if codec == "ffv1" else RANDOM.integers(0, 256, (40, 48, 64, 3)).astype(np.uint8)
    with av.open(str(tmp_path / name), "w", options=options) as container:
        stream = container.add_stream(codec, rate=20)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for frame in frames:
            given = "gray16le" if codec == "ffv1" else "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=given)))
        container.mux(stream.encode())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    source = FilmSource(tmp_path / name, fps=1000, loop=True)
    source.open()
    with pytest.raises(SourceError, match="truncated"):
        _ = [next_frame(source) for _ in range(40)]
    source.close()


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    source = open_source(f"video:{path}")
    assert source.name == f"video:{path}"
    with pytest.raises(InputError, match="there is no such file"):
        source.open()
    for content in (b"", b"no film at all" * 100):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"film\.mp4 is no film, or its end is missing: Invalid data") as raised:
            source.open()
        assert not isinstance(raised.value, BrokenFrameError | SourceEndedError)
        source.close()
    write(path, np.zeros((4, 48, 64, 3), np.uint8), "yuv420p", "libx264")
    source.open()  # it has been copied again
    assert next_frame(source).data.shape == (48, 64, 3)
    source.close()
    with pytest.raises(InputError, match="expected the name of a file"):
        open_source("video:")
    with pytest.raises(InputError, match="fps must be a number"):
        open_source("video:a.mp4?fps=slow")
    with pytest.raises(InputError, match="frames a second must be more than 0"):
        open_source("video:a.mp4?fps=0")
    with pytest.raises(SourceError, match="isn't open"):
        source.read(0)


def test_sound_alone_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError, match=r"sound\.wav holds no pictures"):
        FilmSource(path).open()


def test_one_picture_is_a_film_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray((GREY[0] >> 8).astype(np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_all(FilmSource(tmp_path / "a.png")), (GREY[:1] >> 8))


def test_a_frame_that_is_not_due_is_kept(tmp_path: Path) -> None:
    source = FilmSource(write(tmp_path / "film.mkv", GREY[:3], "gray16le"), fps=8)
    source.open()
    assert next_frame(source).number == 0
    assert [source.read(0.001), source.read(0.001)] == [None, None]
    frame = next_frame(source)
    source.close()
    assert frame.number == 1
    np.testing.assert_array_equal(frame.data, GREY[1])


def test_a_film_of_no_frames_does_not_turn_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=20)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        container.start_encoding()
    source = FilmSource(path, loop=True)
    source.open()
    with pytest.raises(SourceEndedError, match=r"film\.avi holds no pictures"):
        source.read(0.1)
    source.close()
