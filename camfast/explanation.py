"""What an explanation holds, and how it is put together from the parts that the kernels give."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from camfast.errors import IllConditionedWarning
from camfast.guards import level_of_caller
from camfast.ops import FusedCam
from camfast.targets import Selection


@dataclass(frozen=True)
class Explanation:
    """Maps of one or several targets for a batch, with what went into them.

    For an `Explainer` of several layers each field marked * is a dict by layer name.

    Attributes
    ----------
    maps : Tensor *
        (N, *S_in), or (N, T, *S_in) for several targets; one tensor where layers are fused.
    grid : Tensor *
        The maps on the layer's grid, (N, *S_grid) or (N, T, *S_grid).
    scores : Tensor
        The model's output, detached.
    targets : Any
        What was explained: classes (N,) or (N, T), regions, units, or the caller's function.
    weights : Tensor or None *
        Channel weights (N, C) or (N, T, C), for ``eigengradcam`` those of G ⊙ A; None for methods without.
    residual : Tensor *
        y − ΣL for each map, (N,) or (N, T), with the grid L as it stands in ``grid`` and y the score, the region's sum
        or the unit that was explained.
    empty : Tensor *
        Maps that are 0 everywhere, bool (N,) or (N, T).
    ill_conditioned : Tensor *
        Samples (N,) whose channel weights divide by a small difference of large numbers; on a CPU there is a warning
        as well.
    """

    maps: Any
    grid: Any
    scores: Tensor
    targets: Any
    weights: Any
    residual: Any
    empty: Any
    ill_conditioned: Any

    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={_shapes(getattr(self, field.name))}" for field in fields(self))
        return f"Explanation({shown})"


def _shapes(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shapes(item)}" for key, item in value.items()) + "}"
    return repr(value)


def assemble(
    parts: Mapping[str, FusedCam], scores: Tensor, selection: Selection, *, fuse: str | None, single: bool
) -> Explanation:
    """Put the parts of each layer together, and warn where a map can't be trusted.

    Parameters
    ----------
    parts
        What the kernels gave for each layer.
    scores, selection
        The model's output, and what was chosen from it.
    fuse
        How the layers' maps become one: ``"mean"``, ``"max"``, or None to keep them apart.
    single
        Whether the caller named one layer, and gets tensors rather than dicts.
    """
    values = (selection.values if selection.many else selection.values[:, 0]).detach()
    found: dict[str, dict[str, Any]] = {key: {} for key in ("maps", "grid", "weights", "residual", "empty", "ill")}
    for name, part in parts.items():
        lead = values.ndim
        flags = part.ill_conditioned
        found["maps"][name], found["grid"][name], found["weights"][name] = part.maps, part.grid, part.weights
        flat = part.grid.flatten(lead)
        found["residual"][name] = (values - flat.sum(-1, dtype=torch.float64)).to(flat.dtype)
        found["empty"][name] = torch.linalg.vector_norm(flat, torch.inf, -1) == 0  # NaN isn't
        found["ill"][name] = _per_sample(flags, values)
        # a GPU isn't waited for: there the field says it
        if flags is not None and flags.device.type == "cpu" and bool(flags.any()):
            warnings.warn(
                f"layer {name!r}: in {int(found['ill'][name].sum())} of {len(values)} samples channel weights divide "
                "by a small difference of large activations, and the maps may be noise blown up; explain the output "
                "of the ReLU behind the layer, or use hirescam or gradcam",
                IllConditionedWarning,
                stacklevel=level_of_caller(),
            )
    chosen = {key: next(iter(by_layer.values())) if single else by_layer for key, by_layer in found.items()}
    if fuse is not None:
        stacked = torch.stack(list(found["maps"].values()))
        chosen["maps"] = stacked.mean(0) if fuse == "mean" else stacked.amax(0)
    return Explanation(
        maps=chosen["maps"],
        grid=chosen["grid"],
        scores=scores.detach(),
        targets=selection.targets,
        weights=chosen["weights"],
        residual=chosen["residual"],
        empty=chosen["empty"],
        ill_conditioned=chosen["ill"],
    )


def _per_sample(flags: Tensor | None, values: Tensor) -> Tensor:
    if flags is None:
        return torch.zeros(len(values), dtype=torch.bool, device=values.device)
    return flags.any(1) if flags.ndim == 2 else flags
