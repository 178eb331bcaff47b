"""camfast: class activation maps at the speed of a prediction.

The names below are the public ones. ``metrics``, ``models``, ``simulate`` and ``plot`` are loaded when they are
first used; importing camfast compiles nothing and needs no GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

import camfast._interrupt  # noqa: F401  (first, as what follows takes a second or two)
from camfast import ops
from camfast._version import __version__
from camfast.capture import Captured, capture
from camfast.centres import receptive_field_centres
from camfast.engine import Explainer, cam
from camfast.errors import (
    BackendError,
    CamfastError,
    CaptureError,
    IllConditionedWarning,
    InputError,
    MissingExtraError,
    TrainingModeWarning,
)
from camfast.explanation import Explanation
from camfast.methods import methods
from camfast.ops import backends
from camfast.provenance import provenance
from camfast.receptive_field import ReceptiveField, effective_receptive_field
from camfast.regions import Region, component, predicted
from camfast.saving import load_maps, read_provenance, save_maps
from camfast.scan import scan

if TYPE_CHECKING:
    from camfast import metrics, models, plot, simulate

__all__ = [
    "BackendError",
    "CamfastError",
    "CaptureError",
    "Captured",
    "Explainer",
    "Explanation",
    "IllConditionedWarning",
    "InputError",
    "MissingExtraError",
    "ReceptiveField",
    "Region",
    "TrainingModeWarning",
    "__version__",
    "backends",
    "cam",
    "capture",
    "component",
    "effective_receptive_field",
    "load_maps",
    "methods",
    "metrics",
    "models",
    "ops",
    "plot",
    "predicted",
    "provenance",
    "read_provenance",
    "save_maps",
    "receptive_field_centres",
    "scan",
    "simulate",
]

_SUBPACKAGES = ("metrics", "models", "plot", "simulate")


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"camfast.{name}")
    raise AttributeError(f"module 'camfast' has no attribute {name!r}")
