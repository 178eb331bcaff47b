"""``camfast explain``: a photograph, a volume, and what a person gets wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import camfast as package
from camfast import models
from camfast.scan import read_volume

FACTORY = """
import torch
from torch import nn


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 6 * 8, 3)
    )


def segmenter():
    torch.manual_seed(26)  # of the tomogram each class gets a part
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1))
"""


@pytest.fixture
def factory(tmp_path) -> Path:
    path = tmp_path / "network.py"
    path.write_text(FACTORY)
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def command(photo, factory, tmp_path):
    def arguments(*more, image=photo, **changes):
        options = {"model": f"{factory}:network", "layer": 2, "target": 1, "size": "24,32", "out": tmp_path / "out.png"}
        options.update(changes)
        pairs = [(f"--{name}", value) for name, value in options.items() if value is not None]
        return ["explain", image, *(part for pair in pairs for part in pair), *more]

    return arguments


def test_a_photograph(camfast, command, photo, factory, tmp_path):
    ran = camfast(*command("--json", "--method", "respond", "--mean", "0.5", "--std", "0.2,0.3,0.4"))
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    network = models.load(f"{factory}:network").module
    with Image.open(photo) as image:
        inputs = package.models.Preprocess((24, 32), mean=(0.5,), std=(0.2, 0.3, 0.4))(image)
    maps = package.cam(network, inputs, "2", 1, method="respond", size=(48, 80))
    assert facts["largest"] == pytest.approx(float(maps.max()), rel=1e-6)
    assert facts["smallest"] == pytest.approx(float(maps.min()), rel=1e-6)
    scores = network(inputs).detach().softmax(1)[0]
    assert facts["predicted"] == int(scores.argmax())
    assert facts["probability"] == pytest.approx(float(scores.max()), rel=1e-5)
    with Image.open(tmp_path / "out.png") as picture:
        assert json.loads(picture.text["Description"])["method"] == "respond"


def test_what_is_printed(camfast, command, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    ran = camfast(*command(labels=tmp_path / "labels.txt", target="dog"))
    first, second = ran.out.splitlines()
    assert first.startswith("predicted: ")
    assert "probability 0." in first
    assert second.startswith(f"{tmp_path / 'out.png'}: gradcam: dog, values from ")


def test_gaussians_have_the_size_given_for_the_network(camfast, command, photo, factory):
    facts = json.loads(camfast(*command("--json", "--sigma", "3")).out)
    network = models.load(f"{factory}:network").module
    with Image.open(photo) as image:
        inputs = package.models.Preprocess((24, 32))(image)
    maps = package.cam(network, inputs, "2", 1, upsample="gaussian", sigma=(6.0, 7.5), size=(48, 80))
    assert facts["largest"] == pytest.approx(float(maps.max()), rel=1e-5)


@pytest.mark.parametrize("ending", [".mrc", ".zarr", ".png"])
def test_a_volume(camfast, tomogram, weights, tmp_path, ending):
    volume = read_volume(tomogram)
    crop = tmp_path / "crop.mrc"
    from camfast.scan import Volume, write_volumes

    values = np.asarray(volume.data)[:16, :16, :16]
    write_volumes(crop, [values], Volume(values, (10.0, 10.0, 10.0)))
    out = tmp_path / f"cam{ending}"
    ran = camfast("explain", crop, "--model", "cnn2", "--weights", weights, "--target", "ring", "--method", "respond",
                  "-o", out, "--json")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    inputs = torch.from_numpy((values - values.mean()) / values.std())[None, None]
    expected = package.cam(models.load("cnn2", weights).module, inputs, "maxpool2", 2, method="respond")[0]
    assert json.loads(ran.out)["largest"] == pytest.approx(float(expected.max()), rel=1e-4)
    if ending != ".png":
        cam = read_volume(out)
        np.testing.assert_allclose(cam.data[...], expected, rtol=1e-3, atol=1e-6 * float(expected.abs().max()))
        assert cam.voxel_angstrom == (10.0, 10.0, 10.0)


def test_a_region_of_a_segmentation(camfast, tomogram, factory, tmp_path):
    ran = camfast("explain", tomogram, "--model", f"{factory}:segmenter", "--layer", "1", "--target", "2",
                  "--region", "predicted", "--normalize", "minmax", "-o", tmp_path / "cam.mrc", "--quiet")  # fmt: skip
    assert (ran.err, ran.out, ran.code) == ("", "", 0)
    values = np.asarray(read_volume(tomogram).data)
    inputs = torch.from_numpy((values - values.min()) / (values.max() - values.min()))[None, None]
    network = models.load(f"{factory}:segmenter").module
    expected = package.cam(network, inputs, "1", [package.Region(2, "predicted")])[0, 0]
    np.testing.assert_allclose(
        read_volume(tmp_path / "cam.mrc").data, expected, rtol=1e-3, atol=1e-5 * float(expected.max())
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "none.png"}, ["none.png: no such file"]),
        ({"image": "none.mrc", "size": None}, ["none.mrc: no such file"]),
        ({"layer": 7}, ["'7'"]),
        ({"layer": None}, ["--layer is missing"]),
        ({"target": 3}, ["3"]),
        ({"target": "cat"}, ["--labels"]),
        ({"target": "all"}, ["one map"]),
        ({"size": "0"}, ["size"]),
        ({"size": "large"}, ["--size"]),
        ({"mean": "1,2"}, ["mean"]),
        ({"channels": "CMYK"}, ["--channels"]),
        ({"out": "out.tif"}, ["out.tif", ".png"]),
        ({"out": "none/out.png"}, ["does not exist"]),
        ({"region": "image", "target": "predicted"}, ["--region needs one class"]),
    ],
)
def test_what_a_person_got_wrong_is_one_line(refused, command, changes, says):
    line = refused(*command(**changes))
    assert all(part in line for part in says), line


def test_a_file_that_is_no_image(refused, command, factory):
    assert "network.py: cannot be read as an image" in refused(*command(image=factory))


@pytest.mark.realdata
def test_squeezenet_sees_the_tiger_cat(camfast, data_dir, tmp_path):
    folder = data_dir / "imagenet"
    ran = camfast("explain", folder / "both.png", "--model", "squeezenet1_0", "--weights",
                  folder / "squeezenet1_0.safetensors", "--labels", folder / "imagenet_labels.txt",
                  "--target", "tiger cat", "--method", "respond", "-o", tmp_path / "out.png", "--json")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    assert (facts["predicted"], facts["label"]) == (292, "tiger, Panthera tigris")  # 292: "background" is no class
    assert facts["probability"] == pytest.approx(0.40, abs=0.005)


def test_labels_have_to_be_as_many_as_classes(camfast, refused, command, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\nfish\n")
    assert "labels.txt: names 4 classes and the network has 3" in refused(*command(labels=tmp_path / "labels.txt"))
    (tmp_path / "labels.txt").write_text("background\ncat, pussycat\ndog, cat\nbird\n")
    line = camfast(*command(labels=tmp_path / "labels.txt", target="pussycat")).out.splitlines()[1]
    assert "gradcam: cat, pussycat, values" in line
    (tmp_path / "out.png").unlink()
    assert "neither a class index nor a label" in refused(*command(labels=tmp_path / "labels.txt", target="cat"))


def test_what_is_explained_is_never_overwritten(refused, command, photo, tomogram, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    for image, out in ((photo, photo), (tmp_path / "link.png", photo), (photo, tmp_path / "link.png")):
        before = photo.read_bytes()
        assert "is the image that is explained" in refused(*command("--overwrite", image=image, out=out))
        assert photo.read_bytes() == before
    line = refused(*command("--overwrite", image=tomogram, out=tomogram, size=None))
    assert "is the image that is explained" in line
