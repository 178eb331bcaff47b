"""Models of several processes: FullyShardedDataParallel, `fully_shard`, DistributedDataParallel; in a group of one.

A group of one is enough for what sharding does to an explanation: parameters that are there only while a block runs
(``fully_shard``, which puts them away behind it), flattened ones, hooks on what a block returns, other names.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, images

distributed = pytest.importorskip("torch.distributed")
if not (distributed.is_available() and distributed.is_gloo_available()):
    pytest.skip("this torch has no gloo", allow_module_level=True)
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402 (there only where torch.distributed is)
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:FSDP is switching to use `NO_SHARD`:UserWarning"),  # in a group of one
    pytest.mark.filterwarnings("ignore:When using ``NO_SHARD``:UserWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    # what is tested holds in training mode too
    pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning"),
]
METHODS = camfast.methods()


@pytest.fixture(autouse=True, scope="module")
def _group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path: Path = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", store=distributed.FileStore(str(path), 1), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def _network() -> nn.Sequential:
    """Layers "0" to "2.2", pooled, so that every method explains "2"."""
    block = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU())
    model = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3, padding=1), nn.ReLU(), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(CHANNELS, 5),
    )  # fmt: skip
    return model.double().eval()


def _wrapped(model: nn.Module, **options: Any) -> FullyShardedDataParallel:
    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), **options)


def _flat(model: nn.Sequential) -> nn.Module:
    return _wrapped(model, use_orig_params=False)


def _original(model: nn.Sequential) -> nn.Module:
    return _wrapped(model, use_orig_params=True)


def _nested(model: nn.Sequential) -> nn.Module:
    model[2] = _flat(model[2])
    return _flat(model)


def _sharded(model: nn.Sequential) -> nn.Module:
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(model[2], mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


SHARDED: list[Callable[[nn.Sequential], nn.Module]] = [_flat, _original, _nested, _sharded]
WAYS = [*SHARDED, nn.parallel.DistributedDataParallel]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("train", [True, False])
def test_every_method_gives_the_bits_of_the_plain_model(way: Callable[..., nn.Module], train: bool) -> None:
    plain, x = _network().train(train), images()
    model = way(copy.deepcopy(plain))
    for method in METHODS:
        upsampling = {"upsample": "gaussian", "sigma": (2.0, 3.0), "size": (11, 9)}
        for target in (1, "all"):
            found, expected = (
                camfast.Explainer(m, "2", method, relu=False, **upsampling)(x, target)  # type: ignore[arg-type]
                for m in (model, plain)
            )
            assert torch.equal(found.maps, expected.maps), method
            assert torch.equal(found.scores, expected.scores)
    assert expected.maps.abs().max() > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", ["0", "1", "2", "2.0", ["0", "2.1"]])
def test_every_depth(way: Callable[..., nn.Module], layer: str | list[str]) -> None:
    """In front of the nested block, the block itself, and inside of it."""
    plain, x = _network(), images()
    model = way(copy.deepcopy(plain))
    found = camfast.Explainer(model, layer, "hirescam", relu=False, size="grid")(x, 1).maps
    for name, maps in found.items() if isinstance(found, dict) else [(layer, found)]:
        assert oracle.relative_error(maps, oracle.grid(plain, x, name, 1, "hirescam")) < 1e-12, name


@pytest.mark.parametrize("way", SHARDED)
def test_layers_are_called_as_in_the_plain_model(way: Callable[..., nn.Module]) -> None:
    model = way(_network())
    for name, module in model.named_modules():
        if name.rpartition(".")[2].isdigit():
            expected = name.replace("_fsdp_wrapped_module.", "")
            assert camfast.Explainer(model, name).layer == expected
            assert camfast.Explainer(model, module).layer == expected
            assert camfast.Explainer(model, expected).layer == expected


def _fail(tensor: Tensor) -> Tensor:
    raise ZeroDivisionError


def _fail_in_backward(scores: Tensor) -> Tensor:
    values = scores[:, 0]
    values.register_hook(_fail)
    return values


@pytest.mark.parametrize("way", WAYS)
def test_a_training_step_after_explanations_and_failures_is_the_plain_models(way: Callable[..., nn.Module]) -> None:
    plain = _network().train()
    model, twin, x = way(copy.deepcopy(plain)), copy.deepcopy(plain), images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    parameters = [name for name, _ in model.named_parameters()]
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, twin)]
    for layer in ("0", "2", "2.0"):
        for target in (_fail, _fail_in_backward):
            with pytest.raises(ZeroDivisionError):
                camfast.cam(model, x, layer, target)
        assert torch.equal(camfast.cam(model, x, layer, 1), camfast.cam(plain, x, layer, 1))
    assert all(parameter.grad is None for optimizer in optimizers for parameter in optimizer.param_groups[0]["params"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [name for name, _ in model.named_parameters()] == parameters
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    for step in range(2):
        scores = [m(x) for m in (model, twin)]
        torch.testing.assert_close(*scores, rtol=1e-12, atol=1e-12)
        for loss in scores:
            loss.square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch.testing.assert_close(camfast.cam(model, x, "1", step), camfast.cam(twin, x, "1", step))
    assert not torch.allclose(scores[1], plain(x))
