"""A camera of Micro-Manager: ``pymmcore:CONFIG.cfg``."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast.errors import InputError
from camfast.live.frames import Frame, SourceError, checked
from camfast.live.sources.counting import SentNumbers
from camfast.live.spec import Spec

DEMO = "MMConfig_demo.cfg"  # comes with Micro-Manager's device libraries
LONGEST_EXPOSURE = 3_600_000.0  # ms
POLL_SECONDS = 0.001  # the core has no way to wait for an image


class MicroManagerSource:
    """The camera that a configuration of Micro-Manager names, running without end, by way of pymmcore-plus.

    Images that arrived while nobody read are skipped but for the newest, which their numbers show.

    Parameters
    ----------
    config
        A configuration file, as Micro-Manager's hardware wizard writes it; or ``"demo"``, Micro-Manager's own
        demonstration, with a camera that isn't there.
    exposure
        Milliseconds; None: as configured.

    Raises
    ------
    InputError
        If the exposure makes no sense; in `open` if there is no such configuration, or no device libraries.
    """

    def __init__(self, config: str | Path, *, exposure: float | None = None) -> None:
        self._package = require("pymmcore_plus", "micromanager", "a camera of Micro-Manager")
        self._config = DEMO if config == "demo" else str(config)
        self.name = f"pymmcore:{config}" + (f"?exposure={exposure:g}" if exposure is not None else "")
        if exposure is not None and not 0 < exposure <= LONGEST_EXPOSURE:
            raise InputError(f"{self.name}: exposure must be more than 0 and at most {LONGEST_EXPOSURE:g} ms")
        self._exposure = exposure
        self._core: Any = None
        self._numbers = SentNumbers()

    @classmethod
    def of(cls, spec: Spec) -> "MicroManagerSource":
        """Make what a person asked for as ``pymmcore:CONFIG.cfg`` or ``pymmcore:demo``, ``?exposure=`` in ms."""
        spec.check_options("exposure")
        if not spec.place:
            raise InputError(f"{spec.text}: expected a configuration, such as pymmcore:scope.cfg or pymmcore:demo")
        return cls(spec.place, exposure=spec.number("exposure"))

    def open(self) -> None:
        """Load the devices, and start the camera."""
        self.close()
        if self._package.find_micromanager() is None:
            raise InputError(
                f"{self.name}: Micro-Manager's device libraries weren't found: run 'mmcore install', or set "
                "MICROMANAGER_PATH to the folder of Micro-Manager"
            )
        core = self._core = self._package.CMMCorePlus()
        try:
            core.loadSystemConfiguration(self._config)
            if not core.getCameraDevice():
                raise InputError(f"{self.name}: the configuration names no camera; set Core, Camera in it")
            if self._exposure is not None:
                core.setExposure(self._exposure)
            core.startContinuousSequenceAcquisition(0)
        except InputError:
            self.close()
            raise
        except FileNotFoundError:
            self.close()
            raise InputError(f"{self.name}: there is no such configuration") from None
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise SourceError(f"{self.name}: the camera can't be started: {_said(error)}") from None

    def read(self, timeout: float) -> Frame | None:
        """Wait for an image, at most so many seconds, and return the newest; None where none came."""
        if self._core is None:
            raise SourceError(f"{self.name} isn't open")
        try:
            count = self._waiting(time.perf_counter() + timeout)
            if not count:
                return None
            for _ in range(count - 1):
                self._core.popNextImage()
            image, tags = self._core.popNextImageAndMD()
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise SourceError(f"{self.name}: the camera gives no images: {_said(error)}") from None
        data = checked(image, volume=False, what=self.name)
        sent = tags.get("ImageNumber", "")
        number = self._numbers.number(int(sent) if sent.isdigit() else None)
        return Frame(data, number, time.perf_counter())

    def close(self) -> None:
        """Stop the camera and let go of the devices; also where it isn't open."""
        core, self._core = self._core, None
        if core is None:
            return
        with suppress(RuntimeError):  # of a camera that is gone
            if core.isSequenceRunning():
                core.stopSequenceAcquisition()
        with suppress(RuntimeError):
            core.unloadAllDevices()

    def _waiting(self, end: float) -> int:
        """Wait until there are images, until a time; how many there are."""
        while True:
            running = self._core.isSequenceRunning()
            count: int = self._core.getRemainingImageCount()
            if count:
                return count
            if not running:
                raise SourceError(f"{self.name}: the camera has stopped")
            left = end - time.perf_counter()
            if left <= 0:
                return 0
            time.sleep(min(left, POLL_SECONDS))


def _said(error: Exception) -> str:
    """Return the first two lines: the core says which line of the configuration failed, and why."""
    return " ".join(str(error).split("\n")[:2])
