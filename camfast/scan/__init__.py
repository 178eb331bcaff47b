"""Whole volumes: read them, scan them window by window, write the map.

The name ``camfast.scan`` itself is the function; import the others from here: ``from camfast.scan import read_volume``.
"""

from camfast.scan.files import read_volume, write_volumes
from camfast.scan.result import ScanResult
from camfast.scan.scanner import scan
from camfast.scan.volumes import Volume

__all__ = ["ScanResult", "Volume", "read_volume", "scan", "write_volumes"]
