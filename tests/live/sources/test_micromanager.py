import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live.frames import SourceEndedError, SourceError
from camfast.live.sources import MicroManagerSource, open_source
from tests.live.sources.until import next_frame, thread_count, wait_for

pymmcore_plus = pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus")
pytestmark = pytest.mark.micromanager

CONFIG = """
Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Camera,PixelType,{pixels}
Property,Camera,OnCameraCCDXSize,{width}
Property,Camera,OnCameraCCDYSize,{height}
"""


@pytest.fixture
def _libraries(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Micro-Manager's demonstration devices, from the package that brings them; or a skip that says why not."""
    adapters = pytest.importorskip("mm_test_adapters", reason="needs mm-test-adapters, which brings DemoCamera")
    monkeypatch.setenv("MICROMANAGER_PATH", adapters.device_adapter_path())
    caplog.set_level(logging.WARNING, "pymmcore-plus")  # what it says of a core keeps the core alive until the end
    core = pymmcore_plus.CMMCorePlus()
    try:
        core.loadDevice("Camera", "DemoCamera", "DCam")
    except (RuntimeError, OSError) as error:
        pytest.skip(f"DemoCamera can't be loaded by this pymmcore: {error}")
    finally:
        core.unloadAllDevices()
    del core
    threads = thread_count()
    yield
    wait_for(lambda: thread_count() <= threads)


def written(folder: Path, *, pixels: str = "16bit", height: int = 48, width: int = 64, more: str = "") -> Path:
    path = folder / "scope.cfg"
    path.write_text(CONFIG.format(pixels=pixels, height=height, width=width) + more)
    return path


@pytest.mark.usefixtures("_libraries")
def test_the_demonstration_runs() -> None:
    source = open_source("pymmcore:demo?exposure=2")
    assert source.name == "pymmcore:demo?exposure=2"
    source.open()
    frames = [next_frame(source) for _ in range(20)]
    source.close()
    numbers = [frame.number for frame in frames]
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    assert {(frame.data.shape, frame.data.dtype.name) for frame in frames} == {((512, 512), "uint16")}
    assert all(frame.data.std() > 0 for frame in frames)
    assert any((frames[0].data != frame.data).any() for frame in frames)
    source.close()
    source.open()  # again
    assert next_frame(source).number > numbers[-1]
    source.close()


@pytest.mark.usefixtures("_libraries")
@pytest.mark.parametrize(
    ("pixels", "shape", "kind"),
    [("8bit", (48, 64), "uint8"), ("16bit", (48, 64), "uint16"), ("32bitRGB", (48, 64, 3), "uint8")],
)
def test_pixels_are_those_of_the_camera(tmp_path: Path, pixels: str, shape: tuple[int, ...], kind: str) -> None:
    """The same image is asked for from the core itself, of a scene that stands still."""
    still = "Property,Camera,Mode,Color Test Pattern\n"
    path = written(tmp_path, pixels=pixels, more=still)
    source = MicroManagerSource(path, exposure=5)
    source.open()
    frame = next_frame(source)
    source.close()
    assert (frame.data.shape, frame.data.dtype.name) == (shape, kind)
    core = pymmcore_plus.CMMCorePlus()
    core.loadSystemConfiguration(str(path))
    core.snapImage()
    expected = core.getImage()
    core.unloadAllDevices()
    np.testing.assert_array_equal(frame.data, expected[..., :3] if len(shape) == 3 else expected)


@pytest.mark.usefixtures("_libraries")
def test_the_newest_is_taken_and_the_others_show_as_gaps(tmp_path: Path) -> None:
    source = MicroManagerSource(written(tmp_path), exposure=2)
    source.open()
    first = next_frame(source)
    wait_for(lambda: source._core.getRemainingImageCount() >= 5)
    second = next_frame(source)
    assert second.number >= first.number + 5
    assert source._core.getRemainingImageCount() < 5
    source.close()


@pytest.mark.usefixtures("_libraries")
def test_a_slow_camera_is_waited_for(tmp_path: Path) -> None:
    source = MicroManagerSource(written(tmp_path), exposure=300)
    source.open()
    start = time.perf_counter()
    assert source.read(0.05) is None
    assert time.perf_counter() - start >= 0.05
    source.close()


@pytest.mark.usefixtures("_libraries")
def test_a_camera_that_stops_is_started_again(tmp_path: Path) -> None:
    source = MicroManagerSource(written(tmp_path), exposure=2)
    source.open()
    number = next_frame(source).number
    source._core.stopSequenceAcquisition()
    with pytest.raises(SourceError, match="the camera has stopped") as raised:
        _ = [next_frame(source) for _ in range(1000)]  # those that it had taken
    assert not isinstance(raised.value, SourceEndedError)
    source.close()
    source.open()
    assert next_frame(source).number > number
    source.close()


@pytest.mark.usefixtures("_libraries")
def test_configurations_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no such configuration"):
        MicroManagerSource(tmp_path / "absent.cfg").open()
    path = tmp_path / "scope.cfg"
    path.write_text("Device,Camera,NoSuchLibrary,DCam\n")
    with pytest.raises(SourceError, match=r"can't be started: Line 1: Device,Camera.* Failed to load .*NoSuchLibrary"):
        MicroManagerSource(path).open()
    path.write_text("Property,Core,Initialize,1\n")
    source = MicroManagerSource(path)
    with pytest.raises(InputError, match="the configuration names no camera"):
        source.open()
    with pytest.raises(SourceError, match="isn't open"):
        source.read(0)
    source.close()


def test_without_libraries_it_says_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymmcore_plus, "find_micromanager", lambda: None)
    with pytest.raises(InputError, match="run 'mmcore install', or set MICROMANAGER_PATH"):
        open_source("pymmcore:demo").open()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pymmcore:", "expected a configuration, such as pymmcore:scope.cfg or pymmcore:demo"),
        ("pymmcore:demo?exposure=0", "exposure must be more than 0"),
        ("pymmcore:demo?exposure=long", "exposure must be a number, found 'long'"),
        ("pymmcore:demo?fps=3", "unknown option 'fps' of a source pymmcore; it has exposure"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_source(text)


def test_images_without_a_number_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        """A core in which two images wait, of a camera that doesn't number them."""

        def isSequenceRunning(self) -> bool:  # noqa: N802
            return True

        def getRemainingImageCount(self) -> int:  # noqa: N802
            return 1

        def popNextImageAndMD(self) -> tuple[Any, dict[str, str]]:  # noqa: N802
            return np.zeros((2, 3), np.uint8), {}

    source = MicroManagerSource("demo")
    monkeypatch.setattr(source, "_core", Core())
    assert [next_frame(source).number for _ in range(3)] == [0, 1, 2]
