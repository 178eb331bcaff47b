"""Sinks by their names."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from camfast.errors import InputError
from camfast.live.shown import Shown, Sink
from camfast.live.sinks.calling import CallbackSink
from camfast.live.sinks.napari_window import NapariSink
from camfast.live.sinks.zarr_file import ZarrSink
from camfast.live.spec import Spec

SINKS: dict[str, str] = {
    "zarr": "zarr:run.zarr (?every=N, ?overlay=1, ?overwrite=1): a recording of frames, maps and scores, see "
    "docs/live/recordings.md",
    "napari": "napari (napari:?fps=20): a window of napari with frame, map and overlay",
}
_KINDS: dict[str, tuple[Callable[[Spec, Mapping[str, Any]], Sink], tuple[str, ...]]] = {
    "zarr": (ZarrSink.of, ("every", "overlay", "overwrite")),
    "napari": (NapariSink.of, ("fps",)),
}


def open_sink(spec: str | Sink | Callable[[Shown], object], about: Mapping[str, Any] | None = None) -> Sink:
    """Make a sink of its name or of a function.

    Parameters
    ----------
    spec
        ``kind:place?option=value``, see `SINKS`; a sink, returned as it is; or a function that is called with each
        `Shown`, see `CallbackSink`.
    about
        What is known of network and source, for those that write it down.

    Raises
    ------
    InputError
        If it is none of these, or what the name asks for can't be done.
    MissingExtraError
        If a package is missing; the message names the extra that brings it.

    Examples
    --------
    >>> open_sink(print).name
    'print'
    """
    if isinstance(spec, str):
        asked = Spec.of(spec)
        if asked.kind not in _KINDS:
            examples = ", ".join(text.split(" ")[0].rstrip(",") for text in SINKS.values())
            raise InputError(f"{spec!r} is no sink; there are {examples}")
        make, known = _KINDS[asked.kind]
        for name in asked.options:
            if name not in known:
                raise InputError(f"{spec}: unknown option {name!r} of a sink {asked.kind}; it has {', '.join(known)}")
        return make(asked, about or {})
    if all(callable(getattr(spec, name, None)) for name in ("put", "close")):
        return cast("Sink", spec)
    if callable(spec):
        return CallbackSink(spec)
    raise InputError(f"a sink must be a name such as zarr:run.zarr, a function or a Sink, found {spec!r}")
