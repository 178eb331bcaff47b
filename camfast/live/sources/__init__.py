"""Where frames come from, one module a kind."""

from camfast.live.sources.film import FilmSource
from camfast.live.sources.folder import FolderSource
from camfast.live.sources.iterated import IteratedSource
from camfast.live.sources.micromanager import MicroManagerSource
from camfast.live.sources.opening import SOURCES, open_source
from camfast.live.sources.simulated import SimulatedSource
from camfast.live.sources.zeromq import ZeroMQSource, send_frame

__all__ = [
    "SOURCES",
    "FilmSource",
    "FolderSource",
    "IteratedSource",
    "MicroManagerSource",
    "SimulatedSource",
    "ZeroMQSource",
    "open_source",
    "send_frame",
]
