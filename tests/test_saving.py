"""Maps saved and loaded are the same, and every kind of file says how its map came about."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import camfast
from camfast import plot
from camfast.errors import InputError
from camfast.scan import Volume, write_volumes

FIELDS = ("maps", "grid", "scores", "targets", "weights", "residual", "empty", "ill_conditioned")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))


@pytest.fixture
def images():
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [
    {"layer": "1", "method": "respond"}, {"layer": ["1", "3"], "method": "respond"}, {"layer": "3", "size": "grid"},
    {"layer": "3", "method": "hirescam"}, {"layer": ["1", "3"], "fuse": "mean"},
])  # fmt: skip
@pytest.mark.parametrize("target", ["predicted", "all", [2, 0]])
def test_maps_come_back_as_they_were(model, images, tmp_path, options, target):
    explainer = camfast.Explainer(model, **options)
    result = explainer(images, target)
    path = tmp_path / "maps.safetensors"
    camfast.save_maps(path, result, explainer, image="a.png")
    found = camfast.load_maps(path)
    for field in FIELDS:
        before, after = getattr(result, field), getattr(found, field)
        assert type(before) is type(after), field
        for one, other in zip(*(v.values() if isinstance(v, dict) else [v] for v in (before, after)), strict=True):
            if one is not None:
                assert one.dtype == other.dtype
                assert torch.equal(one, other), field
        if isinstance(before, dict):
            assert list(before) == list(after)
    about = camfast.read_provenance(path)
    assert about == camfast.provenance(explainer, result.targets, image="a.png")
    assert about["target"] == result.targets.tolist()


def test_regions_are_kept_in_the_provenance(images, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))
    explainer = camfast.Explainer(model, "1")
    path = tmp_path / "maps.safetensors"
    camfast.save_maps(path, explainer(images, camfast.Region(1, "image")), explainer)
    assert camfast.load_maps(path).targets == {"type": "Region", "class_index": 1, "where": "image"}


def test_what_cannot_be_saved(model, images, tmp_path):
    explainer = camfast.Explainer(model, "1")
    result = explainer(images)
    path = tmp_path / "maps.safetensors"
    with pytest.raises(InputError, match=r"there is no folder .*absent; make it first"):
        camfast.save_maps(tmp_path / "absent" / "maps.safetensors", result, explainer)
    with pytest.raises(TypeError, match=r"result must be a camfast\.Explanation, found Tensor"):
        camfast.save_maps(path, result.maps, explainer)
    with pytest.raises(TypeError, match=r"explainer must be a camfast\.Explainer, found Sequential"):
        camfast.save_maps(path, result, model)  # whose provenance would lack method and layer
    assert not path.exists()


def test_a_rerun_gives_the_same_bytes_and_other_weights_do_not(model, images, tmp_path):
    explainer = camfast.Explainer(model, "1", "respond")
    result = explainer(images)
    for name in "ab":
        camfast.save_maps(tmp_path / f"{name}.safetensors", result, explainer)
    before = (tmp_path / "a.safetensors").read_bytes()
    assert before == (tmp_path / "b.safetensors").read_bytes()
    with torch.no_grad():
        model[0].bias.add_(1)
    camfast.save_maps(tmp_path / "a.safetensors", result, explainer)  # replaced
    assert (tmp_path / "a.safetensors").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_every_kind_of_file_says_how_it_came_about(model, tmp_path):
    about = camfast.provenance(camfast.Explainer(model, "1", "respond"), [1, 2], sample="Zelle 3; grün")
    volume = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    plot.save(plot.slices(volume), tmp_path / "cam.png", provenance=about)
    write_volumes(tmp_path / "cam.zarr", [volume], Volume(volume), attributes=about)
    write_volumes(tmp_path / "cam.mrc", [volume], Volume(volume), attributes=about)
    assert camfast.read_provenance(tmp_path / "cam.png") == about
    found = camfast.read_provenance(tmp_path / "cam.zarr")
    assert found == {**about, "version": camfast.__version__}
    # what an MRC header can't hold: other alphabets
    found = camfast.read_provenance(str(tmp_path / "cam.mrc"))
    assert found == {**about, "sample": "Zelle 3; gr?n"}


def test_what_says_nothing_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "plain.png")
    safetensors.torch.save_file({"x": torch.ones(2)}, tmp_path / "weights.safetensors")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "broken.safetensors").write_bytes(b"12")
    (tmp_path / "broken.mrc").write_bytes(b"12")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "a.txt").write_text(json.dumps({"method": "respond"}))
    for name, says in (
        ("plain.png", "doesn't say how it came about"),
        ("weights.safetensors", "doesn't say how it came about"),
        ("broken.png", "cannot be read as an image"),
        ("broken.safetensors", "not a whole safetensors file"),
        ("broken.mrc", "cannot be read as MRC"),
        ("broken.zarr", "cannot be read as Zarr"),
        ("a.txt", "unknown kind of file; its name must end in .png, .safetensors"),
        ("none.png", "no such file"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{says}"):
            camfast.read_provenance(tmp_path / name)
    with pytest.raises(InputError, match=r"weights.safetensors: holds no explanation but x"):
        camfast.load_maps(tmp_path / "weights.safetensors")


def test_another_ending_is_refused(model, images, tmp_path):
    explainer = camfast.Explainer(model, "1")
    with pytest.raises(InputError, match=r"maps.npz: the name of saved maps must end with .safetensors"):
        camfast.save_maps(tmp_path / "maps.npz", explainer(images), explainer)
