"""Single units of a layer, projected back to the input."""

from collections.abc import Callable
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from camfast import guards, layers
from camfast.backprop.rules import Rule, check, obeyed
from camfast.backprop.run import Run, from_inputs
from camfast.errors import CaptureError
from camfast.ops.forms import map_dtype
from camfast.recorder import CaptureOptions, Extract, plain


def project(
    model: nn.Module,
    inputs: Any,
    layer: str | nn.Module,
    unit: int | tuple[int, ...],
    rule: Rule = "deconvnet",
    *,
    call: int = -1,
    layer_output: Extract | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Project one feature map of a layer back to the input, all others set to 0.

    ::

        z = relu(A), A the layer's output;    start: z_k, or the one value z_k(p), and 0 elsewhere;
        then back through the layers, by the rule at every activation function

    Parameters
    ----------
    model, inputs
        See `camfast.saliency`.
    layer
        Dotted name or module.
    unit
        A channel k: its whole feature map; or (k, *position): a single unit of it.
    rule
        ``"deconvnet"``, ``"guided"``, ``"saliency"`` (the plain gradient), or ``"linear"``, which leaves out the
        activation functions; see `camfast.guided_backprop`.
    call, layer_output, reshape
        See `camfast.Explainer`.

    Returns
    -------
    Tensor
        Shaped like the input, (N, C, *S_in); float32 (float64 for float64).

    Raises
    ------
    CaptureError
        If the layer isn't reached, or no gradient can flow from it to the input.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
    >>> camfast.project(model, torch.ones(2, 1, 8, 8), "1", unit=3).shape
    torch.Size([2, 1, 8, 8])
    """
    check(rule)
    inner = layers.unwrap(model)
    name, _ = layers.find(inner, layer)
    guards.warn_of_training_mode(inner)
    with from_inputs(inner, inputs, (name,), CaptureOptions(call, layer_output=layer_output, reshape=reshape)) as run:
        A, z = rectified(run, name, reshape)
        place = _place(unit, name, z)
        start = torch.zeros_like(z)
        start[place] = z[place]
        with obeyed([A], run.source, rule, wanted=False):
            return pulled_back(A, start, run.source, name).to(map_dtype(run.source.dtype))


def rectified(run: Run, name: str, reshape: Callable[[Tensor], Tensor] | None) -> tuple[Tensor, Tensor]:
    """The layer's output A (N, K, *S) in its graph, and z = relu(A)."""
    A = run.activations[name]
    A = plain(A if reshape is None else reshape(A))
    if A.ndim < 2:
        raise ValueError(f"layer {name!r} returned the shape {tuple(A.shape)}, expected (N, K, *S): pass reshape=")
    return A, A.detach().relu()


def pulled_back(A: Tensor, start: Tensor, source: Tensor, name: str) -> Tensor:
    """Pull a start value back from a layer's output to the input; the graph is kept."""
    found = None
    if A.requires_grad:
        (found,) = torch.autograd.grad(A, source, start, retain_graph=True, allow_unused=True)
    if found is None:
        raise CaptureError(
            f"no gradient flows from layer {name!r} back to the input: what lies between runs in the model's own "
            "no_grad block, is detached, or is not differentiable"
        )
    return found


def _place(unit: int | tuple[int, ...], name: str, z: Tensor) -> tuple[Any, ...]:
    """A unit as an index of the layer's output, each axis checked."""
    axes = z.shape[1:]
    wanted = unit if isinstance(unit, tuple) else (unit,)
    try:
        if any(isinstance(axis, bool) for axis in wanted) or len(wanted) not in (1, len(axes)):
            raise TypeError
        place = tuple(index(axis) for axis in wanted)
    except TypeError:
        raise TypeError(
            f"unit must be a channel, or (channel, *position) of {len(axes)} numbers for layer {name!r}; found {unit!r}"
        ) from None
    if not all(0 <= where < extent for where, extent in zip(place, axes, strict=False)):
        raise ValueError(
            f"unit={unit} is out of range: layer {name!r} has {axes[0]} channels on a grid of {tuple(axes[1:])}"
        )
    return (slice(None), *place)
