"""Names of a package that are imported when they are first used, so that importing the package stays quick."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def later(
    package: str, names: Mapping[str, str], subpackages: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``.

    Parameters
    ----------
    package
        Its name; what is listed of it beside what it holds is its ``__all__``.
    names
        By name, the module that has it.
    subpackages
        Those of its own that are attributes of it.
    """

    def find(name: str) -> Any:
        if name in subpackages:
            return importlib.import_module(f"{package}.{name}")
        if name in names:
            found = getattr(importlib.import_module(names[name]), name)
            setattr(sys.modules[package], name, found)
            return found
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        module = sys.modules[package]
        return sorted(vars(module).keys() | set(module.__all__))

    return find, listed
