"""camfast: class activation maps at the speed of a prediction."""

from camfast._version import __version__

__all__ = ["__version__"]
