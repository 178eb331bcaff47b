import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from camfast.errors import InputError
from camfast.models import cnn1, read_weights, save_weights


def _small():
    torch.manual_seed(0)
    return cnn1(classes=3, width=2, hidden=5, side=8)


METADATA = {"labels": ["a", "é", "c"], "layer": "maxpool2", "voxel_angstrom": 10.0, "accuracy": 0.5, "seed": 7}


def test_what_is_saved_is_read(tmp_path):
    module = _small()
    save_weights(tmp_path / "w.safetensors", module, **METADATA)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.metadata == METADATA
    assert weights.state.keys() == module.state_dict().keys()
    for key, value in module.state_dict().items():
        assert torch.equal(weights.state[key], value)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:  # the library agrees with our header
        assert json.loads(file.metadata()["labels"]) == METADATA["labels"]
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_the_same_content_gives_the_same_bytes_in_another_process(tmp_path):
    save_weights(tmp_path / "a.safetensors", _small(), **METADATA)
    code = (
        "import torch; from camfast.models import cnn1, save_weights; torch.manual_seed(0);"
        f"save_weights({str(tmp_path / 'b.safetensors')!r}, cnn1(classes=3, width=2, hidden=5, side=8),"
        f"**dict(reversed({METADATA!r}.items())))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "metadata", "message"),
    [
        ("w.pt", {}, "must end with .safetensors"),
        ("w.safetensors", {"accuracy": float("nan")}, "what JSON can hold"),
        ("w.safetensors", {"other": object()}, "what JSON can hold"),
        ("w.safetensors", {"labels": "shell"}, "'labels' must be a list"),
        ("w.safetensors", {"voxel_angstrom": True}, "'voxel_angstrom' must be a float"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_leaves_nothing(tmp_path, name, metadata, message):
    with pytest.raises(InputError, match=message):
        save_weights(tmp_path / name, _small(), **metadata)
    assert not list(tmp_path.iterdir())


def test_metadata_of_others_stays_text(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"format": "pt", "note": "{", "n": "3"})
    assert read_weights(tmp_path / "w.safetensors").metadata == {"format": "pt", "note": "{", "n": 3}


def test_known_metadata_of_another_kind_is_refused(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"arguments": "[1]"})
    with pytest.raises(InputError, match=r"w\.safetensors: metadata 'arguments' must be a dict"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model_state_dict": s, "epoch": 3}]
)
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
def test_saved_state_dicts_are_read(tmp_path, wrap, prefix, zipped):
    state = {prefix + key: value for key, value in _small().state_dict().items()}
    torch.save(wrap(state), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    read = read_weights(tmp_path / "w.pt").state
    assert {prefix + key for key in read} == state.keys()
    assert all(torch.equal(value, state[prefix + key]) for key, value in read.items())


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", ["torch", "torch-legacy", "pickle-2", "pickle-5"])
@pytest.mark.parametrize("content", ["module", "trap", "nested trap"])
def test_pickled_code_is_refused_and_never_run(tmp_path, save, content):
    sprung = tmp_path / "sprung"
    objects = {"module": _small(), "trap": Trap(sprung), "nested trap": {"state_dict": {"a": Trap(sprung)}}}
    path = tmp_path / "w.pt"
    if save.startswith("torch"):
        torch.save(objects[content], path, _use_new_zipfile_serialization=save == "torch")
    else:
        path.write_bytes(pickle.dumps(objects[content], protocol=int(save[-1])))
    with pytest.raises(InputError, match=r"w\.pt: .*(pickled module|not a file of weights).*state_dict"):
        read_weights(path)
    assert not sprung.exists()


def test_a_pickled_module_is_told_why(tmp_path):
    torch.save(_small(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"pickled module .* can run any code; save model\.state_dict\(\)"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("kept", [0, 1, 7, 9, 100, 0.5, -1])
def test_truncated_files_are_named(tmp_path, name, kept):
    whole = tmp_path / ("whole" + Path(name).suffix)
    if name.endswith("pt"):
        torch.save(_small().state_dict(), whole)
    else:
        save_weights(whole, _small())
    content = whole.read_bytes()
    kept = int(len(content) * kept) if isinstance(kept, float) else kept
    (tmp_path / name).write_bytes(content[:kept])
    with pytest.raises(InputError, match=rf"/{name}: "):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize("content", [b"hello, these are no weights at all\n", b"\x80\x02N.", b"PK\x03\x04 and so on"])
def test_foreign_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"/{name}: "):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "holds a list"), ({}, "holds a dict"), ({"a": 3}, "entry 'a' is a int"), ({3: torch.ones(1)}, "entry 3")],
)
def test_saved_things_that_are_no_state_dict_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "w.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt: no such file"):
        read_weights(tmp_path / "none.pt")
