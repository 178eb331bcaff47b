"""Maps as a pure function of features, for training losses, compiled steps and transforms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camfast import ops
from camfast.gradients import CHUNK_BYTES
from camfast.ops.forms import FORMS, Centres, Gain, Upsample
from camfast.targets import Target, select


def head_map(
    head: Callable[[Tensor], Tensor],
    features: Tensor,
    target: Target = "predicted",
    method: str = "respond",
    *,
    relu: bool | None = None,
    size: Sequence[int] | None = None,
    upsample: Upsample | None = None,
    sigma: float | Sequence[float] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    backend: str | None = None,
) -> Tensor:
    """Map the features that made a head decide: `camfast.ops.fused_cam` of features A and G = ∂y/∂A, y = head(A).

    A pure function: no hook, no state. It can be differentiated again, with respect to the features and to the head's
    parameters, stands in losses that ``torch.compile(fullgraph=True)`` compiles, and under the transforms of
    `torch.func`. `camfast.split` makes a head of a model.

    Parameters
    ----------
    head
        A module or function of features that returns scores (N, C), or (N, C, *S) for regions.
    features
        A, (N, C, *S) with one to three spatial axes.
    target
        See `camfast.Explainer.__call__`; units of other layers aren't known here. A compiled step doesn't check that
        the classes of a tensor exist.
    method
        A name of `camfast.methods` that is made of activations and gradients.
    size
        See `camfast.ops.fused_cam`; None leaves the map on the features' grid.
    relu, upsample, sigma, gain, centres, backend
        See `camfast.ops.fused_cam`.

    Returns
    -------
    Tensor
        (N, *S), or (N, T, *S) for several targets; with ``size`` at that size. float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If the target doesn't fit the scores, or another argument doesn't fit; the message names it.

    Examples
    --------
    >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 3))
    >>> features = torch.ones(1, 2, 4, requires_grad=True)
    >>> camfast.head_map(head, features, target=1).abs().sum().backward()
    >>> features.grad.shape
    torch.Size([1, 2, 4])
    """
    if method not in FORMS:
        known = ", ".join(FORMS)
        raise ValueError(f"head_map makes maps of gradients: method must be one of {known}, found {method!r}")

    def explained(activations: Tensor) -> Tensor:
        selection = select(head(activations), target)
        return selection.values if selection.many else selection.values[:, 0]

    values, pull, *_ = torch.func.vjp(explained, features)
    if values.ndim == 1:
        (gradients,) = pull(torch.ones_like(values))
    else:
        targets = values.shape[1]
        one_hot = torch.eye(targets, dtype=values.dtype, device=values.device)
        cotangents = one_hot[:, None, :].expand(targets, *values.shape)
        chunk = max(1, min(targets, CHUNK_BYTES // max(1, features.numel() * features.element_size())))
        (gradients,) = torch.vmap(pull, chunk_size=chunk)(cotangents)
    return ops.fused_cam(
        features, gradients, method, relu=relu, size=size, upsample=upsample, sigma=sigma, gain=gain, centres=centres,
        backend=backend,
    )  # fmt: skip
