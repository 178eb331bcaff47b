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
    facts = json.loads(camfast(*command("--json", "--upsample", "gaussian", "--sigma", "3")).out)
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
    assert facts["predicted"] == 292  # not 293: "background" is no class
    assert facts["predicted_label"] == "tiger, Panthera tigris"
    assert facts["probability"] == pytest.approx(0.40, abs=0.005)


def test_labels_have_to_be_as_many_as_classes(camfast, refused, command, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\nfish\n")
    assert "labels.txt: names 4 classes and the network has 3" in refused(*command(labels=tmp_path / "labels.txt"))
    (tmp_path / "labels.txt").write_text("background\ncat, pussycat\ndog, cat\nbird\n")
    line = camfast(*command(labels=tmp_path / "labels.txt", target="pussycat")).out.splitlines()[1]
    assert "gradcam: cat, pussycat, values" in line
    (tmp_path / "out.png").unlink()
    assert "'cat': names 2 classes: 0, 1" in refused(*command(labels=tmp_path / "labels.txt", target="cat"))


def test_what_is_explained_is_never_overwritten(refused, command, photo, tomogram, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    for image, out in ((photo, photo), (tmp_path / "link.png", photo), (photo, tmp_path / "link.png")):
        before = photo.read_bytes()
        assert "is the image that is explained" in refused(*command("--overwrite", image=image, out=out))
        assert photo.read_bytes() == before
    line = refused(*command("--overwrite", image=tomogram, out=tomogram, size=None))
    assert "is the image that is explained" in line


FAULTY = """
import torch
from torch import nn


class Network(nn.Sequential):
    def forward(self, x):
        if ERROR is not None:
            raise ERROR
        if CHATTY:
            print("forward was here")
        return super().forward(x)


ERROR, CHATTY = None, False


def network():
    return Network(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def nan():
    made = network()
    made[-1].weight.data[1] = torch.nan
    return made


def empty():
    made = network()
    made[0].bias.data.fill_(-1e3)
    return made


def chatty():
    global CHATTY
    CHATTY = True
    print("the factory was here")
    return network()


def failing():
    global ERROR
    ERROR = ValueError("one line\\n  and another")
    return network()


def solid():
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture
def faulty(tmp_path):
    (tmp_path / "faulty.py").write_text(FAULTY)
    return lambda name: f"{tmp_path / 'faulty.py'}:{name}"


def test_results_that_are_not_finite_are_refused(refused, command, faulty):
    assert "photo.png: the network's score of class 1 is nan" in refused(*command(model=faulty("nan"), layer=1))


def test_a_picture_that_is_not_finite_is_refused(refused, command, faulty, tmp_path):
    pixels = np.ones((4, 5), np.float32)
    pixels[1, 2] = np.nan
    Image.fromarray(pixels).save(tmp_path / "nan.tif")
    line = refused(*command(image=tmp_path / "nan.tif", size=None, model=faulty("network"), layer=1))
    assert "nan.tif: 3 of 60 values are not finite" in line


def test_what_a_network_raises_is_said_to_be_its_own(refused, command, faulty):
    line = refused(*command(model=faulty("failing"), layer=1))
    assert "faulty.py:failing: the network raised ValueError: one line and another for an input of 24 × 32" in line


def test_inputs_of_another_kind_than_the_networks(refused, command, faulty, factory, tomogram, tmp_path):
    line = refused(*command(image=tomogram, size=None, out=tmp_path / "cam.mrc"))
    assert "does not take an input of 20 × 24 × 28 voxels and 1 channel (" in line
    assert "does not take an input of 24 × 32 pixels" in refused(*command(model=faulty("solid"), layer=1))


def test_options_for_images_are_refused_for_volumes(refused, command, tomogram):
    assert "--size, --mean: for images only" in refused(*command(image=tomogram, mean="1"))


def test_an_empty_map_is_said_to_be_empty(camfast, command, faulty):
    ran = camfast(*command("--json", model=faulty("empty"), layer=1))
    facts = json.loads(ran.out)
    assert facts["empty"] is True
    assert (facts["largest"], facts["smallest"]) == (0.0, 0.0)
    assert "camfast: warning: the map is empty (0 everywhere); try --method respond" in ran.err


def test_json_names_the_class_and_nothing_else_gets_between(camfast, command, faulty, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    more = {"model": faulty("chatty"), "layer": 0, "labels": tmp_path / "labels.txt"}
    ran = camfast(*command("--json", target="dog", **more))
    facts = json.loads(ran.out)
    assert (facts["target"], facts["class"], facts["class_label"], facts["empty"]) == (1, 1, "dog", False)
    assert "the factory was here\nforward was here\n" in ran.err
    facts = json.loads(camfast(*command("--json", "--overwrite", target="predicted", **more)).out)
    assert facts["target"] == "predicted"
    assert facts["class"] == facts["predicted"]
    assert facts["class_label"] == facts["predicted_label"] == ("cat", "dog")[facts["predicted"]]


def test_a_class_without_a_label_is_named_once(camfast, command):
    line = camfast(*command()).out.splitlines()[0]
    assert line.count("class ") == 1


def test_a_label_of_two_classes_is_ambiguous(refused, command, tmp_path):
    (tmp_path / "labels.txt").write_text("crane\ndog\ncrane\n")
    line = refused(*command(labels=tmp_path / "labels.txt", target="crane"))
    assert "--target 'crane': names 2 classes: 0, 2" in line
    assert "names 2 classes" in refused(*command(labels=tmp_path / "labels.txt", target="dog,crane"))


def test_a_built_in_network_without_weights_is_untrained(camfast, command, photo):
    ran = camfast(*command("--json", model="resnet20", layer=None, size=None, target=0))
    assert ran.code == 0
    assert "camfast: warning: no --weights: the network is untrained" in ran.err
    assert json.loads(ran.out)["untrained"] is True


def test_a_network_of_ones_own_is_not_called_untrained(camfast, command):
    ran = camfast(*command("--json"))
    assert ran.err == ""
    assert "untrained" not in json.loads(ran.out)


def test_sixteen_bits_are_scaled_as_eight_are(camfast, command, tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (48, 80), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "eight.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    shallow, deep = (
        json.loads(camfast(*command("--json", "--overwrite", image=tmp_path / name)).out)["probability"]
        for name in ("eight.png", "sixteen.png")
    )
    assert deep == pytest.approx(shallow, rel=1e-3)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.convert("L").getextrema()[0] < 50
        middle = np.asarray(drawn.convert("L").crop((300, 200, 700, 500)))
    assert 50 < middle.mean() < 200  # neither all black nor all white


def test_other_channels_than_the_models_need_their_mean(camfast, command):
    ran = camfast(*command(model="resnet20", layer=None, size=None, channels="L"))
    assert ran.code == 2
    assert "--channels L: the model knows a mean for each of 3 channels" in ran.err


def test_messages_say_what_can_be_done_at_the_shell(refused, command, factory, photo, tomogram, tmp_path):
    line = refused(*command(layer=4))
    assert "the activation of layer '4' has the shape (1, 3)" in line
    assert line.endswith("choose an earlier layer\n")
    line = refused(*command(image=tomogram, size=None, model=f"{factory}:segmenter", layer=1, out=tmp_path / "cam.mrc"))
    assert "--target CLASS and --region image or predicted" in line
    (tmp_path / "out.png").touch()
    assert refused(*command()).endswith("replace it with --overwrite\n")
