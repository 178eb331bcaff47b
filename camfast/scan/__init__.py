"""Whole volumes: read them, scan them window by window, write the map.

The name ``camfast.scan`` itself is the function; import the others from here: ``from camfast.scan import read_volume``.
They are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from camfast.scan.scanner import scan

if TYPE_CHECKING:
    from camfast.scan.files import read_volume, write_volumes
    from camfast.scan.result import ScanResult
    from camfast.scan.volumes import Volume

__all__ = ["ScanResult", "Volume", "read_volume", "scan", "write_volumes"]

_LATER = {
    "ScanResult": "camfast.scan.result",
    "Volume": "camfast.scan.volumes",
    "read_volume": "camfast.scan.files",
    "write_volumes": "camfast.scan.files",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
        return found
    raise AttributeError(f"module 'camfast.scan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
