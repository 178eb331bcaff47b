"""What a recording looks like on disk: a Zarr store (version 3) that grows, and is whole whenever it is read."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.errors import InputError
from camfast.live.shown import Shown
from camfast.provenance import as_json

KIND = "live recording"
_PURPOSE = "recording overlays"
_METADATA = "zarr.json"
# Bytes of a chunk of small rows, which is written again for each frame until it is full; and of a part of a large one.
_SMALL, _LARGE = 1 << 16, 1 << 27
_MOST_ROWS = 1024
_BLOSC: dict[str, Any] = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"}


@dataclass(frozen=True)
class Form:
    """What all frames of a part of a recording have in common.

    Attributes
    ----------
    shape : tuple of int
        Of a frame: (H, W), (H, W, 3) or (D, H, W).
    dtype : str
        Of a frame.
    volume : bool
        Whether three axes are (D, H, W).
    grid : tuple of int
        (h, w) or (d, h, w), of a map.
    classes : int
        C, of the scores.
    rgb : tuple of int or None
        Of an overlay; None: they aren't recorded.
    """

    shape: tuple[int, ...]
    dtype: str
    volume: bool
    grid: tuple[int, ...]
    classes: int
    rgb: tuple[int, ...] | None

    @classmethod
    def of(cls, shown: Shown, *, overlay: bool) -> "Form":
        """Return the form of what is shown."""
        data = shown.frame.data
        rgb = shown.rgb.shape if overlay else None
        return cls(data.shape, data.dtype.name, shown.frame.volume, shown.grid.shape, len(shown.scores), rgb)


@dataclass(frozen=True)
class _Kind:
    """An array of a recording: its name, dtype, the shape and axes of a row, and what it means."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    meaning: str


def _kinds(form: Form) -> Iterator[_Kind]:
    space = ("z", "y", "x") if form.volume else ("y", "x")
    colour = () if form.volume or len(form.shape) == 2 else ("c",)
    yield _Kind("map", "float32", form.grid, space, "the map on the layer's grid, whose cells tile the frame")
    yield _Kind("scores", "float32", (form.classes,), ("class",), "the network's output")
    yield _Kind("target", "int32", (), (), "the class that is explained, an index of scores")
    yield _Kind("low", "float32", (), (), "value of the map at the first of the colours")
    yield _Kind("high", "float32", (), (), "value of the map at the last of the colours")
    yield _Kind("black", "float64", (), (), "level of the frame that is shown black")
    yield _Kind("white", "float64", (), (), "level of the frame that is shown white")
    yield _Kind("number", "int64", (), (), "which of the source's frames, from 0")
    yield _Kind("name", "string", (), (), "of the file or image, or empty")
    yield _Kind("time", "float64", (), (), "seconds on a steady clock of any zero, when the frame was in memory")
    yield _Kind("utc", "float64", (), (), "seconds since 1970-01-01T00:00:00Z, when the frame was in memory")
    yield _Kind("settings", "string", (), (), "what the overlay was made with, as JSON")
    if form.rgb is not None:
        yield _Kind("overlay", "uint8", form.rgb, ("y", "x", "c"), "the map in colour over the frame, as it was shown")
    # the last, as its length says how many frames are whole
    yield _Kind("frame", form.dtype, form.shape, (*space, *colour), "the frame as it came from the source")


def _row(shown: Shown, utc: float) -> dict[str, Any]:
    frame = shown.frame
    return {
        "map": shown.grid,
        "scores": shown.scores,
        "target": shown.target,
        "low": shown.low,
        "high": shown.high,
        "black": shown.black,
        "white": shown.white,
        "number": frame.number,
        "name": frame.name.encode(errors="backslashreplace").decode(),
        "time": frame.time,
        "utc": utc,
        "settings": json.dumps(asdict(shown.settings)),
        "overlay": shown.rgb,
        "frame": frame.data,
    }


