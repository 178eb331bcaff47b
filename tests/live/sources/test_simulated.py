import threading
import time

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live.frames import Frame, SourceError
from camfast.live.sources import SimulatedSource, open_source
from camfast.live.sources.pace import Pace
from camfast.live.sources.scene import Scene
from camfast.live.sources.simulated import BUFFERED
from tests.live.sources.until import next_frame


class Clock:
    """Time that passes only where somebody sleeps or says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.pass_)

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("shape", [(64, 48), (1, 1), (7, 1), (1, 7), (5, 16, 24), (1, 1, 1), (7, 1, 3)])
def test_a_frame_depends_on_seed_and_number_alone(shape: tuple[int, ...]) -> None:
    scene = Scene(shape, seed=3)
    frames = [scene.frame(number) for number in range(5)]
    other = Scene(shape, seed=3)
    for number in (4, 0, 2):
        np.testing.assert_array_equal(other.frame(number), frames[number])
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {(shape, "uint16")}
    different = Scene(shape, seed=4)
    assert any((different.frame(number) != frames[number]).any() for number in range(5))


def test_frames_follow_from_their_definition() -> None:
    """The noise has the mean and the deviation that it claims: two frames of one moment of the scene differ by it."""
    scene = Scene((256, 256), seed=0)
    first, second = scene.frame(0).astype(float), scene.frame(1).astype(float)
    # the texture stands still for two frames along its first axis and moves by half a pixel along the second: the
    # difference is that of two samples of noise, of σ √2 · 60 = 85, and what the particles' edges add
    spread = np.quantile(first - second, [0.16, 0.84])
    assert (spread[1] - spread[0]) / 2 == pytest.approx(60 * np.sqrt(2), rel=0.15)


def test_the_scene_moves_and_stays_within_16_bits() -> None:
    scene = Scene((128, 128), seed=1)
    frames = np.stack([scene.frame(number) for number in range(0, 3000, 100)])
    smooth = frames.reshape(30, 16, 8, 16, 8).mean((2, 4))  # the noise of 8 × 8 pixels: 60 / 8 counts
    moved = np.abs(np.diff(smooth, axis=0)).max((1, 2))
    assert moved.min() > 10 * 60 / 8 / np.sqrt(2)
    assert frames.min() > 500
    assert frames.max() < 1500 + 8 * 75 + 600 + 24 * 2000  # all at their brightest on one pixel


def test_what_it_returns_is_nobody_elses() -> None:
    scene = Scene((32, 32), seed=0)
    frame = scene.frame(5)
    kept = frame.copy()
    frame[:] = 0
    np.testing.assert_array_equal(scene.frame(5), kept)


def test_frames_come_at_their_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = SimulatedSource((8, 8), fps=10)
    source.open()
    moments = []
    for number in range(30):
        frame = source.read(1)
        assert isinstance(frame, Frame)
        assert frame.number == number
        np.testing.assert_array_equal(frame.data, Scene((8, 8), 0).frame(number))
        moments.append(frame.time)
        clock.pass_(0.03)  # what a reader does with a frame makes none of them later
    np.testing.assert_allclose(np.diff(moments), 0.1, atol=1e-9)
    assert source.read(0.05) is None
    source.close()


def test_who_reads_late_gets_the_last_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = SimulatedSource((8, 8), fps=10)
    source.open()
    assert next_frame(source).number == 0
    clock.pass_(0.45)  # 1 to 4 are due
    assert [next_frame(source).number for _ in range(5)] == [1, 2, 3, 4, 5]
    clock.pass_(10.0)  # 6 to 105 are due
    assert [next_frame(source).number for _ in range(BUFFERED + 1)] == list(range(98, 107))
    source.close()
    clock.pass_(10.0)
    source.open()
    assert next_frame(source).number == 107  # a camera that is off takes no pictures
    source.close()


def test_a_fast_camera_keeps_a_tenth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = SimulatedSource((1, 1), fps=500)
    source.open()
    clock.pass_(1.001)  # 0 to 500 are due
    assert next_frame(source).number == 451
    source.close()


def test_in_real_time_it_keeps_its_rate() -> None:
    threads = threading.active_count()
    source = open_source("sim:32x32@200?seed=2")
    source.open()
    start = time.perf_counter()
    numbers = [next_frame(source).number for _ in range(61)]
    seconds = time.perf_counter() - start
    source.close()
    assert seconds > 60 / 200 - 0.001
    assert numbers[-1] / seconds == pytest.approx(200, rel=0.2)  # late by less than 60 ms on a busy machine
    assert threading.active_count() == threads


def test_a_volume_is_one() -> None:
    source = open_source("sim:4x8x6@100")
    source.open()
    frame = next_frame(source)
    source.close()
    assert frame.volume
    assert frame.data.shape == (4, 8, 6)


def test_the_clock_counts_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    pace = Pace(8)
    assert pace.newest() == 0
    clock.pass_(0.25)
    assert pace.newest() == 2
    assert pace.wait(2, 0)
    assert not pace.wait(3, 0.0625)
    assert pace.wait(3, 0.0625)


@pytest.mark.parametrize(
    "text",
    ["sim:", "sim:64", "sim:64x", "sim:64xx64", "sim:ax4@3", "sim:64x64@", "sim:64x64@fast", "sim:64x64@nan",
     "sim:1x2x3x4@5", "sim:-4x4@1", "sim:4x4@30?seed", "sim:٤x4@3"],
)  # fmt: skip
def test_what_makes_no_sense_is_answered_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="expected sim:HxW@FPS such as sim:1024x1024@30"):
        open_source(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sim:0x4@30", "two or three axes of 1 pixel or more"),
        ("sim:100000x100000@30", "at most 268,435,456 pixels"),
        ("sim:4x4@0", "frames a second must be more than 0 and at most 1000, found 0"),
        ("sim:4x4@-3", "found -3"),
        ("sim:4x4@1001", "found 1001"),
        ("sim:4x4@inf", "found inf"),
        ("sim:4x4@3?sed=4", "unknown option 'sed'"),
        ("sim:4x4@3?seed=-4", "seed must be a whole number"),
    ],
)
def test_what_can_not_be_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_source(text)


def test_it_has_to_be_open() -> None:
    source = SimulatedSource((4, 4), seed=9)
    assert source.name == "sim:4x4@30?seed=9"
    source.close()
    with pytest.raises(SourceError, match="isn't open"):
        source.read(0)
