"""How each format is damaged, read through camfast's public functions, and judged."""

import bz2
import gzip
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reliability.files import damaging, parsers, seeds, seeds_of_weights, stores
from reliability.files.damaging import Files
from reliability.files.parsers import Reading
from reliability.files.seeds import Seed

WHOLE = 1 << 24  # bytes up to which every voxel is looked at


class Wrong(Exception):  # noqa: N818 - what is wrong is camfast
    """camfast took a file and made something else of it than its bytes say."""


@dataclass(frozen=True)
class Format:
    """A format under test.

    Parameters
    ----------
    seeds
        Makes its valid files.
    damage
        Damages one of them.
    read
        Reads the file or folder at a path, given its bytes, and returns the bytes of what came out; raises `Wrong`.
    """

    seeds: Callable[[], list[Seed]]
    damage: Callable[[Seed, random.Random], Files]
    read: Callable[[Path, Files], int]

    def mutant(self, made: list[Seed], seed: int, index: int) -> tuple[str, Files]:
        """The name and bytes of a mutant, the same for the same numbers; -1 and below are the valid files."""
        if index < 0:
            return made[-index - 1].name, made[-index - 1].files
        rng = random.Random(f"{seed} {index}")
        chosen = rng.choice(made)
        return chosen.name, self.damage(chosen, rng)


def volume(readings: Callable[[Files], Iterator[Reading]]) -> Callable[[Path, Files], int]:
    """Read a volume and compare it with each reading of its bytes."""

    def read(path: Path, files: Files) -> int:
        from camfast.scan import read_volume

        found = read_volume(path)
        shape, size = found.shape, math.prod(found.shape) * found.data.dtype.itemsize
        whole = size <= WHOLE
        values = np.asarray(found.data) if whole else np.asarray(found.data[-1:, -1:, -1:])
        if whole and (values.shape != shape or values.dtype != found.data.dtype):
            raise Wrong(f"says {shape} {found.data.dtype} and gives {values.shape} {values.dtype}")
        if values.dtype.kind not in "fiub" or not values.dtype.isnative or min(shape) < 1:
            raise Wrong(f"gives {values.dtype} {shape}")
        edges = found.voxel_angstrom
        if edges is not None and not all(0 < edge < math.inf for edge in edges):
            raise Wrong(f"gives voxels of {edges}")
        if not all(map(math.isfinite, (*found.origin, *found.translation))):
            raise Wrong(f"gives the origin {found.origin}, translation {found.translation}")
        judge(shape, values if whole else None, edges, list(readings(files)))
        return size if whole else values.nbytes

    return read


def judge(shape: tuple[int, ...], values: Any, edges: Any, readings: list[Reading]) -> None:
    """Make sure that one of the readings is what came out."""
    alike = [one for one in readings if one.shape == shape]
    if not alike:
        raise Wrong(f"gives the shape {shape}, expected one of {[one.shape for one in readings]}")
    if values is not None and not any(one.values is None or _same(values, one.values) for one in alike):
        raise Wrong(f"gives other values than stand in the file, {values.dtype} {shape}")
    known = [one.voxel for one in alike if one.voxel is not None]
    if edges is not None and known and not any(np.allclose(edges, one, rtol=1e-5, atol=0) for one in known):
        raise Wrong(f"gives voxels of {edges}, expected one of {known}")


def _same(values: Any, expected: Any) -> bool:
    native = expected.astype(expected.dtype.newbyteorder("="))
    return values.dtype == native.dtype and values.tobytes() == np.ascontiguousarray(native).tobytes()


def _of_bytes(parser: Callable[[bytes], Iterator[Reading]]) -> Callable[[Files], Iterator[Reading]]:
    def readings(files: Files) -> Iterator[Reading]:
        content = parsers.unpacked(files[""])
        return iter(()) if content is None else parser(content)

    return readings


def read_tiff(path: Path, files: Files) -> int:
    """As a volume; where a TIFF names its axes itself, only its size is compared with what the file can hold."""
    own = parsers.of_its_own_axes(files[""])

    def readings(all_files: Files) -> Iterator[Reading]:
        from camfast.scan import read_volume

        yield from parsers.tiff(all_files[""])
        if own:
            yield Reading(read_volume(path).shape)

    return volume(readings)(path, files)


