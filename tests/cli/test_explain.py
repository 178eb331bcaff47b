"""``camfast explain``: a photograph, a volume, and what a person gets wrong."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import camfast as package
from camfast import models
from camfast.scan import read_volume


def test_a_photograph(camfast, explaining, photo, factory, tmp_path):
    ran = camfast(*explaining("--json", "--method", "respond", "--mean", "0.5", "--std", "0.2,0.3,0.4"))
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
    about = package.read_provenance(tmp_path / "out.png")
    explainer = package.Explainer(network, "2", "respond", size=(48, 80))
    expected = package.provenance(explainer, 1, model="network.py:network", image=str(photo))
    assert {name: about.get(name) for name in expected} == expected
    assert about["largest"] == facts["largest"]


def test_what_is_printed(camfast, explaining, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    ran = camfast(*explaining(labels=tmp_path / "labels.txt", target="dog"))
    first, second = ran.out.splitlines()
    assert first.startswith("predicted: ")
    assert "probability 0." in first
    assert second.startswith(f"{tmp_path / 'out.png'}: gradcam: dog, values from ")


def test_gaussians_have_the_size_given_for_the_network(camfast, explaining, photo, factory):
    facts = json.loads(camfast(*explaining("--json", "--upsample", "gaussian", "--sigma", "3")).out)
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
    about = package.read_provenance(out)
    explained = package.Explainer(models.load("cnn2", weights).module, "maxpool2", "respond")
    facts = package.provenance(explained, 2)
    assert {name: about.get(name) for name in facts} == facts
    assert about["weights"].startswith("small.safetensors sha256:")
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
    where = package.read_provenance(tmp_path / "cam.mrc")["target"]
    assert where == {"type": "Region", "class_index": 2, "where": "predicted"}
    np.testing.assert_allclose(
        read_volume(tmp_path / "cam.mrc").data, expected, rtol=1e-3, atol=1e-5 * float(expected.max())
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "none.png"}, ["none.png: no such file"]),
        ({"image": "none.mrc", "size": None}, ["none.mrc: no such file"]),
        ({"layer": 7}, ["'7'"]),
        ({"layer": None}, ["--layer is missing", "0 (Conv2d), 1 (ReLU), 2 (MaxPool2d)"]),
        ({"layer": "nowhere"}, ["--layer 'nowhere'", "2 (MaxPool2d)"]),
        ({"target": 3}, ["3"]),
        ({"target": "cat"}, ["--labels"]),
        ({"target": "all"}, ["one map"]),
        ({"size": "0"}, ["--size", "'0'", "from 1 to 8192"]),
        ({"size": "large"}, ["--size", "height,width"]),
        ({"size": "100000"}, ["--size", "8192"]),
        ({"sigma": "4"}, ["--sigma", "--upsample gaussian"]),
        ({"upsample": "gaussian"}, ["--upsample gaussian needs --sigma"]),
        ({"method": "extended"}, ["--method extended needs --sigma"]),
        ({"upsample": "gaussian", "sigma": "1,2,3"}, ["--sigma gives 3 numbers", "2 axes"]),
        ({"upsample": "gaussian", "sigma": "-1"}, ["--sigma must be positive"]),
        ({"scale": "nan"}, ["--scale", "finite"]),
        ({"mean": "nan"}, ["--mean", "finite"]),
        ({"std": "1,inf,1"}, ["--std", "finite"]),
        ({"normalize": "none"}, ["--normalize: for volumes only"]),
        ({"mean": "1,2"}, ["mean"]),
        ({"size": "1"}, ["network.py:network", "does not take an input of 1 × 1 pixels and 3 channels", "--size"]),
        ({"size": "32"}, ["does not take an input of 32 × 32 pixels"]),
        ({"channels": "CMYK"}, ["--channels"]),
        ({"out": "out.tif"}, ["out.tif", ".png"]),
        ({"out": "none/out.png"}, ["does not exist"]),
        ({"region": "image", "target": "predicted"}, ["--region needs one class"]),
    ],
)
def test_what_a_person_got_wrong_is_one_line(refused, explaining, changes, says):
    line = refused(*explaining(**changes))
    assert all(part in line for part in says), line


def test_a_file_that_is_no_image(refused, explaining, factory):
    assert "network.py: cannot be read as an image" in refused(*explaining(image=factory))


@pytest.mark.realdata
def test_squeezenet_sees_the_tiger_cat(camfast, data_dir, tmp_path):
    folder = data_dir / "imagenet"
    ran = camfast("explain", folder / "both.png", "--model", "squeezenet1_0", "--weights",
                  folder / "squeezenet1_0.safetensors", "--labels", folder / "imagenet_labels.txt",
                  "--target", "tiger cat", "--method", "respond", "-o", tmp_path / "out.png", "--json")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    assert facts["predicted"] == 292  # not 293: "background" is no class
    assert facts["predicted_label"] == "tiger, Panthera tigris"
    assert facts["probability"] == pytest.approx(0.40, abs=0.005)


def test_labels_have_to_be_as_many_as_classes(camfast, refused, explaining, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\nfish\n")
    assert "labels.txt: names 4 classes and the network has 3" in refused(*explaining(labels=tmp_path / "labels.txt"))
    (tmp_path / "labels.txt").write_text("background\ncat, pussycat\ndog, cat\nbird\n")
    line = camfast(*explaining(labels=tmp_path / "labels.txt", target="pussycat")).out.splitlines()[1]
    assert "gradcam: cat, pussycat, values" in line
    (tmp_path / "out.png").unlink()
    assert "'cat': names 2 classes: 0, 1" in refused(*explaining(labels=tmp_path / "labels.txt", target="cat"))


def test_what_is_explained_is_never_overwritten(refused, explaining, photo, tomogram, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    for image, out in ((photo, photo), (tmp_path / "link.png", photo), (photo, tmp_path / "link.png")):
        before = photo.read_bytes()
        assert "is the image that is explained" in refused(*explaining("--overwrite", image=image, out=out))
        assert photo.read_bytes() == before
    line = refused(*explaining("--overwrite", image=tomogram, out=tomogram, size=None))
    assert "is the image that is explained" in line
