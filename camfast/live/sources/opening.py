"""Sources by their names."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from camfast.errors import InputError
from camfast.live.frames import Source
from camfast.live.sources.film import FilmSource
from camfast.live.sources.folder import FolderSource
from camfast.live.sources.iterated import IteratedSource
from camfast.live.sources.micromanager import MicroManagerSource
from camfast.live.sources.pictures import READERS
from camfast.live.sources.simulated import SimulatedSource
from camfast.live.sources.zeromq import ZeroMQSource
from camfast.live.spec import Spec

SOURCES: dict[str, str] = {
    "sim": "sim:1024x1024@30 (HxW@FPS or DxHxW@FPS; ?seed=): a moving scene with noise",
    "watch": "watch:run1/*.tif (?volume=1): the newest TIFF, PNG, JPEG, MRC or EM file of a folder that fills",
    "video": "video:run1.mp4 (?fps=, ?loop=1): a film, at its own rate",
    "zmq": "zmq:tcp://microscope:5555 (?bind=1, ?topic=): arrays sent over ZeroMQ, see docs/live/sources.md",
    "pymmcore": "pymmcore:scope.cfg or pymmcore:demo (?exposure=ms): a camera of Micro-Manager",
}
_KINDS: dict[str, Callable[[Spec], Source]] = {
    "sim": SimulatedSource.of,
    "watch": FolderSource.of,
    "video": FilmSource.of,
    "zmq": ZeroMQSource.of,
    "pymmcore": MicroManagerSource.of,
}


def open_source(spec: str | Source | Iterable[Any]) -> Source:
    """Make a source of its name, ready to be opened.

    Parameters
    ----------
    spec
        ``kind:place?option=value``, see `SOURCES`; a source, returned as it is; or an iterable of arrays, tensors or
        `Frame`.

    Raises
    ------
    InputError
        If it is none of these, or what the name asks for makes no sense.
    MissingExtraError
        If a package is missing; the message names the extra that brings it.

    Examples
    --------
    >>> open_source("sim:64x48@20").name
    'sim:64x48@20'
    """
    if isinstance(spec, str):
        asked = Spec.of(spec)
        if asked.kind not in _KINDS or ":" not in spec:
            raise InputError(f"{spec!r} is no source{_meant(spec, asked.kind)}; there are {_EXAMPLES}")
        return _KINDS[asked.kind](asked)
    if all(hasattr(spec, name) for name in ("name", "open", "read", "close")):
        return cast(Source, spec)
    if isinstance(spec, Iterable):
        return IteratedSource(spec)
    raise InputError(f"a source must be a name such as sim:1024x1024@30, an iterable or a Source, found {spec!r}")


def _meant(spec: str, kind: str) -> str:
    """Ask what a name that is none was meant to be."""
    close = get_close_matches(kind, _KINDS, n=1)
    if close and close[0] != spec:
        return f" (did you mean {close[0]}:{spec.partition(':')[2] or '...'}?)"
    path = Path(spec)
    is_picture = path.suffix.lower() in READERS or path.is_dir()
    return f" (did you mean watch:{spec}?)" if is_picture else f" (did you mean video:{spec}?)" if path.suffix else ""


_EXAMPLES = ", ".join(text.split(" ")[0] for text in SOURCES.values())
