"""Kernels as functions, for callers that already hold activations and gradients.

Every op takes ``out=`` (a tensor to write into) and ``backend=`` (``"cpu"``, ``"cuda"``, ``"triton"``, ``"torch"``, or
None for the best one that runs on the inputs' device).
"""

from camfast.ops.channel_weights import channel_weights
from camfast.ops.dispatch import backends
from camfast.ops.forms import FusedCam, RunningMax
from camfast.ops.fused_cam import allocate, fused_cam, fused_cam_parts
from camfast.ops.gaussian_upsample import gaussian_upsample
from camfast.ops.linear_upsample import linear_upsample
from camfast.ops.overlay import overlay
from camfast.ops.product_sum import product_sum
from camfast.ops.running_max import running_max
from camfast.ops.weighted_sum import weighted_sum
from camfast.ops.window_sum import window_sum

__all__ = [
    "FusedCam",
    "RunningMax",
    "allocate",
    "backends",
    "channel_weights",
    "fused_cam",
    "fused_cam_parts",
    "gaussian_upsample",
    "linear_upsample",
    "overlay",
    "product_sum",
    "running_max",
    "weighted_sum",
    "window_sum",
]
