"""Where overlays go besides the page, one module a kind."""

from camfast.live.sinks.calling import CallbackSink
from camfast.live.sinks.napari_window import NapariSink
from camfast.live.sinks.opening import SINKS, open_sink
from camfast.live.sinks.zarr_file import ZarrSink

__all__ = ["SINKS", "CallbackSink", "NapariSink", "ZarrSink", "open_sink"]
