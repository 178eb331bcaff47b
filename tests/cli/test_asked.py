"""What commands make of what a person asks for, where the model, the file or an earlier run has a say too."""

import json

import mrcfile
import numpy as np
import pytest
import torch
import zarr
from PIL import Image

import camfast as package
from camfast import models
from camfast.cli import checks, scan
from camfast.errors import CaptureError, InputError
from camfast.scan import read_volume

GREY = """from torch import nn

from camfast.models import Loaded, Preprocess


def network():
    made = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    made.append(nn.Linear(64, 3))
    return Loaded(made, Preprocess(mean=(0.25, 0.25, 0.25), std=(0.5, 0.5, 0.5)), None, {layer})
"""


@pytest.fixture
def crop(tmp_path):
    """A volume that the small weights take."""
    with mrcfile.new(tmp_path / "crop.mrc") as file:
        file.set_data(np.random.default_rng(1).normal(3, 2, (16, 16, 16)).astype(np.float32))
        file.set_volume()
        file.voxel_size = 10.0
    return tmp_path / "crop.mrc"


@pytest.fixture
def of_volume(crop, weights, tmp_path):
    def arguments(*more, out="cam.mrc", target="ring"):
        given = ["explain", crop, "--model", "cnn2", "--weights", weights, "--method", "respond", "--target", target]
        return [*given, "-o", tmp_path / out, *more]

    return arguments


def test_one_mean_for_all_channels_is_that_of_grey_too(camfast, explaining, photo, tmp_path):
    (tmp_path / "grey.py").write_text(GREY.format(layer="'1'"))
    model = f"{tmp_path / 'grey.py'}:network"
    torch.manual_seed(0)
    facts = json.loads(camfast(*explaining("--json", model=model, layer=None, channels="L", size=None)).out)
    torch.manual_seed(0)
    made = models.load(model).module
    with Image.open(photo) as image:
        inputs = package.models.Preprocess(channels="L", mean=(0.25,), std=(0.5,))(image)
    maps = package.cam(made, inputs, "1", 1)
    assert facts["largest"] == pytest.approx(float(maps.max()), rel=1e-5)


def test_a_layer_that_is_no_name_is_the_models_fault(refused, explaining, tmp_path):
    (tmp_path / "grey.py").write_text(GREY.format(layer=1))
    line = refused(*explaining(model=f"{tmp_path / 'grey.py'}:network", layer=None, channels="L"))
    assert "grey.py:network: layer must be a dotted name or a module, found int" in line


def test_a_network_that_is_all_trunk_has_its_layers_named(refused, explaining, tmp_path):
    (tmp_path / "trunk.py").write_text(
        "from torch import nn\ndef network():\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    )
    line = refused(*explaining(model=f"{tmp_path / 'trunk.py'}:network", layer=None))
    assert "--layer is missing" in line
    assert "choose one such as 0 (Conv2d)" in line


def test_a_volume_as_it_is(camfast, of_volume, crop, weights):
    facts = json.loads(camfast(*of_volume("--normalize", "none", "--json")).out)
    inputs = torch.from_numpy(np.array(mrcfile.read(crop)))[None, None]
    expected = package.cam(models.load("cnn2", weights).module, inputs, "maxpool2", 2, method="respond")
    assert facts["largest"] == pytest.approx(float(expected.max()), rel=1e-4)


def test_a_volume_of_one_value_shows_nothing(refused, of_volume, crop):
    with mrcfile.mmap(crop, "r+") as file:
        file.data[...] = 2.5
    assert "crop.mrc: every voxel is 2.5, so there is nothing to see; check the file" in refused(*of_volume())


def test_several_maps_of_a_volume_need_a_store(camfast, refused, of_volume, tmp_path):
    line = refused(*of_volume(target="ring,ball"))
    assert "--target ring,ball: .mrc holds one map; name one class, or write .zarr" in line
    assert camfast(*of_volume("--quiet", target="ring,ball", out="cam.zarr")).code == 0
    assert zarr.open_group(tmp_path / "cam.zarr", mode="r")["0"].shape == (2, 16, 16, 16)


def test_labels_are_kept_where_the_network_cannot_say_how_many(refused, explaining, tmp_path):
    """What is wrong with the input is said, not that the labels might be as many as they like."""
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    line = refused(*explaining(labels=tmp_path / "labels.txt", target="dog", size="32"))
    assert "network.py:network: the network does not take an input of 32 × 32 pixels" in line


def test_nothing_is_left_to_do(camfast, command, tmp_path):
    assert camfast(*command("--quiet")).code == 0
    before = (tmp_path / "cam.mrc").stat().st_mtime_ns
    ran = camfast(*command("--resume"))
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'cam.mrc'}: exists already, left as it is\n")
    assert json.loads(camfast(*command("--resume", "--json")).out)["scans"] == []
    assert (tmp_path / "cam.mrc").stat().st_mtime_ns == before
    assert read_volume(tmp_path / "cam.mrc").shape == (20, 24, 28)


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (89.9, "89.9 s"), (90, "1.5 min"), (5000, "83.3 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert scan._duration(seconds) == text


def test_an_error_with_a_name_of_its_own_keeps_it():
    with pytest.raises(CaptureError, match="the layer"), checks.input_errors():
        raise CaptureError("the layer")
    with pytest.raises(InputError, match="found 3"), checks.input_errors():
        raise ValueError("found 3")
    with pytest.raises(CaptureError, match="the layer"), checks.network_errors("own.py:net", torch.zeros(1, 3, 4, 4)):
        raise CaptureError("the layer")


def test_an_error_that_is_not_the_networks_is_not_said_to_be():
    with pytest.raises(ZeroDivisionError, match="ours"), checks.network_errors("own.py:net", torch.zeros(1, 3, 4, 4)):
        raise ZeroDivisionError("ours")


def test_a_map_that_overflows_is_named(refused, explaining, tmp_path):
    """Scores may be finite where squares of gradients, as in Grad-CAM++, are not."""
    result = package.Explainer(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.Flatten()), "0")(
        torch.ones(1, 1, 2, 2), 0
    )
    checks.check_finite_result("photo.png", result)
    result.maps[0, 0, 0] = torch.inf
    with pytest.raises(InputError, match=r"photo\.png: the map is not finite though the network's scores are; check"):
        checks.check_finite_result("photo.png", result)
