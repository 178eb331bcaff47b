"""Finding layers by name or by module, and what is said about those that aren't there."""

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import camfast
from camfast import layers
from camfast.models import resnet20


def _named() -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), nn.ReLU(), nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["", "0", "0.1", "2"])
def test_a_name_and_its_module_are_one_layer(name: str) -> None:
    model = _named()
    module = model.get_submodule(name)
    assert layers.find(model, name) == (name, module)
    assert layers.find(model, module) == (name, module)
    assert camfast.Explainer(model, module).layer == name


def test_every_name_of_a_network() -> None:
    model = resnet20()
    for name, module in model.named_modules():
        assert layers.find(model, name) == (name, module)
        enclosing = [model.get_submodule(name.rpartition(".")[0])] if "." in name else []
        assert layers.ancestors(model, name)[-1:] == enclosing
        assert len(layers.ancestors(model, name)) == name.count(".")


def test_wrappers_of_checkpoints_play_no_part_in_names() -> None:
    model = _named()
    model[0] = checkpoint_wrapper(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    inner = model[0]._checkpoint_wrapped_module
    for name, given in (
        ("0", (model[0], inner, "0", "0._checkpoint_wrapped_module")),
        ("0.1", (inner[1], "0.1", "0._checkpoint_wrapped_module.1")),
    ):
        assert [camfast.Explainer(model, layer).layer for layer in given] == [name] * len(given)


def test_close_names_are_offered() -> None:
    model = nn.ModuleDict({"features": nn.Sequential(nn.ReLU(), nn.ReLU()), "classifier": nn.ReLU()})
    with pytest.raises(ValueError, match=r"no layer 'feature\.1'; did you mean 'features\.1'"):
        camfast.Explainer(model, "feature.1")
    with pytest.raises(ValueError, match=r"no layer 'zzz'; did you mean 'features\.0' or 'features\.1' or"):
        camfast.Explainer(model, "zzz")
    for name in ("features.", ".features", "features..0", "training", "features.training", "features.forward"):
        with pytest.raises(ValueError, match="the model has no layer"):
            camfast.Explainer(model, name)
    with pytest.raises(ValueError, match="no layer '0'; it has none; '' is the model itself"):
        camfast.Explainer(nn.ReLU(), "0")


def test_a_module_of_another_model() -> None:
    with pytest.raises(ValueError, match="layer is a ReLU that is not part of the model: give its dotted name"):
        camfast.Explainer(_named(), nn.ReLU())


@pytest.mark.parametrize("layer", [3, None, torch.zeros(1)])
def test_what_is_no_layer(layer: object) -> None:
    with pytest.raises(TypeError, match=f"layer must be a dotted name.*found {type(layer).__name__}"):
        camfast.Explainer(_named(), layer)  # type: ignore[arg-type]


def test_several_layers() -> None:
    model = _named()
    assert camfast.Explainer(model, ("1", model[0])).layer == ("1", "0")
    with pytest.raises(ValueError, match=r"layer must name at least one layer, each once; found \(\)"):
        camfast.Explainer(model, [])
    with pytest.raises(ValueError, match=r"each once; found \('1', '1'\)"):
        camfast.Explainer(model, ["1", model[1]])
    with pytest.raises(TypeError, match="layer must be a dotted name"):
        camfast.Explainer(model, ["1", 2])  # type: ignore[list-item]
