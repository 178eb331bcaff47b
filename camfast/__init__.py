"""camfast: class activation maps at the speed of a prediction.

The names below are the public ones. Importing camfast compiles nothing, needs no GPU, and loads what explaining a
batch takes; everything else is loaded when it is first used.
"""

from typing import TYPE_CHECKING

import camfast._interrupt  # noqa: F401  (first, as what follows takes a second or two)
from camfast import ops
from camfast._later import later
from camfast._version import __version__
from camfast.cam import cam
from camfast.capture import Captured, capture
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
from camfast.provenance import provenance
from camfast.receptive_field import ReceptiveField, effective_receptive_field
from camfast.regions import Region, component, predicted
from camfast.scan import scan
from camfast.split import split
from camfast.targets import Unit

if TYPE_CHECKING:
    from camfast import live, metrics, models, plot, simulate
    from camfast.backprop.attentive import AttentiveResponse, attentive_response
    from camfast.backprop.guided_gradcam import guided_gradcam
    from camfast.backprop.saliency import deconvnet, guided_backprop, saliency
    from camfast.backprop.units import project
    from camfast.centres import receptive_field_centres
    from camfast.perturbation.occlusion import occlusion
    from camfast.perturbation.rise import rise
    from camfast.saving import load_maps, read_provenance, save_maps
    from camfast.sweep import LayerSweep, layer_sweep

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

_SUBPACKAGES = ("backprop", "live", "metrics", "models", "perturbation", "plot", "simulate")
# By name, the module that has it. A name that is also a module of camfast can't wait: the import of that module would
# put the module in the name's place.
_LATER = {
    "AttentiveResponse": "camfast.backprop",
    "LayerSweep": "camfast.sweep",
    "attentive_response": "camfast.backprop",
    "deconvnet": "camfast.backprop",
    "guided_backprop": "camfast.backprop",
    "guided_gradcam": "camfast.backprop",
    "layer_sweep": "camfast.sweep",
    "load_maps": "camfast.saving",
    "occlusion": "camfast.perturbation",
    "project": "camfast.backprop",
    "read_provenance": "camfast.saving",
    "receptive_field_centres": "camfast.centres",
    "rise": "camfast.perturbation",
    "saliency": "camfast.backprop",
    "save_maps": "camfast.saving",
}

__getattr__, __dir__ = later(__name__, _LATER, _SUBPACKAGES)
