"""``camfast explain``: networks and inputs that are at fault, and what the result says of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from camfast import models

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


def test_results_that_are_not_finite_are_refused(refused, explaining, faulty):
    assert "photo.png: the network's score of class 1 is nan" in refused(*explaining(model=faulty("nan"), layer=1))


def test_a_picture_that_is_not_finite_is_refused(refused, explaining, faulty, tmp_path):
    pixels = np.ones((4, 5), np.float32)
    pixels[1, 2] = np.nan
    Image.fromarray(pixels).save(tmp_path / "nan.tif")
    line = refused(*explaining(image=tmp_path / "nan.tif", size=None, model=faulty("network"), layer=1))
    assert "nan.tif: 3 of 60 values are not finite" in line


def test_what_a_network_raises_is_said_to_be_its_own(refused, explaining, faulty):
    line = refused(*explaining(model=faulty("failing"), layer=1))
    assert "faulty.py:failing: the network raised ValueError: one line and another for an input of 24 × 32" in line


def test_inputs_of_another_kind_than_the_networks(refused, explaining, faulty, factory, tomogram, tmp_path):
    line = refused(*explaining(image=tomogram, size=None, out=tmp_path / "cam.mrc"))
    assert "does not take an input of 20 × 24 × 28 voxels and 1 channel (" in line
    assert "does not take an input of 24 × 32 pixels" in refused(*explaining(model=faulty("solid"), layer=1))


def test_options_for_images_are_refused_for_volumes(refused, explaining, tomogram):
    assert "--size, --mean: for images only" in refused(*explaining(image=tomogram, mean="1"))


def test_an_empty_map_is_said_to_be_empty(camfast, explaining, faulty):
    ran = camfast(*explaining("--json", model=faulty("empty"), layer=1))
    facts = json.loads(ran.out)
    assert facts["empty"] is True
    assert (facts["largest"], facts["smallest"]) == (0.0, 0.0)
    assert "camfast: warning: the map is empty (0 everywhere); try --method respond" in ran.err


def test_json_names_the_class_and_nothing_else_gets_between(camfast, explaining, faulty, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    more = {"model": faulty("chatty"), "layer": 0, "labels": tmp_path / "labels.txt"}
    ran = camfast(*explaining("--json", target="dog", **more))
    facts = json.loads(ran.out)
    assert (facts["target"], facts["class"], facts["class_label"], facts["empty"]) == (1, 1, "dog", False)
    assert "the factory was here\nforward was here\n" in ran.err
    facts = json.loads(camfast(*explaining("--json", "--overwrite", target="predicted", **more)).out)
    assert facts["target"] == "predicted"
    assert facts["class"] == facts["predicted"]
    assert facts["class_label"] == facts["predicted_label"] == ("cat", "dog")[facts["predicted"]]


def test_a_class_without_a_label_is_named_once(camfast, explaining):
    line = camfast(*explaining()).out.splitlines()[0]
    assert line.count("class ") == 1


def test_a_label_of_two_classes_is_ambiguous(refused, explaining, tmp_path):
    (tmp_path / "labels.txt").write_text("crane\ndog\ncrane\n")
    line = refused(*explaining(labels=tmp_path / "labels.txt", target="crane"))
    assert "--target 'crane': names 2 classes: 0, 2" in line
    assert "names 2 classes" in refused(*explaining(labels=tmp_path / "labels.txt", target="dog,crane"))


def test_a_built_in_network_without_weights_is_untrained(camfast, explaining, photo):
    ran = camfast(*explaining("--json", model="resnet20", layer=None, size=None, target=0))
    assert ran.code == 0
    assert "camfast: warning: no --weights: the network is untrained" in ran.err
    assert json.loads(ran.out)["untrained"] is True


def test_a_network_of_ones_own_is_not_called_untrained(camfast, explaining):
    ran = camfast(*explaining("--json"))
    assert ran.err == ""
    assert "untrained" not in json.loads(ran.out)


def test_sixteen_bits_are_scaled_as_eight_are(camfast, explaining, tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (48, 80), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "eight.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    shallow, deep = (
        json.loads(camfast(*explaining("--json", "--overwrite", image=tmp_path / name)).out)["probability"]
        for name in ("eight.png", "sixteen.png")
    )
    assert deep == pytest.approx(shallow, rel=1e-3)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.convert("L").getextrema()[0] < 50
        middle = np.asarray(drawn.convert("L").crop((300, 200, 700, 500)))
    assert 50 < middle.mean() < 200  # neither all black nor all white


def test_a_grey_picture_for_a_network_of_ones_own(camfast, explaining, tmp_path):
    (tmp_path / "grey.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), *head)\n"
    )
    ran = camfast(*explaining(model=f"{tmp_path / 'grey.py'}:network", layer=1, channels="L"))
    assert (ran.code, (tmp_path / "out.png").exists()) == (0, True), ran.err


def test_other_channels_than_the_models_need_their_mean(camfast, explaining):
    ran = camfast(*explaining(model="resnet20", layer=None, size=None, channels="L"))
    assert ran.code == 2
    assert "--channels L: the model knows a mean for each of 3 channels" in ran.err


def test_messages_say_what_can_be_done_at_the_shell(refused, explaining, factory, photo, tomogram, tmp_path):
    line = refused(*explaining(layer=4))
    assert "the activation of layer '4' has the shape (1, 3)" in line
    assert line.endswith("choose an earlier layer\n")
    cam = tmp_path / "cam.mrc"
    line = refused(*explaining(image=tomogram, size=None, model=f"{factory}:segmenter", layer=1, out=cam))
    assert "--target CLASS and --region image or predicted" in line
    (tmp_path / "out.png").touch()
    assert refused(*explaining()).endswith("replace it with --overwrite\n")


@pytest.mark.parametrize("model", ["one's own", "resnet20"])
@pytest.mark.parametrize(
    ("values", "warned"),
    [
        (np.uint16([[0, 4000]]), "4000, and without --scale the network takes 65535 for white; if white is 4095"),
        (np.uint16([[0, 60000]]), None),
        (np.float32([[0, 0.5]]), "0.5, and without --scale the network takes 255 for white; if white is 1"),
        (np.float32([[0, 200]]), None),
        (np.uint8([[0, 10]]), None),
    ],
)
def test_a_camera_that_does_not_fill_its_file_is_said(camfast, explaining, factory, tmp_path, model, values, warned):
    picture = tmp_path / "camera.tif"
    Image.fromarray(np.tile(values, (24, 16))).save(picture)
    changes = {"model": model, "layer": None, "size": None} if model == "resnet20" else {"model": f"{factory}:network"}
    ran = camfast(*explaining(image=picture, **changes))
    assert ran.code == 0
    assert ("largest value" in ran.err) == (warned is not None)
    assert warned is None or warned in ran.err
    if warned is not None:
        scale = ran.err.partition("give --scale ")[2].split()[0]
        again = camfast(*explaining("--overwrite", "--scale", scale, image=picture, **changes))
        assert "largest value" not in again.err


def test_sixteen_bits_are_scaled_for_a_built_in_network_too(camfast, explaining, tmp_path):
    torch.manual_seed(0)
    save_file(models.resnet20().state_dict(), tmp_path / "resnet20.safetensors")
    grey = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "eight.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    shallow, deep = (
        json.loads(
            camfast(
                *explaining(
                    "--json",
                    "--overwrite",
                    image=tmp_path / name,
                    model="resnet20",
                    weights=tmp_path / "resnet20.safetensors",
                    layer=None,
                    size=None,
                    target=0,
                )
            ).out
        )["probability"]
        for name in ("eight.png", "sixteen.png")
    )
    assert deep == pytest.approx(shallow, rel=1e-3)


def test_of_several_pages_the_first_is_explained_and_that_is_said(camfast, explaining, tmp_path):
    pages = [Image.new("L", (32, 24), value) for value in (10, 20, 30)]
    pages[0].save(tmp_path / "series.tif", save_all=True, append_images=pages[1:])
    assert "holds 3 pages; the first is explained" in camfast(*explaining(image=tmp_path / "series.tif")).err


def test_a_layer_of_one_cell_is_said_and_not_offered(camfast, refused, explaining, tmp_path):
    (tmp_path / "pooled.py").write_text(
        "from torch import nn\n\n\ndef network():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), "
        "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    model = f"{tmp_path / 'pooled.py'}:network"
    assert refused(*explaining(model=model, layer=None)).rstrip().endswith("choose one such as 0 (Conv2d), 1 (ReLU)")
    ran = camfast(*explaining("--method", "respond", model=model, layer=2))
    assert "the map is the same everywhere, as layer '2'" in ran.err
    assert "the map is the same" not in camfast(*explaining("--overwrite", model=model, layer=1)).err
