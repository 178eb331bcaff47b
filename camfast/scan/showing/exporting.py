"""Maps and densities in the format that a viewer reads, written block by block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from camfast.errors import InputError
from camfast.scan.files import ending_of, write_volumes
from camfast.scan.formats.ome_zarr import is_store
from camfast.scan.showing.neuroglancer import TYPES
from camfast.scan.showing.viewing import Output, plain
from camfast.scan.tasks.output import staged
from camfast.scan.volumes import Volume

Format = Literal["mrc", "zarr"]
PLAIN_MRC = (".mrc", ".rec", ".map", ".st", ".ali")


@dataclass(frozen=True, slots=True)
class _Channel:
    """One of several maps (T, z, y, x), of which only what is sliced is read."""

    maps: Any
    index: int

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        return self.maps[(self.index, *key)]


def map_as(output: Output, index: int, kind: Format, folder: Path | None) -> Path:
    """Return a file with one map of an output, or all for Zarr: the output itself, or one written into a folder.

    Raises
    ------
    InputError
        If the output has another format and there is no folder.
    """
    dtype = np.dtype(output.levels[0].dtype).name
    is_zarr = is_store(output.path)
    if kind == "zarr" and is_zarr and dtype in TYPES:
        return output.path
    if kind == "mrc" and not is_zarr:
        return output.path
    stem = output.path.name.removesuffix(output.path.suffix)
    like = Volume(np.broadcast_to(np.float32(0), output.shape), output.voxel_angstrom, output.translation)
    every = [_Channel(output.levels[0], i) for i in range(len(output.names))] if output.several else [output.levels[0]]
    if kind == "mrc":
        name = f"{stem}.{plain(output.names[index])}.mrc" if output.several else f"{stem}.mrc"
        return _exported(output.path, folder, name, [every[index]], like, None, dict(output.about))
    channels = list(output.names) if output.several else None
    return _exported(output.path, folder, f"{stem}.float32.zarr", every, like, channels, dict(output.about))


def density_as(volume: Volume, kind: Format, folder: Path | None) -> Path:
    """Return a file with a density: the one it is in, or one written into a folder.

    Raises
    ------
    InputError
        If the file has another format and there is no folder.
    """
    assert volume.path is not None
    path = volume.path
    if kind == "zarr" and is_store(path) and np.dtype(volume.data.dtype).name in TYPES:
        return path
    if kind == "mrc" and path.is_file() and ending_of(path) in PLAIN_MRC:
        return path
    stem = path.name.partition(".")[0]
    return _exported(path, folder, f"{stem}.{kind}", [volume.data], volume, None, {"volume": path.name})


def _exported(
    source: Path,
    folder: Path | None,
    name: str,
    volumes: list[Any],
    like: Volume,
    channels: list[str] | None,
    about: Any,
) -> Path:
    kind = {".mrc": "MRC", ".zarr": "OME-Zarr of float32"}[Path(name).suffix]
    if folder is None:
        raise InputError(f"{source}: the viewer reads {kind}; say with --export FOLDER where to write it as that")
    path = folder / name
    if path.resolve() == source.resolve():
        raise InputError(f"--export {folder}: {name} would replace what is shown; give another folder")
    if path.exists() and path.stat().st_mtime >= source.stat().st_mtime:
        return path
    try:
        with staged(path, overwrite=path.exists()) as partial:
            write_volumes(partial, volumes, like, channels=channels, attributes=about)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from None
    return path
