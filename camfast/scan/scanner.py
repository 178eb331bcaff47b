"""One map of a whole volume, from windows that go through the network one batch after the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from camfast.errors import InputError
from camfast.provenance import provenance
from camfast.scan.blending import Normalize, Windows
from camfast.scan.files import as_mask, open_written, output_format, read_volume, write_volumes
from camfast.scan.output import staged
from camfast.scan.plan import Blend, Plan, plan_windows
from camfast.scan.running import Run
from camfast.scan.volumes import Volume

if TYPE_CHECKING:
    from camfast.engine import Explainer

AUTO_BATCH = 8


@dataclass(frozen=True, eq=False, slots=True)
class ScanResult:
    """What a scan gives.

    Parameters
    ----------
    cam
        float32 (z, y, x), or (T, z, y, x) for several targets: a tensor, or, when it was written to a file, a memory
        map (MRC) or Zarr array of it.
    scores
        The network's output for every window, float32 (nz, ny, nx, C) on the grid of strides; NaN where the mask left
        a window out.
    path
        The file, None when none was asked for.
    """

    cam: Any
    scores: Tensor
    path: Path | None


def scan(
    volume: Any,
    explainer: "Explainer",
    *,
    window: int | tuple[int, int, int],
    stride: int | tuple[int, int, int],
    target: Any,
    trunk: Literal["exact"] = "exact",
    blend: Blend = "center",
    normalize: Normalize = "volume",
    invert: bool = False,
    mask: Any = None,
    out: str | Path | None = None,
    batch: int | Literal["auto"] = "auto",
    max_memory: None = None,
    resume: bool = True,  # noqa: ARG001 - part of the contract
    client: None = None,
    progress: bool = True,
    overwrite: bool = False,
    labels: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> ScanResult:
    r"""Explain a whole volume through overlapping windows.

    .. math:: U = \mathrm{upsample}\Bigl(\sum_i b\,L_i \Big/ \sum_i b\Bigr)

    with L_i the map of window i on the layer's grid, shifted to where the window lies, and b the blend's weights on
    that grid. Maps add up on one coarse grid of the whole volume, which is upsampled once.

    Parameters
    ----------
    volume
        Array, tensor, path (MRC, EM, TIFF, NIfTI, OME-Zarr) or `Volume`, (z, y, x).
    explainer
        Model, layer, method and upsampling. The model takes windows (N, 1, D, H, W).
    window, stride
        In voxels, (z, y, x) or one number for all. Strides are multiples of the layer's grid cell. The volume is
        padded by reflection at its far ends so that every voxel lies in a window; the result is cropped.
    target
        A class; ``"predicted"``, each window's own class; ``"all"`` or a list, which give (T, z, y, x).
    trunk
        ``"exact"``: every window goes through the whole network.
    blend
        ``"center"``: mean weighted by a taper that is largest at a window's centre; ``"mean"``, ``"sum"``, ``"max"``.
    normalize
        ``"volume"`` or ``"window"``: subtract the mean, divide by the standard deviation; None: values as they are.
    invert
        Change the sign of the values after that.
    mask
        Volume, array or path; only windows whose central region (one stride wide) touches it are computed. The map is
        0 where no window was.
    out
        Name of an OME-Zarr or MRC file to write. It appears when the scan is finished, never in part.
    batch
        Windows per pass. Every pass has this size, the last one filled up, so results do not depend on their number.
        "auto": 8.
    max_memory, client
        Not available in this version; must be None.
    resume
        Has no effect in this version: nothing of an interrupted scan is kept, a scan starts with its first window.
    progress
        Show a progress bar with voxels a second on standard error.
    overwrite
        Replace ``out`` if it exists.
    labels
        Names of the classes in their order, for the file's metadata.
    about
        More to be kept in the file's metadata, such as where the model is from: short values by name.

    Returns
    -------
    ScanResult
        The map, float32, of the volume's shape; the scores of every window; the file.

    Raises
    ------
    InputError
        If the volume is unusable (NaN, constant, wrong axes), window, stride or grid do not fit, a target does not
        exist, the output cannot be written, or an option is not available.

    Examples
    --------
    >>> model = camfast.models.cnn2(classes=2, width=2, hidden=4, side=16).eval()
    >>> explainer = camfast.Explainer(model, "maxpool2", "respond")
    >>> options = {"window": (16, 16, 16), "stride": (8, 8, 8), "progress": False}
    >>> camfast.scan(torch.randn(24, 24, 24), explainer, target=1, **options).cam.shape
    torch.Size([24, 24, 24])
    """
    _refuse_unavailable(explainer, trunk, max_memory, client, target)
    source = read_volume(volume)
    plan = plan_windows(source.shape, window, stride)
    chosen = None if mask is None else plan.touching(as_mask(mask, source))
    size = _batch_size(batch)

    scanned = {
        "window": plan.window,
        "stride": plan.stride,
        "blend": blend,
        "normalize": normalize,
        "invert": invert,
        "masked": mask is not None,
    }

    def start() -> Run:
        return Run(explainer, plan, Windows(source, plan, normalize, invert=invert), target, blend)

    if out is None:
        run = start()
        run.all_windows(size, chosen, progress=progress)
        maps = list(run.maps())
        return ScanResult(maps[0] if run.targets is None else torch.stack(maps), run.scores, None)
    path = Path(out)
    output_format(path)
    if source.path is not None and path.resolve() == source.path.resolve():
        raise InputError(f"{path} is the volume that is scanned; write the result under another name")
    with staged(path, overwrite=overwrite) as staging:
        run = start()
        output_format(path, channels=run.targets is not None)
        run.all_windows(size, chosen, progress=progress)
        arrays = (one.numpy() for one in run.maps())
        names = class_names(target, run.targets, labels)
        kept = _provenance(explainer, target, names, scanned, about or {})
        write_volumes(staging, arrays, source, channels=None if run.targets is None else names, attributes=kept)
    return ScanResult(open_written(path), run.scores, path)


def _batch_size(batch: int | str) -> int:
    if batch == "auto":
        return AUTO_BATCH
    if not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch is {batch!r}, expected a positive whole number or 'auto'")
    return batch


def _refuse_unavailable(explainer: "Explainer", trunk: str, max_memory: object, client: object, target: object) -> None:
    if trunk == "shared":
        raise InputError("trunk='shared' is not available in this version; use trunk='exact'")
    if trunk != "exact":
        raise InputError(f"trunk is {trunk!r}, expected 'exact'")
    if max_memory is not None:
        raise InputError("max_memory is not available in this version; leave it out, and choose a smaller batch")
    if client is not None:
        raise InputError("scanning with a Dask client is not available in this version; leave client out")
    if isinstance(explainer.layer, tuple):
        raise InputError(f"the explainer has {len(explainer.layer)} layers, and a scan takes one; name one layer")
    if isinstance(target, Tensor):
        raise InputError("target is a tensor, and a scan has no samples to match it; give a class or 'predicted'")


def class_names(target: Any, count: int | None, labels: Sequence[str] | None) -> list[str]:
    """Name of each map's class: its label, or ``class 3`` where it has none; none for ``"predicted"``."""
    if target == "predicted":
        return []
    classes = range(count or 0) if target == "all" else np.atleast_1d(target).tolist()
    return [labels[index] if labels and index < len(labels) else f"class {index}" for index in classes]


def _provenance(
    explainer: "Explainer", target: Any, names: list[str], scanned: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """How the map came about, what matters most first: a header may have no room for the rest."""
    found = provenance(explainer, target)
    label = {"label": names[0]} if len(names) == 1 else {"labels": names} if names else {}
    first = {name: found[name] for name in ("method", "layer", "target")}
    return {**first, **label, "model_sha256": found["model_sha256"], **about, **scanned, **found, **about}


def describe(volume: Volume, plan: Plan, batch: int | Literal["auto"] = "auto") -> dict[str, Any]:
    """What a scan of one map would take, from shapes alone: windows, passes, and bytes of input and output."""
    size = _batch_size(batch)
    return {
        "shape": list(volume.shape),
        "voxel_angstrom": None if volume.voxel_angstrom is None else list(volume.voxel_angstrom),
        "padded": list(plan.padded),
        "windows": plan.windows,
        "windows_zyx": list(plan.counts),
        "passes": -(-plan.windows // size),
        "batch": size,
        "input_bytes": math.prod(volume.shape) * np.dtype(volume.data.dtype).itemsize,
        "cam_bytes_per_target": math.prod(volume.shape) * 4,
    }
