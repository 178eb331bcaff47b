"""Figures as files that say how they came about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camfast._version import __version__
from camfast.errors import InputError
from camfast.provenance import as_json

DOTS_PER_INCH = 150


def save(figure: Any, path: str | Path, *, provenance: Mapping[str, Any] | None = None, **more: Any) -> None:
    """Save a figure as PNG, with how it came about in the file's text fields as JSON; a rerun gives equal bytes.

    `camfast.read_provenance` reads it back.

    Parameters
    ----------
    figure
        A figure of this package, or any other of matplotlib.
    path
        File to write, whose name ends with ``.png``.
    provenance
        What `camfast.provenance` says of the map.
    more
        Further facts by name; they go before those of ``provenance``.

    Raises
    ------
    InputError
        If the name has another ending, or its folder doesn't exist.
    TypeError
        If the figure or its provenance is something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> figure = camfast.plot.overlay(torch.ones(8, 8), torch.eye(8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     camfast.plot.save(figure, Path(folder, "cam.png"), method="respond")
    ...     camfast.read_provenance(Path(folder, "cam.png"))
    {'method': 'respond'}
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: the name of a saved figure must end with .png")
    if not Path(path).parent.is_dir():
        raise InputError(f"{path}: there is no folder {Path(path).parent}; make it first")
    if not hasattr(figure, "savefig"):
        raise TypeError(
            f"figure must be one of matplotlib, found {type(figure).__name__}: camfast.plot.overlay draws one"
        )
    if provenance is not None and not isinstance(provenance, Mapping):
        raise TypeError(
            f"provenance must be what camfast.provenance says of the map, found {type(provenance).__name__}"
        )
    description = json.dumps(as_json({**(provenance or {}), **more}), sort_keys=True)
    metadata = {"Software": f"camfast {__version__}", "Description": description}
    figure.savefig(path, format="png", dpi=DOTS_PER_INCH, metadata=metadata)
