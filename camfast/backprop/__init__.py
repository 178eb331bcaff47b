"""Maps in input space, from rules on the backward pass: of scores, and of single units of a layer."""

from camfast.backprop.attentive import AttentiveResponse, attentive_response
from camfast.backprop.guided_gradcam import guided_gradcam
from camfast.backprop.saliency import deconvnet, guided_backprop, saliency
from camfast.backprop.units import project

__all__ = [
    "AttentiveResponse",
    "attentive_response",
    "deconvnet",
    "guided_backprop",
    "guided_gradcam",
    "project",
    "saliency",
]
