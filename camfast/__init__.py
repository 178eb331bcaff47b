"""camfast: class activation maps at the speed of a prediction.

The names below are the public ones. ``live``, ``metrics``, ``models``, ``simulate`` and ``plot`` are loaded when
they are first used; importing camfast compiles nothing and needs no GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

import camfast._interrupt  # noqa: F401  (first, as what follows takes a second or two)
from camfast import ops
from camfast._version import __version__
from camfast.backprop import (
    AttentiveResponse,
    attentive_response,
    deconvnet,
    guided_backprop,
    guided_gradcam,
    project,
    saliency,
)
from camfast.cam import cam
from camfast.capture import Captured, capture
from camfast.centres import receptive_field_centres
from camfast.engine import Explainer
from camfast.errors import (
    ActivationRuleWarning,
    BackendError,
    CamfastError,
    CaptureError,
    IllConditionedWarning,
    InputError,
    MissingExtraError,
    SplitError,
    TrainingModeWarning,
)
from camfast.explanation import Explanation
from camfast.export import export
from camfast.frozen import Frozen
from camfast.head_map import head_map
from camfast.methods import methods
from camfast.ops import backends
from camfast.perturbation import occlusion, rise
from camfast.provenance import provenance
from camfast.receptive_field import ReceptiveField, effective_receptive_field
from camfast.regions import Region, component, predicted
from camfast.saving import load_maps, read_provenance, save_maps
from camfast.scan import scan
from camfast.split import split
from camfast.sweep import LayerSweep, layer_sweep
from camfast.targets import Unit

if TYPE_CHECKING:
    from camfast import live, metrics, models, plot, simulate

__all__ = [
    "ActivationRuleWarning",
    "AttentiveResponse",
    "BackendError",
    "CamfastError",
    "CaptureError",
    "Captured",
    "Explainer",
    "Explanation",
    "Frozen",
    "IllConditionedWarning",
    "InputError",
    "LayerSweep",
    "MissingExtraError",
    "ReceptiveField",
    "Region",
    "SplitError",
    "TrainingModeWarning",
    "Unit",
    "__version__",
    "attentive_response",
    "backends",
    "cam",
    "capture",
    "component",
    "deconvnet",
    "effective_receptive_field",
    "export",
    "guided_backprop",
    "guided_gradcam",
    "head_map",
    "layer_sweep",
    "live",
    "load_maps",
    "methods",
    "metrics",
    "models",
    "occlusion",
    "ops",
    "plot",
    "predicted",
    "project",
    "provenance",
    "read_provenance",
    "receptive_field_centres",
    "rise",
    "saliency",
    "save_maps",
    "scan",
    "simulate",
    "split",
]

_SUBPACKAGES = ("live", "metrics", "models", "plot", "simulate")


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"camfast.{name}")
    raise AttributeError(f"module 'camfast' has no attribute {name!r}")
