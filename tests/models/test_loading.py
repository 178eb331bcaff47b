import json

import pytest
import torch
from torch import nn

from camfast.errors import InputError
from camfast.models import Loaded, Preprocess, cnn1, cnn2, load, meshnet, names, resnet20, save_weights, unet

BUILT = {
    "cnn1": lambda: cnn1(classes=4, width=3, hidden=6, side=12),
    "cnn2": lambda: cnn2(classes=4, width=3, hidden=6, side=24),
    "meshnet": lambda: meshnet(channels=4, classes=2),
    "resnet20": lambda: resnet20(classes=10),
    "unet": lambda: unet(3, channels=2, classes=5, width=4, depth=2),
}


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_built_in_networks_come_back_from_their_weights_alone(tmp_path, name, suffix):
    module = BUILT[name]().eval()
    path = tmp_path / f"w{suffix}"
    save_weights(path, module) if suffix == ".safetensors" else torch.save(module.state_dict(), path)
    before = torch.random.get_rng_state()
    loaded = load(name, path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not loaded.module.training
    assert [p.requires_grad for p in loaded.module.parameters()] == [True] * len(list(module.parameters()))
    inputs = {"resnet20": (1, 3, 32, 32), "unet": (1, 2, 8, 8, 8), "cnn2": (1, 1, 24, 24, 24)}
    batch = torch.randn(inputs.get(name, (1, 1, 12, 12, 12)))
    assert torch.equal(loaded.module(batch), module(batch))
    assert loaded.module.get_submodule(loaded.layer) is not None


def test_the_metadata_of_the_weights_is_what_is_known(tmp_path):
    save_weights(
        tmp_path / "w.safetensors",
        resnet20(2),
        arguments={"classes": 2},
        preprocess={"size": [8, 9], "channels": "BGR", "std": 2},
        labels=["cat", "dog"],
        layer="layer2",
        voxel_angstrom=13,
        normalization={"kind": "tomogram"},
    )
    loaded = load("resnet20", tmp_path / "w.safetensors")
    assert loaded.preprocess == Preprocess((8, 9), "BGR", std=2.0)
    assert (loaded.labels, loaded.layer, loaded.voxel_angstrom) == (("cat", "dog"), "layer2", 13.0)
    assert loaded.metadata["normalization"] == {"kind": "tomogram"}


def test_without_weights_a_built_in_network_is_drawn_from_torchs_generator():
    torch.manual_seed(3)
    first = load("resnet20").module.state_dict()
    torch.manual_seed(3)
    second = load("resnet20").module.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert load("resnet20").labels[3] == "cat"


def test_half_precision_weights_are_brought_to_the_networks_dtype(tmp_path):
    save_weights(tmp_path / "w.safetensors", BUILT["cnn1"]().half())
    assert {p.dtype for p in load("cnn1", tmp_path / "w.safetensors").module.parameters()} == {torch.float32}


def test_weights_that_do_not_fit_name_the_file_and_the_first_keys(tmp_path):
    state = BUILT["cnn1"]().state_dict()
    state["extra"] = state.pop("conv2.bias")
    state["fc3.bias"] = torch.zeros(9)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError) as caught:
        load("cnn1", tmp_path / "w.pt")
    message = str(caught.value)
    assert "w.pt: the weights do not fit the model" in message
    for part in ("1 missing: conv2.bias", "1 unexpected: extra", "1 of another shape: fc3.bias (9,) instead of (4,)"):
        assert part in message
    torch.save(BUILT["unet"]().state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"14 missing: conv1\.weight, conv1\.bias, conv2\.weight, \.\.\."):
        load("cnn1", tmp_path / "other.pt")


@pytest.mark.parametrize("arguments", [{"side": 13}, {"colour": "red"}, {"width": "wide"}, {"hidden": -3}])
def test_arguments_that_build_nothing_are_told(tmp_path, arguments):
    save_weights(tmp_path / "w.safetensors", BUILT["cnn1"](), arguments=arguments)
    with pytest.raises(InputError, match=r"w\.safetensors: cannot build cnn1 from"):
        load("cnn1", tmp_path / "w.safetensors")


def test_arguments_of_a_giant_are_refused_before_anything_is_allocated(tmp_path):
    save_weights(tmp_path / "w.safetensors", BUILT["cnn1"](), arguments={"hidden": 10**6, "width": 10**4})
    with pytest.raises(InputError, match="do not fit"):
        load("cnn1", tmp_path / "w.safetensors")


