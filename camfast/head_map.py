"""Maps as a pure function of features, for training losses, compiled steps and transforms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camfast import ops
from camfast.errors import CaptureError
from camfast.gradients import CHUNK_BYTES
from camfast.ops.forms import FORMS, Centres, Gain, Upsample
from camfast.targets import Target, select

_CHECKPOINTS = (
    "the head has a checkpoint, or other hooks on what autograd saves, which torch.func can't go through: switch "
    "checkpointing off for the map, or use camfast.cam"
)
_CHANGES_BUFFERS = (
    "the head changes its buffers, as batch norm does in training mode, and a pure function can't: call head.eval(), "
    "or wrap it in torch.func.functional_call with copies of its buffers"
)


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
    CaptureError
        If the head changes its buffers, as batch norm does in training mode, or has a checkpoint.
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

    values, pull = _pulled(explained, features)
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


def _pulled(explained: Callable[[Tensor], Tensor], features: Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor]]]:
    """What is explained, and what pulls gradients back to the features; a head may begin by writing into them."""

    def on_a_copy(activations: Tensor) -> Tensor:
        return explained(activations.clone())

    if torch.compiler.is_compiling():  # which leaves out a copy that isn't needed
        values, pull, *_ = torch.func.vjp(on_a_copy, features)
        return values, pull
    try:
        try:
            values, pull, *_ = torch.func.vjp(explained, features)
        except RuntimeError as error:
            if "leaf Variable that requires grad" not in str(error):
                raise
            values, pull, *_ = torch.func.vjp(on_a_copy, features)
    except RuntimeError as error:
        if "saved tensor hooks" in str(error):
            raise CaptureError(_CHECKPOINTS) from error
        if "would mutate a captured Tensor" in str(error):
            raise CaptureError(_CHANGES_BUFFERS) from error
        raise
    return values, pull
