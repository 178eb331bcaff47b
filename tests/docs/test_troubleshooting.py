"""The messages that the page quotes are those that camfast says: each occurs in its source, and most are provoked."""

import argparse
import ast
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import camfast
from camfast import cli
from camfast.ops import native
from camfast.scan import Volume, write_volumes
from tests.docs import playground

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
QUOTED = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
SCAN = [
    "--model", "my_network.py:build", "--weights", "net.safetensors", "--layer", "maxpool2", "--window", "40",
    "--stride", "8", "--target", "5",
]  # fmt: skip
EXPLAIN = [
    "explain", "photo.jpg", "--model", "squeezenet1_0", "--layer", "fire9", "--target", "2", "-o", "heat.png",
    "--overwrite",
]  # fmt: skip


def _pattern(quoted: str) -> str:
    return ".*".join(re.escape(part.strip()) for part in quoted.split("…"))


def _text(node: ast.AST) -> str | None:
    """A string of the source, with … for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join((_text(part) if isinstance(part, ast.Constant) else "…") or "" for part in node.values)
    return None


def _said() -> Iterator[str]:
    for path in (ROOT / "camfast").rglob("*.py"):
        yield from filter(None, map(_text, ast.walk(ast.parse(path.read_text()))))


SAID = list(_said())


class _Net(nn.Module):
    """A small network whose parts are run by a function."""

    def __init__(self, forward: Callable[["_Net", Tensor], object] | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.linear = nn.Linear(4, 3)
        self.run = forward

    def forward(self, x: Tensor) -> object:
        return self.run(self, x) if self.run else self.head(self.conv(x).relu())

    def head(self, activations: Tensor) -> Tensor:
        scores: Tensor = self.linear(activations.mean((2, 3)))
        return scores


IMAGE = torch.ones(1, 1, 8, 8)


def _cam(forward: Callable[[_Net, Tensor], object] | None = None, layer: str = "conv", **options: object) -> Tensor:
    inputs = options.pop("inputs", IMAGE)
    target = options.pop("target", 1)
    return camfast.cam(_Net(forward).eval(), inputs, layer, target, **options)  # type: ignore[arg-type]


def _changed_in_place() -> None:
    model = _Net(lambda net, x: net.head(net.conv(x).relu_()))
    with camfast.capture(model, "conv", copy=False) as captured:
        scores = model(IMAGE)
    captured.map(scores[:, 1])


def _made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = _Net().eval()
    camfast.cam(model, IMAGE, "conv", 1)


def _segmenter(net: _Net, x: Tensor) -> Tensor:
    return net.conv(x)  # type: ignore[no-any-return]


def _cancelling(net: _Net, x: Tensor) -> Tensor:
    raised = net.conv(x)
    return net.head(raised)


def _ill_conditioned() -> None:
    model = _Net(_cancelling).eval()
    nn.init.constant_(model.conv.weight, 1.0)
    nn.init.zeros_(model.conv.bias)
    halves = torch.cat([torch.ones(1, 1, 8, 4), -torch.ones(1, 1, 8, 4)], 3)
    camfast.cam(model, halves, "conv", 1, method="respond")


def _with_out_and_gradient() -> None:
    A = torch.rand(1, 2, 4, 4, requires_grad=True)
    camfast.ops.fused_cam(A, torch.rand(1, 2, 4, 4), "gradcam", out=torch.empty(1, 4, 4))


def _in_vmap() -> None:
    model = _Net().eval()
    torch.vmap(lambda x: camfast.cam(model, x[None], "conv", 1)[0])(IMAGE)


PROVOKED: dict[str, Callable[[], object]] = {
    "the model has no layer …": lambda: _cam(layer="convv"),
    "layer … was never reached when the model ran": lambda: _cam(layer="unused"),
    "the activation of layer … has the shape …, expected (N, C, *S)": lambda: _cam(layer="linear"),
    "inputs of … have no batch axis": lambda: _cam(
        lambda net, x: net.linear(net.conv(x).relu().mean((-2, -1))), inputs=IMAGE[0]
    ),
    "camfast ran the model on inputs of …": lambda: _cam(inputs=IMAGE.double()),
    "inputs is a numpy array": lambda: _cam(inputs=IMAGE.numpy()),
    "… returned …, not a tensor": lambda: _cam(lambda net, x: {"logits": net.head(net.conv(x))}),
    "the model returned a single number for the whole batch": lambda: _cam(lambda net, x: net.head(net.conv(x)).sum()),
    "layer … is changed in place by what follows it": _changed_in_place,
    "no gradient flows from the scores back to layer …": lambda: _cam(
        lambda net, x: torch.no_grad()(net.head)(net.conv(x))
    ),
    "the scores don't depend on the layer by a graph that can be followed": lambda: _cam(
        lambda net, x: net.head(net.conv(x).detach())
    ),
    "the model uses re-entrant checkpointing behind the layer": lambda: _cam(
        lambda net, x: checkpoint(net.head, net.conv(x), use_reentrant=True)
    ),
    "parameters of the model were made under inference_mode": _made_in_inference_mode,
    "model is TorchScript, whose layers can't be reached": lambda: camfast.cam(
        torch.jit.trace(_Net().eval(), IMAGE), IMAGE, "conv", 1
    ),
    "You are attempting to call Tensor.requires_grad_()": _in_vmap,
    "out= can't be used where autograd records or torch traces the call": _with_out_and_gradient,
    "target=… is out of range: the model has the classes 0 to …": lambda: _cam(target=3),
    "the model's output has the shape …, one score for every class and position": lambda: _cam(_segmenter),
    "the region of class …, where=…, is empty in sample …": lambda: _cam(
        _segmenter, target=camfast.Region(1, torch.zeros(8, 8, dtype=torch.bool))
    ),
    "a target function must return one scalar a sample": lambda: _cam(target=lambda scores: scores.sum()),
    "method must be one of …": lambda: _cam(method="grad-cam"),
    "the Gaussian upsampling needs sigma=": lambda: _cam(method="extended"),
    "method='cam' needs scores that a linear layer or 1×1 convolution makes of the average of layer …": lambda: _cam(
        method="cam"
    ),
    "the model is in training mode": lambda: camfast.cam(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3)), IMAGE, "0", 1
    ),
    "channel weights divide by a small difference of large activations": _ill_conditioned,
    "… rule: no ReLU and no like activation was met": lambda: camfast.guided_backprop(_Net(_cancelling), IMAGE, 1),
    "… passed the gradient on …, as the rule is defined for ReLU only": lambda: camfast.guided_backprop(
        _Net(lambda net, x: net.head(nn.functional.gelu(net.conv(x)))), IMAGE, 1
    ),
    "… can't run on … by …": lambda: camfast.ops.fused_cam(
        torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4), "gradcam", backend="cuda"
    ),
    "unknown model …": lambda: camfast.models.load("resnet2"),
    "max_memory is …, and Python, torch and the network take … of it": lambda: camfast.scan(
        torch.randn(24, 24, 24), camfast.Explainer(camfast.models.cnn2(classes=2, side=16, width=2).eval(), "maxpool2"),
        window=16, stride=8, target=1, max_memory="1M", progress=False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("quoted", PROVOKED)
@pytest.mark.filterwarnings("ignore:.*TorchScript.*:DeprecationWarning", "ignore:.*torch.jit.*:DeprecationWarning")
def test_a_call_says_what_the_page_quotes(quoted: str) -> None:
    assert quoted in QUOTED
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = _error_of(PROVOKED[quoted])
    said += [str(one.message) for one in caught]
    assert any(re.search(_pattern(quoted), text, re.DOTALL) for text in said), said


def _error_of(call: Callable[[], object]) -> list[str]:
    """What a call's error says, with its notes; nothing where it has none."""
    try:
        call()
    except Exception as error:
        return [str(error), *getattr(error, "__notes__", ())]
    return []


