"""Optional packages: imported on first use, and named by their extra when absent."""

import importlib
from typing import Any

from camfast.errors import MissingExtraError


def require(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    module
        Dotted name, such as ``"mrcfile"``.
    extra
        The extra of camfast that installs it, such as ``"scan"``.
    purpose
        What it is needed for, as the start of a sentence: ``"reading MRC files"``.

    Raises
    ------
    MissingExtraError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {error.name!r}, which is not installed: pip install 'camfast[{extra}]'"
        ) from None
