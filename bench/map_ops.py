"""Cases of the ops that make maps of activations and gradients."""

from typing import cast

import torch
from torch import Tensor

from bench.case import SIGMA, Case, Spec, make_case
from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS, Rectify, map_dtype, split_centres


def channel_weights(spec: Spec, device: str) -> Case:
    A, G = _activations(spec, device), _gradients(spec, device)
    out = torch.empty(spec.size[:2], dtype=map_dtype(A.dtype), device=device)
    return make_case(
        spec,
        lambda backend: ops.channel_weights(A, G, spec.variant, out=out, backend=backend),
        lambda a, g: reference.channel_weights(a, g, spec.variant),
        (A, G),
        out,
        reads=(G,) if spec.variant == "gradcam" else (A, G),
    )


def weighted_sum(spec: Spec, device: str) -> Case:
    A = _activations(spec, device)
    w = torch.randn(spec.size[:2], dtype=map_dtype(A.dtype), device=device)
    out = _map(spec, A)
    return make_case(
        spec,
        lambda backend: ops.weighted_sum(A, w, out=out, backend=backend),
        reference.weighted_sum,
        (A, w),
        out,
    )


def product_sum(spec: Spec, device: str) -> Case:
    A, G = _activations(spec, device), _gradients(spec, device)
    out = _map(spec, A)
    rectify = cast(Rectify, spec.variant)
    return make_case(
        spec,
        lambda backend: ops.product_sum(A, G, rectify=rectify, out=out, backend=backend),
        lambda a, g: reference.product_sum(a, g, rectify),
        (A, G),
        out,
    )


def fused_cam(spec: Spec, device: str) -> Case:
    """The formula gives the map alone, and is spared the conditioning that camfast reports with it.

    Where there is a size to go ``to``, the Gaussian upsampling is part of both.
    """
    A, G = _activations(spec, device), _gradients(spec, device)
    method, form = spec.variant, FORMS[spec.variant]
    size = spec.to
    out = _map(spec, A) if size is None else A.new_empty((spec.size[0], *size), dtype=map_dtype(A.dtype))

    def formula(a: Tensor, g: Tensor) -> Tensor:
        if form.rectify is not None:
            grid = reference.product_sum(a, g, form.rectify, form.relu)
        else:
            grid = reference.weighted_sum(a, reference.channel_weights(a, g, method), form.relu)
        if size is None:
            return grid
        starts, steps = split_centres(None, spec.size[2:], size)
        return reference.gaussian_upsample(grid, size, [SIGMA] * len(size), "spray", starts, steps)

    options = {} if size is None else {"size": size, "upsample": "gaussian", "sigma": SIGMA}
    return make_case(
        spec,
        lambda backend: ops.fused_cam(A, G, method, out=out, backend=backend, **options),  # type: ignore[arg-type]
        formula,
        (A, G),
        out,
    )


def _activations(spec: Spec, device: str) -> Tensor:
    """As behind a ReLU, with no channel that is 0 everywhere."""
    return torch.randn(spec.size, dtype=getattr(torch, spec.dtype), device=device).add_(0.5).relu_()


def _gradients(spec: Spec, device: str) -> Tensor:
    return torch.randn(spec.size, dtype=getattr(torch, spec.dtype), device=device)


def _map(spec: Spec, activations: Tensor) -> Tensor:
    shape = (spec.size[0], *spec.size[2:])
    return torch.empty(shape, dtype=map_dtype(activations.dtype), device=activations.device)
