"""Sinks by their names, and what is said of names that aren't any."""

import sys
from pathlib import Path
from typing import Any

import pytest
import zarr

from camfast.errors import InputError, MissingExtraError
from camfast.live import open_sink
from camfast.live.sinks import SINKS, CallbackSink, ZarrSink
from tests.live.sinks.made import make


def test_a_recording_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    sink = open_sink(f"zarr:{path}?every=2&overlay=1", {"model": "small"})
    assert isinstance(sink, ZarrSink)
    assert sink.name == f"zarr:{path}?every=2&overlay=1"
    for number in range(3):
        sink.put(make(number))
    sink.close()
    root: Any = zarr.open_group(path, mode="r")
    assert root.attrs["camfast"]["about"] == {"model": "small"}
    assert root["0000"]["number"][:].tolist() == [0, 2]
    assert "overlay" in root["0000"]
    again = open_sink(f"zarr:{path}?overwrite=1")
    again.close()
    assert "0000" not in zarr.open_group(path, mode="r")


def test_functions_and_sinks_are_taken() -> None:
    found = open_sink(print)
    assert isinstance(found, CallbackSink)
    assert open_sink(found) is found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("zar:run.zarr", r"'zar:run.zarr' is no sink; there are zarr:run.zarr, napari"),
        ("", "'' is no sink; there are"),
        ("zarr:", "zarr:: expected the name of a folder, such as zarr:run.zarr"),
        ("zarr:x?evry=2", "unknown option 'evry' of a sink zarr; it has every, overlay, overwrite"),
        ("zarr:x?every=0", "every must be 1 or more, found 0"),
        ("zarr:x?every=some", "every must be a whole number from 0, found 'some'"),
        ("zarr:x?overlay=maybe", "overlay must be 1 or 0, found 'maybe'"),
        ("napari:left", "a window has no place, expected napari or napari:.fps=20"),
        ("napari:?fps=0", "fps must be a rate between 0 and 1000 a second, found 0"),
        ("napari:?rate=3", "unknown option 'rate' of a sink napari; it has fps"),
        (7, "a sink must be a name such as zarr:run.zarr, a function or a Sink, found 7"),
    ],
)
def test_what_is_no_sink(spec: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        open_sink(spec)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("spec", "package", "extra"), [("zarr:x", "zarr", "scan"), ("napari", "napari", "napari")])
def test_a_missing_package_is_named(
    spec: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs the package '{package}', .*camfast\[{extra}\]"):
        open_sink(spec)
    assert list(tmp_path.iterdir()) == []


def test_each_kind_has_its_help() -> None:
    for kind, text in SINKS.items():
        assert text.startswith(kind)