class _Column:
    """An array that grows: rows are gathered to a chunk, and count once the array's length says so.

    zarr makes the array. Its chunks are written here: a round trip through zarr's threads for each of a dozen arrays
    would take longer than compressing the frame, and zarr writes none that the length doesn't cover yet.
    """

    def __init__(self, group: Any, folder: Path, kind: _Kind) -> None:
        zarr, codecs = (require(name, "scan", _PURPOSE) for name in ("zarr", "numcodecs"))
        text = kind.dtype == "string"
        dtype = np.dtype(object if text else kind.dtype).newbyteorder("<")
        count = int(np.clip(_SMALL // (dtype.itemsize * math.prod(kind.shape)), 1, _MOST_ROWS))
        depth, padded = _depths(kind.shape, dtype.itemsize)
        group.create_array(
            kind.name,
            shape=(0, *kind.shape),
            chunks=(count, *depth, *kind.shape[1:]),
            dtype=kind.dtype,
            compressors=zarr.codecs.BloscCodec(**_BLOSC, typesize=1 if text else dtype.itemsize),
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=("t", *kind.axes),
            attributes={"meaning": kind.meaning},
        )
        self._folder = folder / kind.name
        self._document = json.loads((self._folder / _METADATA).read_text())
        self._text = codecs.VLenUTF8() if text else None
        self._blosc = codecs.Blosc(_BLOSC["cname"], _BLOSC["clevel"], codecs.Blosc.BITSHUFFLE)
        self._rows: NDArray[Any] = np.full((count, *padded, *kind.shape[1:]), "" if text else 0, dtype)
        self._cells = tuple(slice(length) for length in kind.shape)
        self._parts = dict(_parts(self._rows.shape[1:], depth))
        self._length = self._written = 0

    def add(self, row: Any) -> None:
        """Take the next row."""
        place = self._length % len(self._rows)
        self._rows[place : place + 1, *self._cells] = row
        self._length += 1
        if place + 1 == len(self._rows):
            self._write()

    def commit(self) -> None:
        """Write what there is, then the length that covers it."""
        if self._written < self._length:
            self._write()
        document = {**self._document, "shape": [self._length, *self._document["shape"][1:]]}
        _replace(self._folder / _METADATA, json.dumps(document).encode())

    def _write(self) -> None:
        chunk = (self._length - 1) // len(self._rows)
        for suffix, part in self._parts.items():
            rows = self._rows[part] if self._text is None else self._text.encode(self._rows)
            _replace(self._folder / f"c.{chunk}{suffix}", self._blosc.encode(np.ascontiguousarray(rows)))
        self._written = self._length


class Recording:
    """A recording that is made: frames are appended, and can be read once they are committed.

    The groups ``0000``, ``0001`` … hold frames of one form each. A chunk is one frame, or as many rows of small arrays
    as make 64 KiB; such a chunk is replaced, in one step, each time a row is added, so that nothing waits in memory for
    others to come. The lengths of the arrays are replaced after the chunks, that of ``frame`` last: a process that is
    killed at any time leaves ``frame.shape[0]`` whole frames, and a few more rows in some of the other arrays.

    Parameters
    ----------
    path
        Folder to create.
    about
        What is known of network and source.
    overwrite
        Whether a recording that is there is deleted.

    Raises
    ------
    InputError
        If something is there, or the folder can't be made.
    MissingExtraError
        Without zarr.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self._zarr = require("zarr", "scan", _PURPOSE)
        self.path = path
        if path.exists() or path.is_symlink():
            _clear(path, overwrite=overwrite)
        facts = {"kind": KIND, "version": __version__, "about": as_json(about), "layout": _LAYOUT}
        try:
            self._root = self._zarr.open_group(str(path), mode="w-", zarr_format=3, attributes={"camfast": facts})
        except OSError as error:
            raise InputError(f"{path} can't be made: {error.strerror or error}; choose another folder") from None
        self._form: Form | None = None
        self._columns: dict[str, _Column] = {}
        self._parts = 0

    def append(self, form: Form, shown: Shown, utc: float) -> None:
        """Take a frame; one of another form than the last starts a group of its own."""
        if form != self._form:
            self.commit()
            self._start(form)
        row = _row(shown, utc)
        for name, column in self._columns.items():
            column.add(row[name])

    def commit(self) -> None:
        """Let those who read see all that was appended."""
        for column in self._columns.values():
            column.commit()

    def _start(self, form: Form) -> None:
        name = f"{self._parts:04}"
        facts = {"started": datetime.now(UTC).isoformat(), **as_json(asdict(form))}
        group = self._root.create_group(name, attributes={"camfast": facts})
        self._columns = {kind.name: _Column(group, self.path / name, kind) for kind in _kinds(form)}
        self._form = form
        self._parts += 1


_LAYOUT = (
    "Groups 0000, 0001, ... hold frames of one shape each, in their order; frame.shape[0] of them are whole. Each "
    "array says what it means, and names its axes, the first of which is t."
)


def _depths(shape: tuple[int, ...], item: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How much of a row's first axis is in a chunk, less than all where that is too much at once; and of all chunks."""
    if not shape:
        return (), ()
    depth = int(np.clip(_LARGE // (item * math.prod(shape[1:])), 1, shape[0]))
    return (depth,), (-(-shape[0] // depth) * depth,)


def _parts(shape: tuple[int, ...], depth: tuple[int, ...]) -> Iterator[tuple[str, tuple[slice, ...]]]:
    """The chunks that rows of a shape are cut into: how their names end, and where they lie."""
    if not depth:
        yield "", (slice(None),)
    for step in depth:
        for number in range(shape[0] // step):
            place = slice(number * step, (number + 1) * step)
            yield f".{number}" + ".0" * (len(shape) - 1), (slice(None), place)


def _clear(path: Path, *, overwrite: bool) -> None:
    """Delete a recording, and nothing else."""
    if not overwrite:
        raise InputError(f"{path} is there already: choose another name, or add ?overwrite=1 to replace a recording")
    try:
        about = json.loads((path / _METADATA).read_text())["attributes"]["camfast"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        about = None
    if about != KIND or path.is_symlink():
        raise InputError(f"{path} is no recording of camfast, so it isn't overwritten: choose another name, or move it")
    shutil.rmtree(path)


def _replace(file: Path, content: bytes) -> None:
    """Put a file in the place of another, in one step."""
    waiting = file.with_name(f"{file.name}.partial")
    try:
        waiting.write_bytes(content)
    except OSError:  # a full disk gets back what it could take
        waiting.unlink(missing_ok=True)
        raise
    waiting.replace(file)
