"""The trunk ``exact``: every window goes through the whole network, as it was trained."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.errors import CamfastError, IllConditionedWarning, InputError, came_from_network
from camfast.scan.windows.bricks import Brick
from camfast.scan.windows.density import Density
from camfast.scan.windows.plan import Blend, Plan, Shape, blend_weights
from camfast.scan.windows.regions import of_windows

if TYPE_CHECKING:
    from camfast.engine import Explainer

Rows = slice | NDArray[np.int64]


class Explained(NamedTuple):
    """What a pass of B windows gives.

    Attributes
    ----------
    grids : Tensor
        Maps on the layer's grid, (B, z, y, x), or (B, T, z, y, x) for several targets.
    scores : Tensor
        What the network says of the windows, float32 (B, C), on the CPU; means over a window where it labels voxels.
    residual : Tensor
        y − ΣL of each map, (B,) or (B, T).
    ill_conditioned : ndarray
        Windows whose channel weights divide by a small number, bool (B,).
    places : tuple of int
        Shape of the scores of one class: (z, y, x) of a network that labels voxels, () of one that labels windows.
    """

    grids: Tensor
    scores: Tensor
    residual: Tensor
    ill_conditioned: NDArray[np.bool_]
    places: tuple[int, ...]


class Exact:
    """Explains windows by the whole network.

    Parameters
    ----------
    explainer
        Its model takes windows (N, 1, D, H, W).
    density
        Where the windows are cut from.
    plan
        Where they lie.
    target
        What is explained.
    """

    def __init__(self, explainer: "Explainer", density: Density, plan: Plan, target: Any) -> None:
        self.explainer, self.density, self.plan = explainer.replace(size="grid"), density, plan
        self.target = of_windows(target)
        self.device, self.dtype = placement(explainer.model)

    def read(self, brick: Brick) -> Tensor:
        """Read what a brick's windows are cut from; needs no network, so it can run ahead."""
        return as_tensor(self.density.piece(brick.origin, brick.hull), self.device)

    def begin(self, brick: Brick, values: Tensor) -> Tensor:  # noqa: ARG002 - the shared trunk needs the brick
        """Bring what was read to the device."""
        return values.to(self.device, non_blocking=True)

    def explain(self, values: Tensor, origins: NDArray[np.int64]) -> Explained:
        """Explain the windows at these origins, (B, 3) in voxels of what `begin` returned."""
        inputs = cut_windows(values[None], origins, self.plan.window)
        if self.density.normalize == "window":
            whitened = [self.density.window(one) for one in inputs.cpu().numpy()]
            inputs = torch.from_numpy(np.stack(whitened)).to(self.device)
        return explained(self.explainer, inputs.to(self.dtype), self.target)

    def tapers(self, brick: Brick, rows: NDArray[np.int64], blend: Blend) -> list[tuple[NDArray[np.float64], Rows]]:
        """Weights of the cells of some of a brick's windows: the same for each."""
        return [(blend_weights(brick.lattice.window, blend), slice(0, len(rows)))]

    def facts(self, brick: Brick, values: Tensor, chosen: NDArray[np.int64]) -> dict[str, float]:  # noqa: ARG002 - as the shared trunk
        """Nothing more is known of a brick."""
        return {}


def cut_windows(values: Tensor, first: NDArray[np.int64], shape: Shape) -> Tensor:
    """Copy windows of a shape out of values (C, z, y, x), by their first places (B, 3): (B, C, *shape)."""
    d, h, w = shape
    if values.is_cuda:  # one kernel for all of them
        z, y, x = torch.from_numpy(first).to(values.device, non_blocking=True).unbind(1)
        every = values.unfold(1, d, 1).unfold(2, h, 1).unfold(3, w, 1)
        return every[:, z, y, x].transpose(0, 1).contiguous()
    cut = values.new_empty((len(first), values.shape[0], d, h, w))
    for row, (z, y, x) in zip(cut, first.tolist(), strict=True):
        row.copy_(values[:, z : z + d, y : y + h, x : x + w])
    return cut


