"""camfast: class activation maps at the speed of a prediction."""

from camfast import ops
from camfast._version import __version__
from camfast.errors import BackendError, CamfastError, CaptureError, InputError, MissingExtraError
from camfast.ops import backends

__all__ = [
    "BackendError",
    "CamfastError",
    "CaptureError",
    "InputError",
    "MissingExtraError",
    "__version__",
    "backends",
    "ops",
]
