"""Zarr stores of strangers: nothing in them runs code, or leads out of the store."""

import json
import os
import pickle

import numpy as np
import pytest
import zarr

from camfast.errors import InputError
from camfast.scan import read_volume
from camfast.scan.showing.viewing import open_output


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def sprung(tmp_path, monkeypatch):
    """Where a trap would leave a trace; numcodecs lets pickles run, as its older versions did."""
    monkeypatch.setattr("numcodecs.pickles.Pickle.decode", lambda _, buffer, **__: pickle.loads(bytes(buffer)))
    return tmp_path / "sprung"


def _store(path, image, sprung):
    """Write a version 2 store whose only chunk is a trap."""
    level = path / "0"
    level.mkdir(parents=True)
    multiscale = {
        "version": "0.4",
        "axes": [{"name": axis, "type": "space"} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}],
    }
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps({"camfast": {"method": "x"}, "multiscales": [multiscale]}))
    plain = {"zarr_format": 2, "shape": [4] * 3, "chunks": [4] * 3, "dtype": "<f4", "fill_value": 0, "order": "C"}
    (level / ".zarray").write_text(json.dumps({**plain, "compressor": None, "filters": None, **image}))
    (level / "0.0.0").write_bytes(pickle.dumps(Trap(sprung)))
    return path


PICKLE, TEXT = {"id": "pickle"}, {"id": "vlen-utf8"}


@pytest.mark.parametrize(
    "image",
    [
        {"filters": [PICKLE]},
        {"compressor": PICKLE},
        {"dtype": "|O", "filters": [PICKLE]},
        {"dtype": "|O", "filters": [TEXT, PICKLE], "fill_value": ""},
        {"dtype": "|O", "filters": [TEXT], "compressor": PICKLE, "fill_value": ""},
        {"dtype": "|O", "filters": [{"id": "json2"}], "fill_value": ""},
    ],
)
def test_chunks_that_are_pickles_are_never_unpacked(tmp_path, sprung, image):
    path = _store(tmp_path / "a.zarr", image, sprung)
    for place in (path, path / "0"):
        with pytest.raises(InputError, match=str(path)):
            np.asarray(read_volume(place).data[:])
    with pytest.raises(InputError, match=str(path)):
        open_output(path).limits(0)
    assert not sprung.exists()


def test_a_codec_for_objects_is_named(tmp_path, sprung):
    """Where Zarr itself would take it for a filter of numbers, as its versions before 3.1 did."""
    from camfast.scan.formats.codecs import check_numbers

    class Array:
        dtype = np.dtype("f4")

        class metadata:  # noqa: N801
            @staticmethod
            def to_dict():
                return {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": ({"name": "x.pickle"},)}}]}

    with pytest.raises(InputError, match=r"a\.zarr: its chunks are packed by 'x.pickle', which is for objects"):
        check_numbers(Array, tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "path",
    ["../secret.zarr/0", "..", "a/../../secret.zarr/0", "..\\secret.zarr\\0", "{folder}/secret.zarr/0", "", 0, None],
)
def test_a_path_in_the_metadata_stays_in_the_store(tmp_path, version, path):
    secret = zarr.open_group(tmp_path / "secret.zarr", mode="w", zarr_format=version)
    secret.create_array("0", shape=(4, 4, 4), dtype="float32")[:] = 42.0
    named = path.format(folder=tmp_path) if isinstance(path, str) else path
    step = {"type": "scale", "scale": [1, 1, 1]}
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    image = {"axes": axes, "datasets": [{"path": named, "coordinateTransformations": [step]}]}
    own = {"multiscales": [{"version": "0.4", **image}]} if version == 2 else {"ome": {"multiscales": [image]}}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    group.attrs.update({"camfast": {"method": "x"}, **own})
    for opened in (read_volume, open_output):
        with pytest.raises(InputError, match=r"a\.zarr"):
            opened(tmp_path / "a.zarr")
