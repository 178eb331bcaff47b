"""Weights that other programs wrote: without metadata, or as a program."""

import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from camfast.errors import InputError
from camfast.models.weights import read_weights, save_weights


def test_weights_without_metadata(tmp_path):
    save_file({"a": torch.arange(3.0)}, tmp_path / "w.safetensors")
    found = read_weights(tmp_path / "w.safetensors")
    assert found.metadata == {}
    assert torch.equal(found.state["a"], torch.arange(3.0))
    save_weights(tmp_path / "own.safetensors", nn.Linear(2, 2))
    assert read_weights(tmp_path / "own.safetensors").state.keys() == {"weight", "bias"}


def test_a_program_is_not_run_for_its_weights(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # torch's own: TorchScript is on its way out
        torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "net.pt")
    with pytest.raises(
        InputError, match=r"net\.pt: a TorchScript archive, which holds code; save model\.state_dict\(\)"
    ):
        read_weights(tmp_path / "net.pt")