def read_list(path: Path, files: Files) -> int:
    """Every tomogram of a list is there, and named by a word of it."""
    from camfast.scan.lists import list_tomograms

    found = list_tomograms(path)
    text = files[path.name]
    for one in found:
        if not one.path.exists() or not one.name.isprintable():
            raise Wrong(f"names {one}")
        if one.name.encode("utf-8", "surrogateescape") not in text:
            raise Wrong(f"names {one.name!r}, which does not stand in it")
        if one.voxel_angstrom is not None and not 0 < one.voxel_angstrom < math.inf:
            raise Wrong(f"gives voxels of {one.voxel_angstrom}")
    return sum(len(one.name) for one in found)


def read_safetensors(path: Path, files: Files) -> int:
    return _weights(path, lambda: stores.safetensors(files[""]), "cnn1")


def read_state_dict(path: Path, files: Files) -> int:
    return _weights(path, lambda: stores.state_dict(files[""]), "cnn1")


def read_layers(path: Path, files: Files) -> int:
    del files
    return _weights(path, lambda: None, "meshnet")


def _weights(path: Path, says: Callable[[], Mapping[str, Any] | None], model: str) -> int:
    """Read weights, compare every tensor, and fill a network with them."""
    import torch

    from camfast.models import load, read_weights

    state = read_weights(path).state
    total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    if (expected := says()) is not None:
        for key, tensor in state.items():
            there = expected.get(key, expected.get(f"module.{key}"))
            if there is None:
                continue
            content = tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            if tuple(tensor.shape) != there[0] or content != there[1]:
                raise Wrong(f"gives other values for {key}, {tuple(tensor.shape)} {tensor.dtype}")
    loaded = load(model, path)
    apix = loaded.voxel_angstrom
    if apix is not None and not 0 < apix < math.inf:
        raise Wrong(f"gives voxels of {apix}")
    if any(parameter.is_meta for parameter in loaded.module.parameters()):
        raise Wrong("gives a network without values")
    if loaded.preprocess is not None:
        loaded.preprocess(np.zeros((12, 10), np.uint8))
    return total


def read_picture(path: Path, files: Files) -> int:
    """Read an image as ``camfast explain`` does."""
    from camfast.cli.inputs import read_image
    from camfast.models import Preprocess

    del files
    tensor = Preprocess()(read_image(path))
    return tensor.numel() * 4


def _mrc_packed(ending: str, pack: Callable[[bytes], bytes]) -> Format:
    def made() -> list[Seed]:
        return [Seed(f"{one.name}.{ending}", {"": pack(one.content)}, one.fields) for one in seeds.mrc()]

    def damage(seed: Seed, rng: random.Random) -> Files:
        unpack = gzip.decompress if ending == "gz" else bz2.decompress
        return damaging.packed(pack)(Seed(seed.name, {"": unpack(seed.content)}, seed.fields), rng)

    return Format(made, damage, volume(_of_bytes(parsers.mrc)))


FORMATS: dict[str, Format] = {
    "MRC": Format(seeds.mrc, damaging.by_bytes, volume(_of_bytes(parsers.mrc))),
    "MRC, gzip": _mrc_packed("gz", lambda content: gzip.compress(content, 1, mtime=0)),
    "MRC, bzip2": _mrc_packed("bz2", lambda content: bz2.compress(content, 1)),
    "EM": Format(seeds.em, damaging.by_bytes, volume(_of_bytes(parsers.em))),
    "TIFF": Format(seeds.tiff, damaging.by_bytes, read_tiff),
    "NIfTI": Format(seeds.nifti, damaging.nifti, volume(_of_bytes(parsers.nifti))),
    "OME-Zarr 0.4": Format(lambda: seeds.zarr(2), damaging.store, volume(stores.zarr)),
    "OME-Zarr 0.5": Format(lambda: seeds.zarr(3), damaging.store, volume(stores.zarr)),
    "lists of tomograms": Format(seeds.star, damaging.lists, read_list),
    "safetensors": Format(seeds_of_weights.safetensors, damaging.safetensors, read_safetensors),
    "state dicts": Format(seeds_of_weights.state_dicts, damaging.state_dict, read_state_dict),
    "lists of layers": Format(seeds_of_weights.layer_lists, damaging.layers, read_layers),
    "pictures": Format(seeds.pictures, damaging.by_bytes, read_picture),
}