def test_meshnet_reads_the_list_of_layers_beside_its_weights(tmp_path):
    torch.save(meshnet(3, 2, "relu").state_dict(), tmp_path / "m.pt")
    layers = [{"op": "conv3d", "kernel": [1] * 3, "dilation": [1] * 3}]
    for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1):
        layers[-1:-1] = [{"op": "conv3d", "kernel": [3] * 3, "dilation": [dilation] * 3}, {"op": "relu"}]
    (tmp_path / "m.json").write_text(json.dumps(layers))
    assert isinstance(load("meshnet", tmp_path / "m.pt").module.activation4, nn.ReLU)
    (tmp_path / "m.json").write_text("[{")
    with pytest.raises(InputError, match=r"m\.json: not a JSON list"):
        load("meshnet", tmp_path / "m.pt")
    (tmp_path / "m.json").unlink()
    assert isinstance(load("meshnet", tmp_path / "m.pt").module.activation4, nn.ELU)


FACTORIES = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import torch
from camfast.models import Loaded, Preprocess

def plain(classes=2):
    return torch.nn.Sequential(torch.nn.Conv2d(1, classes, 1), torch.nn.Dropout())

def full():
    return Loaded(plain(3), Preprocess(channels="L"), ("a", "b", "c"), "0")

@dataclass
class Options:
    shared: ClassVar[int] = 2

def wrong():
    return 3

def broken():
    raise KeyError("mine")

constant = 4
"""


@pytest.fixture
def factories(tmp_path):
    (tmp_path / "nets.py").write_text(FACTORIES)
    return tmp_path / "nets.py"


def test_a_factory_of_ones_own_is_found_in_a_file_or_a_package(factories, monkeypatch):
    loaded = load(f"{factories}:plain")
    assert isinstance(loaded.module, nn.Sequential)
    assert not loaded.module.training
    assert load(f"{factories}:full").labels == ("a", "b", "c")
    monkeypatch.syspath_prepend(factories.parent)
    assert load("nets:full").preprocess == Preprocess(channels="L")


def test_weights_and_their_arguments_reach_a_factory_of_ones_own(factories):
    path = factories.parent / "w.safetensors"
    module = load(f"{factories}:plain").module
    save_weights(path, nn.Sequential(nn.Conv2d(1, 5, 1)), arguments={"classes": 5}, labels=["x"], layer="0")
    loaded = load(f"{factories}:plain", path)
    assert isinstance(loaded, Loaded)
    assert (loaded.module[0].out_channels, loaded.labels, loaded.layer) == (5, ("x",), "0")
    save_weights(path, module)
    with pytest.raises(InputError, match=r"w\.safetensors: .* of another shape: 0\.weight"):
        load(f"{factories}:full", path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cnn3", r"unknown model 'cnn3' \(did you mean 'cnn2'\?\); known are cnn1, .*package\.module:factory"),
        ("", "unknown model ''"),
        ("{folder}/none.py:plain", r"none\.py: no such Python file"),
        ("no.such.package:plain", r"cannot import 'no\.such\.package'"),
        ("{file}:missing", "has no function 'missing'"),
        ("{file}:constant", "has no function 'constant'"),
        ("{file}:wrong", "returned a int, expected a torch.nn.Module"),
        (":plain", "unknown model ':plain'"),
    ],
)
def test_specs_that_lead_nowhere_are_told(factories, spec, message):
    with pytest.raises(InputError, match=message):
        load(spec.format(folder=factories.parent, file=factories))


def test_an_error_of_ones_own_factory_is_not_hidden(factories):
    with pytest.raises(InputError, match="broken raised KeyError: 'mine'") as caught:
        load(f"{factories}:broken")
    assert isinstance(caught.value.__cause__, KeyError)  # so that a traceback shows the line


def test_names_are_what_load_takes():
    assert {"cnn1", "cnn2", "meshnet", "resnet20", "squeezenet1_0", "subtomogram_demo", "unet"} == set(names())


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def make(:", "net.py raised SyntaxError: "),
        ("1 / 0", "net.py raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(0)", "net.py raised SystemExit: 0"),
        ("def make():\n    raise KeyError('width')", "net.py:make raised KeyError: 'width'"),
        (
            "def make():\n    raise ValueError('line one\\nand two')",
            "net.py:make raised ValueError: line one and two",
        ),
        ("def make(width):\n    pass", "net.py:make raised TypeError: .* 'width'"),
        ("import sys\ndef make():\n    sys.exit(0)", "net.py:make raised SystemExit: 0"),
    ],
)
def test_what_a_persons_code_raises_is_said_with_its_name(tmp_path, code, says):
    (tmp_path / "net.py").write_text(code)
    with pytest.raises(InputError, match=says) as caught:
        load(f"{tmp_path / 'net.py'}:make")
    assert "\n" not in str(caught.value)


def test_an_input_error_of_the_factory_comes_through(tmp_path):
    (tmp_path / "net.py").write_text("import camfast\ndef make():\n    raise camfast.InputError('only this')")
    with pytest.raises(InputError, match=r"^only this$"):
        load(f"{tmp_path / 'net.py'}:make")


def test_a_folder_of_weights_is_called_one(tmp_path):
    with pytest.raises(InputError, match="is a folder, expected a file of weights"):
        load("resnet20", tmp_path)
