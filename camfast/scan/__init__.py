"""Whole volumes: read them, scan them window by window, write the map.

The name ``camfast.scan`` itself is the function; import the others from here: ``from camfast.scan import read_volume``.
They are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from camfast._later import later
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

__getattr__, __dir__ = later(__name__, _LATER)