def test_an_extension_that_is_not_built_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = "camfast._C does not load …"
    monkeypatch.setitem(__import__("sys").modules, "camfast._C", None)
    monkeypatch.delattr(camfast, "_C", raising=False)
    native._load.cache_clear()
    try:
        assert re.search(_pattern(quoted), native.load_failure() or "")
    finally:
        native._load.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trouble")
    playground.make(folder)
    torch.save(nn.Linear(2, 2), folder / "whole.pt")
    torch.save({"other.weight": torch.zeros(2)}, folder / "other.pt")
    (folder / "short.mrc").write_bytes((folder / "tomo.mrc").read_bytes()[:9000])
    volume = np.random.default_rng(0).normal(size=(48, 48, 48)).astype(np.float32)
    write_volumes(folder / "unknown.mrc", [volume], Volume(volume))
    volume[4, 5, 6] = np.nan
    write_volumes(folder / "nan.mrc", [volume], Volume(volume, (10.0, 10.0, 10.0)))
    (folder / "taken.zarr").mkdir()
    (folder / "words.bin").write_bytes(b"words")
    return folder


AT_THE_SHELL = {
    "no --weights: the network is untrained, its maps mean nothing": EXPLAIN,
    "--device … cannot be used": [*EXPLAIN, "--device", "cuda:77"],
    "… holds a pickled module or other objects, and reading those can run any code": [
        *EXPLAIN, "--weights", "whole.pt",
    ],
    "… the weights do not fit the model": [*EXPLAIN, "--weights", "other.pt"],
    "… its header gives no voxel size …": ["scan", "unknown.mrc", *SCAN, "--model-apix", "10", "-o", "a.zarr"],
    "… and the model expects … Å; resample the volume …": [
        "scan", "tomo.mrc", *SCAN, "--model-apix", "7", "-o", "a.mrc",
    ],
    "… truncated: the header promises … bytes": ["scan", "short.mrc", *SCAN, "-o", "a.mrc"],
    "… unknown kind of volume": ["scan", "words.bin", *SCAN, "-o", "a.mrc"],
    "… voxel (z, y, x) = … is …, expected finite numbers": ["scan", "nan.mrc", *SCAN, "-o", "a.mrc"],
    "the window of … voxels is larger than the volume …": ["scan", "tomo.mrc", *SCAN, "--window", "80", "-o", "a.mrc"],
    "the stride of … voxels along … is no multiple of the layer's cell …": [
        "scan", "tomo.mrc", *SCAN, "--stride", "7", "-o", "a.mrc",
    ],
    "… exists already; choose another name …": ["scan", "tomo.mrc", *SCAN, "-o", "taken.zarr"],
    "… can be reached from other machines: give a token …": [
        "live", "--source", "sim:64x64@5", "--model", "squeezenet1_0", "--serve", "0.0.0.0:0",
    ],
}  # fmt: skip


@pytest.mark.parametrize("quoted", AT_THE_SHELL)
def test_a_command_says_what_the_page_quotes(
    quoted: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quoted in QUOTED
    monkeypatch.chdir(folder)
    cli.main(AT_THE_SHELL[quoted])
    assert re.search(_pattern(quoted), capsys.readouterr().err)


@pytest.mark.parametrize("quoted", [one for one in QUOTED if one not in PROVOKED | AT_THE_SHELL])
def test_what_is_not_provoked_is_in_the_source(quoted: str) -> None:
    assert any(re.search(_pattern(quoted), text, re.DOTALL) for text in SAID)


def test_most_are_provoked() -> None:
    """What is left needs a full disk, a cluster's lock, a camera or a display, and has tests of its own."""
    assert len(PROVOKED) + len(AT_THE_SHELL) > 0.7 * len(QUOTED)


def test_every_option_of_the_page_exists() -> None:
    asked = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    known = {option for command in _commands(cli.parser()) for option in command._option_string_actions}
    assert asked <= known, asked - known


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
