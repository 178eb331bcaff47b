"""One target explained at many layers, which shows from which depth on a grid is too small for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from camfast import layers as names
from camfast.capture import spatial_size
from camfast.depths import depths
from camfast.engine import Explainer, Layer
from camfast.errors import CamfastError
from camfast.inputs import tensors
from camfast.regions import Region
from camfast.targets import Target


@dataclass(frozen=True)
class SweptLayer:
    """What the maps L of one layer are like; tensors hold a number for each sample, (N,).

    Attributes
    ----------
    name : str
        Dotted name.
    grid : tuple of int
        Cells along each spatial axis.
    pixels : tuple of float
        Input pixels a cell, along each axis.
    maps : Tensor
        L, (N, *grid), after the method's own ReLU.
    total : Tensor
        Σ|L|.
    empty : Tensor
        Whether L is 0 everywhere, bool.
    residual : Tensor
        y − ΣL.
    cells : Tensor or None
        For a region of an output with the layer's number of axes: how many cells its area comes to, |M| / (positions of
        the output a cell). Below 1 the layer can't show it apart from what surrounds it.
    inside : Tensor or None
        For such a region: Σ_p |L_p| m_p / Σ|L|, with m_p the part of cell p that the region covers where cells tile the
        output; NaN for an empty map. It describes where a map lies, and is no measure of how true it is.
    """

    name: str
    grid: tuple[int, ...]
    pixels: tuple[float, ...]
    maps: Tensor
    total: Tensor
    empty: Tensor
    residual: Tensor
    cells: Tensor | None
    inside: Tensor | None

    @property
    def useful(self) -> bool:
        """Whether no sample's map is empty, and no sample's region is smaller than a cell."""
        return not bool(self.empty.any()) and (self.cells is None or bool((self.cells >= 1).all()))


@dataclass(frozen=True)
class LayerSweep:
    """Maps of one target at many layers; printed, a table of means over the samples.

    Attributes
    ----------
    layers : tuple of SweptLayer
        As they were named, or as they run.
    failures : dict of str to str
        The layers that can't be explained, and why.
    method : str
        The method.
    scores : Tensor
        The model's output, detached.
    targets : Any
        What was explained, as in `camfast.Explanation`.
    """

    layers: tuple[SweptLayer, ...]
    failures: Mapping[str, str]
    method: str
    scores: Tensor
    targets: Any

    @property
    def first_empty(self) -> str | None:
        """The first layer at which the map of some sample is 0 everywhere; None if there is none."""
        return next((layer.name for layer in self.layers if bool(layer.empty.any())), None)

    @property
    def too_small(self) -> tuple[str, ...]:
        """The layers of which a single cell is larger than the region of some sample."""
        found = (layer for layer in self.layers if layer.cells is not None and bool((layer.cells < 1).any()))
        return tuple(layer.name for layer in found)

    @property
    def deepest_useful(self) -> str | None:
        """The last layer, as they run, that is `SweptLayer.useful`; None if none is.

        Of a network that makes its grid finer again, such as a U-Net, that layer is behind those that are too small.
        """
        return next((layer.name for layer in reversed(self.layers) if layer.useful), None)

    def __getitem__(self, name: str) -> SweptLayer:
        """The layer of a name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        why = self.failures.get(name, f"the sweep has {', '.join(layer.name for layer in self.layers)}")
        raise KeyError(f"no map of layer {name!r}: {why}")

    def __str__(self) -> str:
        region = any(layer.cells is not None for layer in self.layers)
        rows = [["layer", "grid", "pixels a cell", "Σ|L|", "empty", "y − ΣL"] + ["cells", "inside"] * region]
        for layer in self.layers:
            rows.append(
                [layer.name, " × ".join(map(str, layer.grid)), " × ".join(f"{pixels:.3g}" for pixels in layer.pixels)]
                + [_mean(layer.total), f"{_mean(layer.empty.float() * 100)} %", _mean(layer.residual)]
                + ["" if found is None else _mean(found) for found in (layer.cells, layer.inside)] * region
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(lines + [f"{name}: {why}" for name, why in self.failures.items()])


def layer_sweep(
    model: nn.Module,
    inputs: Any,
    layers: Sequence[Layer] | None = None,
    target: Target = "predicted",
    *,
    method: str = "gradcam",
    relu: bool | None = None,
    backend: str | None = None,
    **capture_options: Any,
) -> LayerSweep:
    """Explain one target at many layers, from one forward and one backward pass.

    Deep layers have few cells: a region that is smaller than one of them, or whose evidence a ReLU on the map cuts
    away, has no map there, or one that says nothing of it. For each layer, with L its map on the grid and y the score,
    the sweep gives Σ|L|, whether L is empty, y − ΣL, and for a `camfast.Region` how many cells it covers and the share
    of Σ|L| inside of it.

    Parameters
    ----------
    model
        A trained module, left as it was.
    inputs
        What the model takes: a tensor (N, C, *S_in), a tuple of positional or a dict of keyword arguments.
    layers
        Dotted names or modules. None: every depth of the model, found by one more forward pass without a graph.
        A depth is the output (N, C, *S), more than one cell, of a block, which is a module that isn't an
        ``nn.Sequential`` and holds fewer than three sizes of grid, or of a layer outside of blocks; what follows a
        layer or block without a kernel of its own and without a change of shape (normalisation, activation, dropout)
        stands in for it. The output of the model itself is left out.
    target
        One target a sample, as in `camfast.Explainer`.
    method, relu, backend
        See `camfast.Explainer`.
    capture_options
        ``call``, ``output``, ``layer_output``, ``reshape`` of `camfast.Explainer`.

    Returns
    -------
    LayerSweep
        The layers' maps and what they are like; `LayerSweep.first_empty` and `LayerSweep.deepest_useful` sum it up.
        A layer that can't be explained stands in `LayerSweep.failures`; the others are then explained one by one.

    Raises
    ------
    CaptureError
        If no layer can be explained.
    TypeError, ValueError
        If the model has no such layer, or an argument doesn't fit.

    Examples
    --------
    >>> from torch.nn import Conv2d, MaxPool2d, ReLU, Sequential
    >>> steps = [Conv2d(1, 4, 3, padding=1), ReLU(), MaxPool2d(4), Conv2d(4, 4, 3, padding=1), ReLU(), MaxPool2d(4)]
    >>> model = Sequential(*steps, torch.nn.Upsample(scale_factor=16), Conv2d(4, 2, 1))
    >>> point = camfast.Region(1, (9, 9))
    >>> sweep = camfast.layer_sweep(model, torch.rand(1, 1, 64, 64), target=point, method="hirescam", relu=False)
    >>> [(layer.name, layer.grid, float(layer.cells)) for layer in sweep.layers[:3]]
    [('1', (64, 64), 1.0), ('2', (16, 16), 0.0625), ('4', (16, 16), 0.0625)]
    >>> sweep.deepest_useful
    '6'
    """
    inner = names.unwrap(model)
    size = spatial_size(inputs)
    if size is None:
        shapes = [tuple(tensor.shape) for tensor in tensors(inputs)] or type(inputs).__name__
        raise TypeError(f"inputs must hold a tensor (N, C, *S_in), with one to three spatial axes, found {shapes}")
    if layers is None:
        chosen = depths(inner, inputs, len(size), capture_options.get("output"))
        if not chosen:
            raise ValueError(
                f"no layer of the model gives a grid of {len(size)} spatial axes and more than one cell: name layers="
            )
    elif isinstance(layers, str | nn.Module):
        raise TypeError("layers must be a list of names or modules, found one: camfast.cam explains a single layer")
    elif not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of names or modules, found {layers!r}: a target goes by target=")
    else:
        chosen = [names.find(inner, layer)[0] for layer in layers]
    options = {"relu": relu, "backend": backend, "size": "grid", **capture_options}

    def explain(some: Sequence[str]) -> Any:
        return Explainer(inner, some, method, **options)(inputs, target)

    found, failures = {}, {}
    try:
        found = dict.fromkeys(chosen, explain(chosen))
    except (CamfastError, ValueError) as error:
        for name in chosen:
            try:
                found[name] = explain([name])
            except (CamfastError, ValueError) as own:
                failures[name] = str(own)
        if not found:
            raise error from None
    whole = next(iter(found.values()))
    if whole.empty[next(iter(found))].ndim > 1:
        raise ValueError("a sweep explains one target a sample: sweep several targets one by one")
    mask = target.mask(whole.scores) if isinstance(target, Region) else None
    swept = tuple(_swept(name, result, size, mask) for name, result in found.items())
    return LayerSweep(swept, failures, method, whole.scores, whole.targets)


def _swept(name: str, result: Any, size: Sequence[int], mask: Tensor | None) -> SweptLayer:
    maps = result.grid[name].detach()
    grid = tuple(maps.shape[1:])
    total = maps.abs().flatten(1).sum(1)
    cells = inside = None
    if mask is not None and mask.ndim == maps.ndim:  # else the model adds or drops an axis on the way
        cells = mask.flatten(1).sum(1) * (prod(grid) / prod(mask.shape[1:]))
        inside = (maps.abs() * _covered(mask, grid).to(maps.dtype)).flatten(1).sum(1) / total
    pixels = tuple(extent / count for extent, count in zip(size, grid, strict=True)) if len(size) == len(grid) else ()
    return SweptLayer(name, grid, pixels, maps, total, result.empty[name], result.residual[name], cells, inside)


def _covered(mask: Tensor, grid: Sequence[int]) -> Tensor:
    """The part of each cell that a mask (N, *S) covers, (N, *grid), where the cells tile the mask."""
    part = mask.float()
    for cells in grid:
        extent = part.shape[1]
        places = torch.arange(extent, device=mask.device, dtype=torch.float64)[:, None]
        edges = torch.arange(cells + 1, device=mask.device, dtype=torch.float64) * (extent / cells)
        overlap = torch.minimum(edges[1:], places + 1) - torch.maximum(edges[:-1], places)
        share = (overlap.clamp(min=0) * (cells / extent)).float()
        part = torch.tensordot(part, share, dims=([1], [0]))  # the axis that is done goes to the end
    return part


def _mean(values: Tensor) -> str:
    return f"{float(values.double().nanmean()):.4g}"
