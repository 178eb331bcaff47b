import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camfast.errors import InputError, MissingExtraError
from camfast.live.frames import Frame, Source
from camfast.live.sources import (
    SOURCES,
    FilmSource,
    FolderSource,
    IteratedSource,
    MicroManagerSource,
    SimulatedSource,
    ZeroMQSource,
    open_source,
)


class Own:
    """A source of the caller's."""

    name = "own"

    def open(self) -> None: ...

    def read(self, timeout: float) -> Frame | None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sim:64x64@30", SimulatedSource),
        ("watch:run/*.tif", FolderSource),
        ("video:a.mp4", FilmSource),
        ("zmq:tcp://127.0.0.1:5555", ZeroMQSource),
        pytest.param("pymmcore:demo", MicroManagerSource, marks=pytest.mark.micromanager),
    ],
)
def test_a_name_is_kept(text: str, kind: type[Source]) -> None:
    source = open_source(text)
    assert isinstance(source, kind)
    assert source.name == text
    source.close()


def test_sources_and_iterables_are_taken() -> None:
    own = Own()
    assert open_source(own) is own
    assert isinstance(open_source(np.zeros((3, 4, 5), np.uint8)), IteratedSource)
    assert isinstance(open_source(iter([])), IteratedSource)


@pytest.mark.parametrize("text", ["", "webcam", "webcam:0", "sim", "SIM:4x4@3", "/data/run.mp4"])
def test_an_unknown_name_is_answered_with_all_that_there_are(text: str) -> None:
    with pytest.raises(InputError) as raised:
        open_source(text)
    message = str(raised.value)
    assert message.startswith(f"{text!r} is no source")
    for kind, help_ in SOURCES.items():
        assert help_.startswith(f"{kind}:")
        assert help_.split(" ")[0] in message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("simm:3x3@4", "sim:3x3@4"),
        ("sim", None),
        ("run1/*.tif", "watch:run1/*.tif"),
        ("/data/run.mp4", "video:/data/run.mp4"),
        ("wach:run1/*.tif", "watch:run1/*.tif"),
    ],
)
def test_what_was_meant_is_asked(text: str, meant: str | None) -> None:
    with pytest.raises(InputError) as raised:
        open_source(text)
    assert ("did you mean" in str(raised.value)) is (meant is not None)
    assert meant is None or f"(did you mean {meant}?)" in str(raised.value)


def test_a_folder_was_meant_to_be_watched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean watch:"):
        open_source(str(tmp_path))


_NEEDS_MORE = {"pymmcore": pytest.mark.micromanager}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=_NEEDS_MORE.get(kind, ())) for kind in SOURCES])
def test_examples_of_the_help_are_sources(kind: str) -> None:
    example = SOURCES[kind].split(" ")[0]
    assert open_source(example).name == example


@pytest.mark.parametrize("thing", [None, 3, 2.5])
def test_what_is_no_source_is_named(thing: Any) -> None:
    with pytest.raises(InputError, match="a source must be a name such as sim:1024x1024@30, an iterable or a Source"):
        open_source(thing)


@pytest.mark.parametrize(
    ("text", "module", "extra"),
    [
        ("watch:run/*.tif", "watchfiles", "live"),
        ("video:a.mp4", "av", "live"),
        ("zmq:tcp://h:1", "zmq", "live"),
        ("pymmcore:demo", "pymmcore_plus", "micromanager"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(
    text: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name.split(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"pip install 'camfast\[{extra}\]'"):
        open_source(text)
    assert isinstance(open_source("sim:4x4@3"), SimulatedSource)
