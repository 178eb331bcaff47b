"""`MicroManagerSource` on a core that pretends; test_micromanager.py has the real one, which not every machine has."""

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live.frames import SourceError
from camfast.live.sources import open_source


class Core:
    """The part of pymmcore-plus's core that a source calls, with images that a test puts into its buffer."""

    def __init__(self) -> None:
        self.camera = "Camera"
        self.trouble: Exception | None = None
        self.gone = False
        self.running = False
        self.loaded = ""
        self.exposure: float | None = None
        self.images: list[tuple[Any, dict[str, str]]] = []

    def loadSystemConfiguration(self, name: str) -> None:  # noqa: N802
        if self.trouble is not None:
            raise self.trouble
        self.loaded = name

    def getCameraDevice(self) -> str:  # noqa: N802
        return self.camera

    def setExposure(self, milliseconds: float) -> None:  # noqa: N802
        self.exposure = milliseconds

    def startContinuousSequenceAcquisition(self, _interval: float) -> None:  # noqa: N802
        self.running = True

    def stopSequenceAcquisition(self) -> None:  # noqa: N802
        self.running = False

    def isSequenceRunning(self) -> bool:  # noqa: N802
        if self.gone:
            raise RuntimeError("the camera was unplugged")
        return self.running

    def getRemainingImageCount(self) -> int:  # noqa: N802
        return len(self.images)

    def popNextImage(self) -> Any:  # noqa: N802
        return self.popNextImageAndMD()[0]

    def popNextImageAndMD(self) -> tuple[Any, dict[str, str]]:  # noqa: N802
        if not self.images:
            raise IndexError("Circular buffer is empty.")
        return self.images.pop(0)

    def unloadAllDevices(self) -> None:  # noqa: N802
        self.loaded = ""


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    core = Core()
    package = SimpleNamespace(CMMCorePlus=lambda: core, find_micromanager=lambda: "/usr/lib/micro-manager")
    monkeypatch.setitem(sys.modules, "pymmcore_plus", package)
    return core


def image(value: int, number: str | None = None) -> tuple[Any, dict[str, str]]:
    return np.full((2, 3), value, np.uint16), {} if number is None else {"ImageNumber": number}


def test_the_newest_image_is_taken_under_the_cameras_number(core: Core) -> None:
    source = open_source("pymmcore:demo?exposure=2.5")
    assert source.name == "pymmcore:demo?exposure=2.5"
    source.open()
    assert (core.loaded, core.exposure, core.running) == ("MMConfig_demo.cfg", 2.5, True)
    core.images = [image(10, "0")]
    first = source.read(0.1)
    core.images = [image(11, "1"), image(12, "2"), image(13, "3")]
    second = source.read(0.1)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 3)
    np.testing.assert_array_equal(second.data, np.full((2, 3), 13, np.uint16))
    assert core.images == []
    source.close()
    assert (core.running, core.loaded) == (False, "")
    source.close()  # again


def test_images_without_a_number_are_counted(core: Core) -> None:
    source = open_source("pymmcore:scope.cfg")
    source.open()
    assert (core.loaded, core.exposure) == ("scope.cfg", None)
    core.images = [image(1), image(2)]
    one = source.read(0.1)
    core.images = [image(3)]
    other = source.read(0.1)
    assert one is not None
    assert other is not None
    assert (one.number, other.number) == (0, 1)


def test_an_image_is_waited_for(core: Core) -> None:
    source = open_source("pymmcore:demo")
    source.open()
    begun = time.perf_counter()
    assert source.read(0.02) is None
    assert time.perf_counter() - begun >= 0.02


def test_a_camera_that_stops_or_fails_is_named(core: Core) -> None:
    source = open_source("pymmcore:demo")
    with pytest.raises(SourceError, match="pymmcore:demo isn't open"):
        source.read(0.1)
    source.open()
    core.running = False
    with pytest.raises(SourceError, match="pymmcore:demo: the camera has stopped"):
        source.read(0.1)
    core.running, core.gone = True, True
    with pytest.raises(SourceError, match="the camera gives no images: the camera was unplugged"):
        source.read(0.1)
    source.close()  # of a camera that is gone
    assert core.loaded == ""


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (FileNotFoundError("demo"), InputError, "pymmcore:demo: there is no such configuration"),
        (
            RuntimeError('Line 1: Device,Camera,None,DCam\nFailed to load "None"\nmore'),
            SourceError,
            'the camera can\'t be started: Line 1: Device,Camera,None,DCam Failed to load "None"$',
        ),
    ],
)
def test_configurations_that_fail_are_named(core: Core, trouble: Exception, kind: type[Exception], words: str) -> None:
    core.trouble = trouble
    source = open_source("pymmcore:demo")
    with pytest.raises(kind, match=words):
        source.open()
    with pytest.raises(SourceError, match="isn't open"):
        source.read(0.1)


def test_a_configuration_without_a_camera_is_named(core: Core) -> None:
    core.camera = ""
    source = open_source("pymmcore:demo")
    with pytest.raises(InputError, match="the configuration names no camera; set Core, Camera in it"):
        source.open()
    assert core.loaded == ""  # its devices are let go


def test_without_libraries_it_says_where_they_come_from(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["pymmcore_plus"], "find_micromanager", lambda: None)
    with pytest.raises(InputError, match="run 'mmcore install', or set MICROMANAGER_PATH"):
        open_source("pymmcore:demo").open()


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pymmcore:", "expected a configuration, such as pymmcore:scope.cfg or pymmcore:demo"),
        ("pymmcore:demo?exposure=0", "exposure must be more than 0"),
        ("pymmcore:demo?exposure=inf", "exposure must be"),
        ("pymmcore:demo?fps=3", "unknown option 'fps' of a source pymmcore; it has exposure"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_source(text)
