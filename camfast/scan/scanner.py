"""One map of a whole volume, from windows that go through the network one batch after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from camfast.engine import Explainer
    from camfast.scan.preparing import Also, PickBy, Trunk
    from camfast.scan.result import ScanResult
    from camfast.scan.windows.density import Normalize
    from camfast.scan.windows.plan import Blend


def scan(
    volume: Any,
    explainer: "Explainer",
    *,
    window: int | tuple[int, int, int],
    stride: int | tuple[int, int, int],
    target: Any,
    trunk: "Trunk" = "exact",
    blend: "Blend" = "center",
    normalize: "Normalize" = "volume",
    invert: bool = False,
    mask: Any = None,
    out: str | Path | None = None,
    batch: int | Literal["auto"] = "auto",
    max_memory: int | str | None = None,
    resume: bool = True,
    client: Any = None,
    progress: bool = True,
    overwrite: bool = False,
    also: "Sequence[Also]" = (),
    pick_distance: float | None = None,
    pick_by: "PickBy" = "window",
    dtype: Literal["float32", "float16"] = "float32",
    labels: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> "ScanResult":
    """Explain a whole volume through overlapping windows.

    ::

        U = upsample(Σ_i b·L_i / Σ_i b)

    with L_i the map of window i on the layer's grid, shifted to where the window lies, and b the blend's weights on
    that grid. Maps add up on one coarse grid of the whole volume, which is upsampled once.

    Parameters
    ----------
    volume
        Array, tensor, path (MRC, EM, TIFF, NIfTI, OME-Zarr) or `Volume`, (z, y, x). Files are read piece by piece.
    explainer
        Model, layer, method and upsampling. The model takes windows (N, 1, D, H, W).
    window, stride
        In voxels, (z, y, x) or one number for all. Strides are multiples of the layer's grid cell. The volume is
        padded by reflection at its far ends so that every voxel lies in a window; the result is cropped.
    target
        A class; ``"predicted"``, each window's own class; ``"all"`` or a list, which give (T, z, y, x).
    trunk
        ``"exact"``: every window goes through the whole network, as it was trained. ``"shared"``: what is in front of
        the layer runs once over the volume and the head on windows of its features, many times faster. The windows'
        zero padding is then replaced by their real neighbours, and the result has the measured ``difference``.
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
        "auto": by the memory that a window is found to take.
    max_memory
        Memory of the process that no file backs, in bytes or as "4G"; the volume and the map may be larger. None: what
        Python and the network take, and 2 GiB. A result without ``out`` comes on top.
    resume
        Go on with what an interrupted scan of the same volume, network and options left beside ``out``; False: start
        anew. The result has the same bits as that of an undisturbed scan.
    client
        A `distributed.Client`: its workers do the work, and ``out`` and the volume have to be on a file system that
        they share.
    progress
        Show a progress bar with voxels a second on standard error.
    overwrite
        Replace ``out`` if it exists, and what an interrupted scan of something else left beside it.
    also
        More to write beside ``out``: ``"scores"`` of every window, OME-Zarr (c, z, y, x) on the grid of strides;
        ``"labels"``, the class with the largest score on that grid; ``"picks"``, the strongest places of the map as
        RELION-5 STAR and copick JSON; ``"report"``, a page that shows it all.
    pick_distance
        Least distance of two picks, in voxels; a third of the window where None.
    pick_by
        ``"window"``: picks are peaks whose nearest window is predicted as the class; ``"map"``: all that are above two
        standard deviations of the map, which finds more where the network is unsure, and more that is wrong.
    dtype
        ``"float32"`` or ``"float16"``, of the file's values.
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
        exist, the trunk cannot be shared, memory does not suffice, or the output cannot be written.
    OSError
        If the disk is full or fails; what is finished is kept.

    Examples
    --------
    >>> model = camfast.models.cnn2(classes=2, width=2, hidden=4, side=16).eval()
    >>> explainer = camfast.Explainer(model, "maxpool2", "respond")
    >>> options = {"window": (16, 16, 16), "stride": (8, 8, 8), "progress": False}
    >>> camfast.scan(torch.randn(24, 24, 24), explainer, target=1, **options).cam.shape
    torch.Size([24, 24, 24])
    """
    # Half of camfast's modules: most programs that import it scan nothing.
    from camfast.scan.preparing import Asked
    from camfast.scan.to_file import to_file
    from camfast.scan.to_memory import to_memory

    asked = Asked(
        volume, explainer, window=window, stride=stride, target=target, trunk=trunk, blend=blend, normalize=normalize,
        invert=invert, mask=mask, batch=batch, max_memory=max_memory, also=tuple(also), pick_distance=pick_distance,
        pick_by=pick_by, dtype=dtype, labels=labels, about=dict(about or {}),
    )  # fmt: skip
    if out is None:
        return to_memory(asked, client, progress=progress)
    return to_file(asked, Path(out), client, resume=resume, progress=progress, overwrite=overwrite)
