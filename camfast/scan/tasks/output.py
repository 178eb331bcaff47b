"""Outputs that stand under their final name only when they are whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camfast.errors import InputError


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Make sure that a file or Zarr folder can be written under this name, before anything is computed for it.

    Raises
    ------
    InputError
        If its folder is missing, the name is taken and ``overwrite`` is False, or it is a folder that is no Zarr
        store.
    """
    if not path.parent.is_dir():
        found = "is no folder; give one" if path.parent.exists() else "does not exist; create it"
        raise InputError(f"{path}: {path.parent} {found}, or write somewhere else")
    if not path.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists already; choose another name, or replace it with --overwrite (overwrite=True)")
    if path.is_dir() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray")):
        raise InputError(f"{path} is a folder and no Zarr store, so it is not replaced; choose another name")


@contextmanager
def staged(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside ``path``, and move what was written there to ``path`` when the block succeeds.

    Also after an exception or Ctrl-C nothing is left behind. What stood under the name is replaced at the end only.

    Raises
    ------
    InputError
        As `check_output`, or if the folder cannot be written to.
    """
    check_output(path, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise InputError(
            f"{path}: cannot write in the folder {path.parent} ({error.strerror}); write somewhere else"
        ) from None
    try:
        yield folder / path.name
        if path.is_dir() or (
            (folder / path.name).is_dir() and os.path.lexists(path)
        ):  # neither is replaced in one step
            path.rename(folder / "replaced")
        (folder / path.name).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
