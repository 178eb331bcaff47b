"""A provenance tells models, options and targets apart, holds what JSON can, and is the same in every run."""

import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.errors import InputError
from camfast.provenance import as_json, as_lines, from_lines, model_hash


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)).eval()


def test_all_that_made_a_map_is_there():
    model = network()
    explainer = camfast.Explainer(model, "2", "extended", sigma=(2.0, 3.0), relu=True)
    about = camfast.provenance(explainer, 3, image="cat.png")
    assert about == {
        "method": "extended",
        "layer": "2",
        "options": {"relu": True, "upsample": "gaussian", "sigma": [2.0, 3.0]},
        "target": 3,
        "model_class": "Sequential",
        "model_sha256": model_hash(model),
        "camfast": camfast.__version__,
        "torch": str(torch.__version__),
        "image": "cat.png",
    }  # fmt: skip
    assert json.loads(json.dumps(about, allow_nan=False)) == about
    assert list(about)[:4] == ["method", "layer", "options", "target"]


def test_options_that_change_the_map_change_the_provenance():
    explainer = camfast.Explainer(network(), "2", "respond")
    seen = {
        json.dumps(camfast.provenance(one, target), sort_keys=True)
        for one in (explainer, explainer.replace(relu=True), explainer.replace(size="grid"), explainer.replace(call=0),
                    explainer.replace(layer="1"), explainer.replace(output=len), explainer.replace(output=abs))
        for target in ("predicted", 1, [1, 2], camfast.Region(1, "image"), camfast.Region(1, camfast.component(0)))
    }  # fmt: skip
    assert len(seen) == 7 * 5


def test_a_model_explained_without_an_explainer():
    about = camfast.provenance(network(), 2, method="guided_backprop", rule="guided")
    assert (about["method"], about["rule"], about["target"]) == ("guided_backprop", "guided", 2)
    assert "layer" not in about


def test_the_hash_is_that_of_the_content():
    """Written out by hand from what the docstring promises."""
    model = nn.Linear(2, 1)
    digest = hashlib.sha256(b'["", "Linear"]\n')
    for name, shape in (("bias", "1"), ("weight", "1, 2")):
        digest.update(f'["{name}", "torch.float32", {shape}]\n'.encode())
        digest.update(getattr(model, name).detach().numpy().tobytes())
    assert model_hash(model) == digest.hexdigest()


def test_the_hash_sees_every_change_and_nothing_else():
    model = network()
    before = model_hash(model)
    assert before == model_hash(network()) == model_hash(model)
    assert before != model_hash(network(1))
    assert before != model_hash(nn.Sequential(*list(model)[:2], nn.GELU(), *list(model)[3:]))
    assert before != model_hash(network().double())
    model[1].running_mean[2] += 1e-6  # a buffer
    changed = model_hash(model)
    assert changed != before
    with torch.no_grad():
        model[4].bias[0].neg_()
    assert model_hash(model) not in (before, changed)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, on the first compile
def test_wrappers_play_no_part():
    model = network()
    before = model_hash(model)
    assert model_hash(nn.DataParallel(model)) == before
    assert model_hash(torch.compile(model, backend="eager")) == before
    model[0] = torch.compile(model[0], backend="eager")
    assert model_hash(model) == before


def test_the_hash_takes_every_kind_of_tensor():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scalar", torch.tensor(3))
            self.register_buffer("nothing", torch.zeros(0, 2))
            self.register_buffer("short", torch.ones(3, dtype=torch.bfloat16))
            self.register_buffer("flags", torch.tensor([True, False]))
            self.register_buffer("waves", torch.ones(2, dtype=torch.complex64).conj())
            self.register_buffer("across", torch.arange(6.0).reshape(2, 3).t())

        def get_extra_state(self):
            return {"steps": 3}

        def set_extra_state(self, state):
            pass

    straight, other = Odd(), Odd()
    straight.across = straight.across.contiguous()
    assert model_hash(straight) == model_hash(Odd())
    other.across = torch.arange(6.0).reshape(3, 2)  # the same bytes in memory, other values
    assert model_hash(other) != model_hash(Odd())


def test_a_model_without_values_is_refused():
    with pytest.raises(InputError, match=r"weight holds no values, as it is on the meta device"):
        model_hash(nn.Linear(2, 1, bias=False, device="meta"))


def test_the_provenance_is_the_same_in_another_process():
    code = (
        "import torch, json, camfast\n"
        "torch.manual_seed(0)\n"
        "model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())\n"
        "explainer = camfast.Explainer(model, '1', 'respond', output=torch.relu)\n"
        "print(json.dumps(camfast.provenance(explainer, lambda y: y[:, 0])))\n"
    )
    root = Path(__file__).resolve().parents[1]
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert json.loads(runs[0])["target"] == "__main__.<lambda>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (torch.tensor(2.5), 2.5),
        ((slice(1, 4), 2), [{"type": "slice", "start": 1, "stop": 4, "step": None}, 2]),
        (Path("a") / "b", "a/b"),
        (torch.float16, "torch.float16"),
        (camfast.Region(1, camfast.component(-1)),
         {"type": "Region", "class_index": 1, "where": {"type": "Component", "index": -1}}),
        (functools.partial(len), "functools.partial"),
        (as_json, "camfast.provenance.as_json"),
        (nn.Sequential(nn.ReLU()), "torch.nn.modules.container.Sequential"),
        ({1: {2.0}}, {"1": "builtins.set"}),
    ],
)  # fmt: skip
def test_values_become_what_json_can_hold(value, expected):
    assert as_json(value) == expected
    json.dumps(as_json(value), allow_nan=False)


def test_a_large_mask_stands_by_its_fingerprint():
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[2, 3] = True
    expected = hashlib.sha256(mask.numpy().tobytes()).hexdigest()
    found = as_json(camfast.Region(0, mask))["where"]
    assert found == {"type": "tensor", "dtype": "torch.bool", "shape": [9, 9], "sha256": expected}
    assert as_json(mask.numpy()) == found


def test_lines_of_a_header_are_read_back():
    about = {
        "method": "respond", "layer": "features.9", "target": 3, "label": "8", "window": [40, 40, 40],
        "options": {"relu": False, "sigma": 2.5}, "invert": True, "normalize": None, "note": "a: b", "blend": "mean",
    }  # fmt: skip
    for count in (10, 7, 5):
        lines = as_lines(about, count, 80)
        assert len(lines) == min(count, len(about))
        assert max(map(len, lines)) <= 80
        assert from_lines(lines) == about
    assert as_lines(about, 10, 80)[:3] == ["method: respond", "layer: features.9", "target: 3"]


def test_what_has_no_room_is_cut_from_the_end():
    about = {"method": "respond", "a": "x" * 100, "b": "y" * 60, "c": "z" * 60}
    assert from_lines(as_lines(about, 3, 80)) == {"method": "respond", "a": "x" * 77, "b": "y" * 60}
