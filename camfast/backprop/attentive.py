"""Attentive response maps: which of a layer's strongest units answers to each pixel, and how much."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import index
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from camfast import guards, layers, ops
from camfast.backprop.rules import Rule, check, obeyed
from camfast.backprop.run import Run, from_inputs
from camfast.backprop.units import pulled_back, rectified
from camfast.ops.forms import map_dtype
from camfast.recorder import CaptureOptions, Extract

Rank = Literal["max", "sum"]
Reduce = Literal["sum", "max", "abs"]


@dataclass(frozen=True)
class AttentiveResponse:
    """What the strongest units of a layer see, and the choices that it hangs on.

    Attributes
    ----------
    values : Tensor
        D, (N, *S_in): the largest response of any unit.
    unit : Tensor
        The unit (channel of the layer) that gave it, (N, *S_in), int32.
    units : Tensor
        The units projected back, strongest first, (N, units), int64.
    maps : Tensor or None
        Each unit's own response R, (N, units, *S_in), where asked for.
    layer, rule, rank, reduce : str
        The choices, which change a map a lot.
    """

    values: Tensor = field(repr=False)
    unit: Tensor = field(repr=False)
    units: Tensor
    maps: Tensor | None = field(repr=False)
    layer: str
    rule: Rule
    rank: Rank
    reduce: Reduce


def attentive_response(
    model: nn.Module,
    inputs: Any,
    layer: str | nn.Module,
    units: int = 25,
    *,
    rule: Rule = "deconvnet",
    rank: Rank = "max",
    reduce: Reduce = "sum",
    per_unit: bool = False,
    call: int = -1,
    layer_output: Extract | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
) -> AttentiveResponse:
    """Project a layer's strongest units back one by one, and keep the largest response at each pixel.

    ::

        z = relu(A), A the layer's output;  f_1 … f_n: the units with the largest max_p z_f(p)
        R(x|f) = Σ_c [z_f alone, projected back to the input][c, x]
        D(x) = max_f R(x|f),  and the f that gives it, at ties the one of the higher rank

    Units go back one after the other, which took no longer than several at once: memory doesn't grow with n, but for
    what is returned.

    Parameters
    ----------
    model, inputs
        See `camfast.saliency`.
    layer
        Dotted name or module.
    units
        n, how many units of each sample are projected back.
    rule
        ``"deconvnet"``: ReLUs rectify what comes back, whatever their input was; ``"linear"``: activation functions
        are left out, as the paper's equation is printed; ``"guided"`` and ``"saliency"`` as in `camfast.project`.
    rank
        What makes a unit strong: ``"max"`` or ``"sum"`` of z over positions; at ties the lower channel comes first.
    reduce
        What becomes of the input's channels c in R: ``"sum"``, ``"max"``, or ``"abs"``, Σ_c |·|.
    per_unit
        Return each unit's R too.
    call, layer_output, reshape
        See `camfast.Explainer`.

    Returns
    -------
    AttentiveResponse
        D and the unit behind it, (N, *S_in), float32 (float64 for float64), with the choices made.

    Raises
    ------
    CaptureError
        If the layer isn't reached, or no gradient can flow from it to the input.
    TypeError, ValueError
        If an argument doesn't fit, or the layer has fewer units; the message says how many.

    References
    ----------
    Kumar et al. 2018 (attentive response maps); Zeiler and Fergus 2014 for the rule.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    >>> camfast.attentive_response(model, torch.rand(2, 3, 8, 8), "1", units=2).values.shape
    torch.Size([2, 8, 8])
    """
    check(rule)
    for argument, found, known in (("rank", rank, get_args(Rank)), ("reduce", reduce, get_args(Reduce))):
        if found not in known:
            raise ValueError(f"{argument} must be one of {', '.join(known)}; found {found!r}")
    inner = layers.unwrap(model)
    name, _ = layers.find(inner, layer)
    guards.warn_of_training_mode(inner)
    with from_inputs(inner, inputs, (name,), CaptureOptions(call, layer_output=layer_output, reshape=reshape)) as run:
        A, z = rectified(run, name, reshape)
        strongest = _strongest(z, units, rank, name)
        samples, _, *size = _image_shape(run.source)
        dtype, device = map_dtype(run.source.dtype), run.source.device
        values = torch.full((samples, *size), -torch.inf, dtype=dtype, device=device)
        unit = torch.zeros((samples, *size), dtype=torch.int32, device=device)
        maps = torch.empty((samples, units, *size), dtype=dtype, device=device) if per_unit else None
        with obeyed([A], run.source, rule, wanted=False):
            for place, response in enumerate(_responses(run, A, z, strongest, reduce, name)):
                ops.running_max(values, unit, response, strongest[:, place], out=(values, unit))
                if maps is not None:
                    maps[:, place] = response
    return AttentiveResponse(values, unit, strongest, maps, name, rule, rank, reduce)


def _responses(run: Run, A: Tensor, z: Tensor, strongest: Tensor, reduce: Reduce, name: str) -> Iterator[Tensor]:
    """R (N, *S_in) of each rank's units, one after the other."""
    samples = torch.arange(len(z), device=z.device)
    start = torch.zeros_like(z)
    for channels in strongest.unbind(1):
        start[samples, channels] = z[samples, channels]
        projected = pulled_back(A, start, run.source, name)
        dtype = map_dtype(projected.dtype)
        if reduce == "max":
            response = projected.amax(1).to(dtype)
        else:
            response = (projected.abs() if reduce == "abs" else projected).sum(1, dtype=dtype)
        start[samples, channels] = 0  # not before: what was projected may be the start itself
        yield response


def _strongest(z: Tensor, units: int, rank: Rank, name: str) -> Tensor:
    """Each sample's strongest units, (N, units), strongest first."""
    try:
        if isinstance(units, bool):
            raise TypeError
        wanted = index(units)
    except TypeError:
        raise TypeError(f"units must be a whole number, how many are projected back; found {units!r}") from None
    count = z.shape[1]
    if not 1 <= wanted <= count:
        raise ValueError(f"units={wanted}: layer {name!r} has {count} units, ask for 1 to {count} of them")
    places = z.unsqueeze(2).flatten(2)  # a dense layer's units have one place each
    strength = places.amax(2) if rank == "max" else places.sum(2, dtype=map_dtype(z.dtype))
    return strength.sort(dim=1, descending=True, stable=True).indices[:, :wanted]


def _image_shape(source: Tensor) -> torch.Size:
    if source.ndim < 3:
        raise ValueError(f"inputs must be (N, C, *S_in) with a spatial axis, found the shape {tuple(source.shape)}")
    return source.shape