def explained(explainer: "Explainer", inputs: Tensor, target: Any) -> Explained:
    """Explain a batch on the layer's grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)  # said once, for all windows, at the end
        result = explainer(inputs, target)
    scores = result.scores.detach().float()
    if scores.ndim > 2:  # of a network that labels voxels: the means over the window
        scores = scores.flatten(2).mean(2)
    scores = scores.reshape(len(inputs), -1).cpu()
    ill = result.ill_conditioned.cpu().numpy()
    return Explained(result.grid.detach(), scores, result.residual.detach(), ill, tuple(result.scores.shape[2:]))


def first_window(source: Exact, plan: Plan) -> Explained:
    """Explain one window of noise: what a person chose wrongly shows here, before hours of computing.

    Raises
    ------
    InputError
        If the network does not take the window, or layer, method and target do not fit.
    """
    noise = np.random.default_rng(0).standard_normal(plan.window, np.float32)
    try:
        found = explained(
            source.explainer, as_tensor(noise, source.device)[None, None].to(source.device, source.dtype), source.target
        )
    except (CamfastError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise _as_input_error(error, source.explainer, plan) from error
    if not bool(found.scores.isfinite().any()):
        raise InputError(
            "a window of noise: the network's scores are not finite (NaN or infinite), so there is nothing to explain; "
            "check its weights"
        )
    if found.grids.ndim not in (4, 5):
        raise InputError(f"a window's map has the shape {tuple(found.grids.shape[1:])}, expected ([T,] z, y, x)")
    return found


def _as_input_error(error: Exception, explainer: "Explainer", plan: Plan) -> Exception:
    """What a network's error means to whoever chose it; the error itself where it means nothing to them."""
    found = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    network = f"the network {type(explainer.model).__name__}"
    window = " × ".join(str(length) for length in plan.window)
    if isinstance(error, RuntimeError):
        return InputError(
            f"{network} does not take a window of {window} voxels ({found}); choose the one it was trained with"
        )
    if came_from_network(error):
        return InputError(f"{network} raised {found}; it was given a window of {window} voxels")
    return InputError(str(error)) if isinstance(error, ValueError) else error


def check_finite(origins: NDArray[np.int64], result: Explained) -> None:
    """Name the first window without a usable map; a score of −inf alone, as of a logarithm, is none of those.

    Raises
    ------
    InputError
        If a map is not finite, or a score is NaN.
    """
    finite = result.grids.flatten(1).isfinite().all(1).cpu() & ~result.scores.isnan().any(1)
    if bool(finite.all()):
        return
    wrong = int((~finite).nonzero()[0])
    grid, score = result.grids[wrong], result.scores[wrong]
    where = f"window at voxel (z, y, x) = {tuple(origins[wrong].tolist())}"
    if not bool(score.isfinite().all()):
        raise InputError(
            f"{where}: the network's scores are not finite (NaN or infinite), so there is nothing to explain; "
            "check its weights and how the volume is normalised"
        )
    targets = grid.flatten(1).isfinite().all(1).tolist() if grid.ndim == 4 else []
    which = f" of target number {targets.index(False)}" if targets else ""
    raise InputError(
        f"{where}: the network's scores are finite, but the map{which} is not (NaN or infinite); "
        "choose another layer or method"
    )


def placement(model: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and type of a model's parameters, which its windows have to share."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32


def as_tensor(values: NDArray[Any], device: torch.device) -> Tensor:
    """Wrap what was read; pinned where it goes to a GPU, so that the copy runs beside the computing."""
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:
        native = native.astype(np.int64)  # few operations of torch take unsigned words
    tensor = torch.from_numpy(native if native.flags.writeable else native.copy())
    return tensor.pin_memory() if device.type == "cuda" else tensor


def window_cells(brick: Brick, rows: Sequence[int] | NDArray[Any], device: torch.device) -> Tensor:
    """First cells of some of a brick's windows, (B, 3), counted from the brick's own."""
    return torch.from_numpy(brick.origins[rows] // np.array(brick.lattice.cell)).to(device)
