"""Compiled, scripted, traced, exported and wrapped models."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import Block, Wired, conv, head, images, sequential

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),  # torch.export
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    assert torch._dynamo.eval_frame._stance.stance == "default"


def _whole(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def _twice(model: nn.Module) -> nn.Module:
    return nn.DataParallel(_whole(model))


def _in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def _submodule(model: nn.Module) -> nn.Module:
    model.block = torch.compile(model.block, backend="eager")
    return model


def _submodule_in_place(model: nn.Module) -> nn.Module:
    model.block.compile(backend="eager")
    return model


def _head(model: nn.Module) -> nn.Module:
    model.head = torch.compile(model.head, backend="eager")
    return model


def _layer(model: nn.Module) -> nn.Module:
    model.block.layer = torch.compile(model.block.layer, backend="eager")
    return model


def _forward(model: nn.Module) -> nn.Module:
    model.block.forward = torch.compile(model.block.forward, backend="eager")
    return model


WAYS = [_whole, _twice, _in_place, _submodule, _submodule_in_place, _head, _layer, _forward]


def _network() -> Wired:
    def body(block: Block, x: Tensor) -> Tensor:
        return block.layer(x).tanh()

    return Wired(lambda self, x: self.head(self.block(x)), block=Block(body))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("warmed", [torch.no_grad, torch.enable_grad])
def test_compiled_and_warmed(way: Callable[[nn.Module], nn.Module], warmed: Callable[[], object]) -> None:
    model, x = _network(), images()
    expected = oracle.grid(model, x, "block.layer", 1)
    compiled = way(model)
    with warmed():  # type: ignore[attr-defined]
        scores = compiled(x)
    for _ in range(2):
        result = camfast.Explainer(compiled, "block.layer", relu=False, size="grid")(x, 1)
        assert oracle.relative_error(result.grid, expected) < 1e-12
    assert torch.allclose(result.scores, scores)
    with camfast.capture(compiled, "block.layer") as captured:
        own = compiled(x)
    assert oracle.relative_error(captured.map(own[:, 1], relu=False, size="grid"), expected) < 1e-12


def test_a_compiled_block_that_puts_back_the_grad_mode() -> None:
    def body(block: Block, x: Tensor) -> Tensor:
        with torch.no_grad():
            return block.layer(x)

    block = Block(body)
    model = Wired(lambda self, x: self.head(self.block(x)), block=torch.compile(block, backend="eager"))
    twin = nn.Sequential(block.layer, model.head)
    x = images()
    with torch.no_grad():
        model(x)
    found = camfast.cam(model, x, "block.layer", 1, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(twin, x, "0", 1)) < 1e-12


def test_names_with_and_without_the_compilers_wrapper() -> None:
    model = _submodule(_network())
    for layer in ("block.layer", "block._orig_mod.layer", model.block.layer):
        assert camfast.Explainer(model, layer).layer == "block.layer"
    for layer in ("block", "block._orig_mod", model.block, model.block._orig_mod):
        assert camfast.Explainer(model, layer).layer == "block"


def test_wrappers_are_looked_through() -> None:
    model, x = sequential(), images()
    expected = oracle.grid(model, x, "1", 1)
    for wrapped in (nn.DataParallel(model), torch.compile(nn.DataParallel(model), backend="eager")):
        explainer = camfast.Explainer(wrapped, "1", relu=False, size="grid")
        assert explainer.model is model
        assert oracle.relative_error(explainer(x, 1).maps, expected) < 1e-12


def test_a_wrapper_inside_of_the_model() -> None:
    model = nn.Sequential(nn.DataParallel(conv()), nn.ReLU(), head())
    x = images()
    expected = oracle.grid(model, x, "0.module", 1)
    for layer in ("0.module", "0"):
        assert oracle.relative_error(camfast.cam(model, x, layer, 1, relu=False, size="grid"), expected) < 1e-12


@pytest.mark.parametrize("make", [torch.jit.script, lambda model: torch.jit.trace(model, images())])
def test_torchscript_is_refused_but_may_stand_in_the_head(make: Callable[[nn.Module], nn.Module]) -> None:
    model, x = sequential(), images()
    scripted = make(model)
    for call in (lambda: camfast.cam(scripted, x, "1"), lambda: camfast.capture(scripted, "1").__enter__()):
        with pytest.raises(TypeError, match=r"model is TorchScript.*hooks don't fire.*explain the Python module"):
            call()
    outer = nn.Sequential(conv(), nn.ReLU(), torch.jit.script(model[2]))
    twin = nn.Sequential(outer[0], nn.ReLU(), model[2])
    found = camfast.cam(outer, x, "1", 1, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(twin, x, "1", 1)) < 1e-12


def test_an_exported_program_is_refused_and_its_unflattened_form_explained() -> None:
    model, x = sequential().eval(), images()
    exported = torch.export.export(model, (x,))
    with pytest.raises(TypeError, match=r"found ExportedProgram: unflatten it first \(torch.export.unflatten\)"):
        camfast.cam(exported, x, "1")
    unflattened = torch.export.unflatten(exported)
    found = camfast.cam(unflattened, x, "1", 1, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(model, x, "1", 1)) < 1e-12


def test_what_is_no_module() -> None:
    for thing, name in ((lambda x: x, "function"), (None, "NoneType"), (sequential, "function")):
        with pytest.raises(TypeError, match=rf"model must be a torch\.nn\.Module, found {name}"):
            camfast.Explainer(thing, "1")  # type: ignore[arg-type]


def test_a_compiled_function_around_is_not_disturbed() -> None:
    """The stance that keeps hooks alive holds for the pass alone."""
    compiled_calls: list[int] = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        compiled_calls.append(1)
        return graph.forward

    model = _network()
    x = images()
    compiled = torch.compile(model, backend=counting)
    expected = compiled(x)
    graphs = len(compiled_calls)
    camfast.cam(compiled, x, "block.layer")
    assert torch.equal(compiled(x), expected)
    assert len(compiled_calls) == graphs > 0
