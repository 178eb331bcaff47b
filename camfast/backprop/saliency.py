"""Maps in input space from the gradient of a score: plain, guided, and by deconvolution."""

from typing import Any

import torch
from torch import Tensor, nn

from camfast import guards, layers
from camfast.backprop.rules import Rule, obeyed
from camfast.backprop.run import from_inputs
from camfast.errors import CaptureError
from camfast.gradients import target_gradients
from camfast.ops.forms import map_dtype
from camfast.recorder import CaptureOptions, Extract, find_tensor, plain
from camfast.targets import Target, named_units, select

_NO_GRADIENT = (
    "no gradient flows from the scores back to the input: what lies between runs in the model's own no_grad or "
    "inference_mode block, is detached, or is not differentiable"
)


def saliency(model: nn.Module, inputs: Any, target: Target = "predicted", *, output: Extract | None = None) -> Tensor:
    """Differentiate a score with respect to the input: how much each pixel would change it.

    ::

        M[n, c, p] = ∂y[n] / ∂x[n, c, p]        signed; |M|.amax(1) is the map of the paper

    Parameters
    ----------
    model
        A trained module, left as it was; in DataParallel or ``torch.compile`` the module inside is explained.
    inputs
        What the model takes: a tensor (N, C, *S_in), a tuple of positional or a dict of keyword arguments, of which the
        first floating-point tensor is explained.
    target
        Any target of `Explainer.__call__`.
    output
        Function that finds the scores in what the model returns.

    Returns
    -------
    Tensor
        (N, C, *S_in), shaped like the input, or (N, T, C, *S_in) for several targets; float32 (float64 for float64).

    Raises
    ------
    CaptureError
        If no gradient can flow from the scores to the input.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Simonyan et al. 2013, Deep inside convolutional networks.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> camfast.saliency(model, torch.ones(4, 1, 8), target=3).shape
    torch.Size([4, 1, 8])
    """
    guards.warn_of_training_mode(layers.unwrap(model))
    return input_map(model, inputs, target, output, "saliency")


def guided_backprop(
    model: nn.Module, inputs: Any, target: Target = "predicted", *, output: Extract | None = None
) -> Tensor:
    """Go back from a score to the input, past ReLUs only where both their input and the gradient are positive.

    ::

        at every ReLU with input x and incoming gradient g:        g · 1[x > 0] · 1[g > 0]

    Convolutions go back through their transposes, max-pooling through its switches, batch norm through its scale;
    biases play no part. ``nn.ReLU``, ``F.relu``, ``torch.relu``, ``Tensor.relu``, ``clamp(min=0)``, ``maximum(x, 0)``,
    ``threshold(0, 0)`` and their in-place forms are all ReLUs. At LeakyReLU, PReLU, RReLU, ELU, SELU, CELU, ReLU6,
    Softplus, SiLU, GELU, Hardswish and Mish the principle is camfast's own: the gradient is gated by its sign, and
    the function keeps its derivative. An activation inside of a custom ``torch.autograd.Function`` can't be seen.

    Parameters
    ----------
    model, inputs, target, output
        See `saliency`.

    Returns
    -------
    Tensor
        (N, C, *S_in), shaped like the input, or (N, T, C, *S_in) for several targets; float32 (float64 for float64).

    Raises
    ------
    CaptureError
        If no gradient can flow from the scores to the input.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Warns
    -----
    ActivationRuleWarning
        Once, where other activations than ReLU are met, or none; the message says which.

    References
    ----------
    Springenberg et al. 2014, Striving for simplicity.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> camfast.guided_backprop(model, torch.ones(4, 1, 8), target="all").shape
    torch.Size([4, 12, 1, 8])
    """
    guards.warn_of_training_mode(layers.unwrap(model))
    return input_map(model, inputs, target, output, "guided")


def deconvnet(model: nn.Module, inputs: Any, target: Target = "predicted", *, output: Extract | None = None) -> Tensor:
    """Go back from a score to the input as a deconvolutional network does: ReLUs rectify what comes back.

    ::

        at every ReLU with incoming gradient g:        relu(g), whatever its input was

    What counts as a ReLU, and how other layers go back, is said at `guided_backprop`; other activations are given the
    derivative 1 here.

    Parameters
    ----------
    model, inputs, target, output
        See `saliency`.

    Returns
    -------
    Tensor
        (N, C, *S_in), shaped like the input, or (N, T, C, *S_in) for several targets; float32 (float64 for float64).

    Raises
    ------
    CaptureError
        If no gradient can flow from the scores to the input.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Warns
    -----
    ActivationRuleWarning
        Once, where other activations than ReLU are met, or none; the message says which.

    References
    ----------
    Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> camfast.deconvnet(model, torch.ones(4, 1, 8), target=[0, 5]).shape
    torch.Size([4, 2, 1, 8])
    """
    guards.warn_of_training_mode(layers.unwrap(model))
    return input_map(model, inputs, target, output, "deconvnet")


def input_map(
    model: nn.Module,
    inputs: Any,
    target: Target,
    output: Extract | None,
    rule: Rule,
    layer_output: Extract | None = None,
) -> Tensor:
    """Go back from the target's scalars to the input, by a rule."""
    inner = layers.unwrap(model)
    named, units = named_units(inner, target)
    with from_inputs(inner, inputs, units, CaptureOptions(layer_output=layer_output)) as run:
        scores = plain(find_tensor(run.result, output, "the model", "output"))
        if not scores.requires_grad:
            raise CaptureError(_NO_GRADIENT)
        selection = select(scores, named, run.activations)
        source = run.source
        shape = (len(source), selection.values.shape[1], *source.shape[1:])
        maps = torch.empty(shape, dtype=map_dtype(source.dtype), device=source.device)
        with obeyed([scores, *run.activations.values()], source, rule):
            for part, (gradients,) in target_gradients(selection.values, [source], unused=_NO_GRADIENT):
                maps[:, part] = gradients.detach().transpose(0, 1)
    return maps if selection.many else maps[:, 0]
