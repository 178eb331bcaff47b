"""The web page: a server on this machine, its messages, and the page itself."""

from camfast.live.serving.access import OpenToAllWarning
from camfast.live.serving.server import PageServer

__all__ = ["OpenToAllWarning", "PageServer"]
