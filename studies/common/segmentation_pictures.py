"""Pictures of the study of segmentation: methods × depths, and regions × the two methods."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from camfast import plot
from studies.common.segments import GRAD, HIRES, REGIONS, Case, Key, explain

SHOWN = (GRAD, "respond", HIRES, "layercam", "extended")
SMALLER = 0.65
"""Of a figure's own size, as many panels of noise make a large file."""
OUTLINE = "#00d0ff"


def draw(case: Case, sample: int, layers: Sequence[str]) -> tuple[Any, Any]:
    """Figures of one sample: methods × depths for the component, and regions × the two methods at some layers.

    Of volumes the plane through the point is shown; the region's outline is drawn over its maps.

    Raises
    ------
    ValueError
        If the class isn't predicted in that sample.
    """
    maps: dict[Key, Tensor] = {}
    masks: dict[str, NDArray[Any]] = {}
    sizes: dict[str, str] = {}
    for region, heats in explain(case, sample):
        for heat in heats:
            maps[heat.key] = heat.parts.maps[0]
            sizes[heat.layer] = "×".join(str(extent) for extent in heat.parts.grid.shape[1:])
        masks[heats[0].region] = region.where[0].numpy()
    if not masks:
        raise ValueError(f"{case.name}, sample {sample}: the class isn't predicted there, choose another sample")
    plane = (int(np.argwhere(masks["point"])[0][0]), ...) if case.inputs.ndim == 5 else ...
    image = case.inputs[sample, 0][plane]
    columns = [f"{layer}\n{sizes[layer]}" for layer in case.layers]
    deep = [[maps[layer, "component", method][plane] for layer in case.layers] for method in SHOWN]
    methods = plot.grid(
        image, deep, rows=SHOWN, columns=columns, title=f"{case.name}: one component, by method and depth"
    )
    _annotate(methods, [masks["component"][plane]] * len(SHOWN), deep)
    pairs = [(layer, method) for layer in layers for method in (GRAD, HIRES)]
    wide = [[maps[layer, region, method][plane] for layer, method in pairs] for region in REGIONS]
    columns = [f"{method}\n{layer}" for layer, method in pairs]
    regions = plot.grid(
        image, wide, rows=REGIONS, columns=columns, title=f"{case.name}: what is asked for, and what is shown"
    )
    _annotate(regions, [masks[region][plane] for region in REGIONS], wide)
    return methods, regions


def _annotate(figure: Any, masks: Sequence[NDArray[Any]], maps: Sequence[Sequence[Tensor]]) -> None:
    """Draw a mask's outline over every panel of its row, a cross for a point; say where a map shows nothing."""
    figure.set_size_inches(SMALLER * figure.get_size_inches())
    panels = iter(figure.axes)
    for mask, row in zip(masks, maps, strict=True):
        for heat in (None, *row):
            axes = next(panels)
            if mask.sum() == 1:
                (y,), (x,) = mask.nonzero()
                axes.plot(x, y, "+", color=OUTLINE, markersize=8)
            elif not mask.all():
                axes.contour(mask, [0.5], colors=OUTLINE, linewidths=0.7)
            if heat is not None and not heat.any():
                axes.set_xlabel("empty", fontsize=7, labelpad=2)
