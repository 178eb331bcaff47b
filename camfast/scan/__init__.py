"""Whole volumes: read them, scan them window by window, write the map.

``camfast.scan(...)`` is a function and ``camfast.scan.files`` a module of the same name's package: the package itself
can be called.
"""

import sys
from types import ModuleType

from camfast.scan.files import read_volume, write_volumes
from camfast.scan.scanner import ScanResult, scan
from camfast.scan.volumes import Volume

__all__ = ["ScanResult", "Volume", "read_volume", "scan", "write_volumes"]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(scan)


sys.modules[__name__].__class__ = _CallablePackage
