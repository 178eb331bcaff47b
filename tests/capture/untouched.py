"""A network with every kind of state, and a block that must leave a network as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tests.capture.networks import CHANNELS, sequential

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
)


def _state(model: nn.Module) -> dict[str, Any]:
    tensors = model.state_dict(keep_vars=True)
    return {
        "tensors": {
            name: (id(tensor), tensor.requires_grad, id(tensor.grad), bool(tensor._backward_hooks))
            for name, tensor in tensors.items()
        },
        "training": [module.training for module in model.modules()],
        "hooks": [[len(getattr(module, kind)) for kind in _HOOKS] for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "modes": (
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"),
            torch.is_autocast_cache_enabled(),
        ),
    }  # fmt: skip


def _values(model: nn.Module) -> dict[str, Tensor]:
    gradients = {f"{name}.grad": parameter.grad for name, parameter in model.named_parameters()}
    return model.state_dict() | {name: gradient for name, gradient in gradients.items() if gradient is not None}


class Snapshot:
    """A network's tensors, gradients, hooks, attributes and the modes of torch at one moment."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._state = _state(model)
        values = _values(model)
        self._bits = {name: value.clone() for name, value in values.items()}
        self._versions = {name: value._version for name, value in values.items()}

    def differences(self) -> list[str]:
        """What is different now."""
        state, values = _state(self._model), _values(self._model)
        found = [kind for kind in state if state[kind] != self._state[kind]]
        if values.keys() != self._bits.keys():
            return [*found, f"gradients or buffers {sorted(values.keys() ^ self._bits.keys())}"]
        for name, value in values.items():
            if not torch.equal(value.isnan(), self._bits[name].isnan()) or not torch.equal(
                value.nan_to_num(), self._bits[name].nan_to_num()
            ):
                found.append(f"the values of {name}")
            elif value._version != self._versions[name]:
                found.append(f"{name} was written to, which breaks graphs that hold it")
        return found


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Check that a block changes no tensor, gradient, hook, attribute or mode, where it doesn't fail."""
    before = Snapshot(model)
    yield
    assert before.differences() == []


class Counting(nn.Module):
    """Buffers changed in place, assigned anew and shared, in evaluation too."""

    def __init__(self, shared: Tensor) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("scale", torch.full((CHANNELS, 1, 1), 2.0))
        self.register_buffer("shared", shared)
        self.register_buffer("table", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.scale = self.scale * 0.5
        self.shared.mul_(3)
        self.table = torch.arange(x.shape[-1])
        return x * self.scale * self.shared.clone()


def busy() -> nn.Sequential:
    """Statistics, chance, buffers that change and are shared, a parametrization, and an in-place operation."""
    shared = torch.ones(1)
    model = sequential(
        nn.BatchNorm2d(CHANNELS), nn.Dropout(0.5), Counting(shared), Counting(shared),
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(CHANNELS, CHANNELS, 1)), nn.ReLU(inplace=True),
    )  # fmt: skip
    model[5].shared = model[4].shared  # .double() has made two of one
    return model
