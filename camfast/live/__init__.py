"""An overlay while frames arrive: the pipeline, sources of frames, a web page, and what else takes what is shown.

Source → newest frame → `Overlay` → sinks; a `Session` holds it together.
"""

from camfast.live.frames import BrokenFrameError, Frame, Source, SourceEndedError, SourceError
from camfast.live.looks import Looks
from camfast.live.pipeline.overlay import Overlay
from camfast.live.pipeline.picture import Picture
from camfast.live.session import Session
from camfast.live.settings import Choices, Settings
from camfast.live.shown import Control, Shown, Sink
from camfast.live.sinks import open_sink
from camfast.live.sources import open_source

__all__ = [
    "BrokenFrameError",
    "Choices",
    "Control",
    "Frame",
    "Looks",
    "Overlay",
    "Picture",
    "Session",
    "Settings",
    "Shown",
    "Sink",
    "Source",
    "SourceEndedError",
    "SourceError",
    "open_sink",
    "open_source",
]
