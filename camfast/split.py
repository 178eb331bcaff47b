"""A model as two: the trunk up to a layer, and the head behind it."""

import threading
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from camfast import guards, layers
from camfast.errors import SplitError
from camfast.inputs import as_given, copied

_Given = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""

# Of the largest score: what two ways to the same sums may differ by.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
_REMEDY = "give the two halves yourself, pair=(trunk, head)"


def split(
    model: nn.Module,
    layer: str | nn.Module,
    example: Any = None,
    *,
    pair: tuple[nn.Module, nn.Module] | None = None,
) -> tuple[nn.Module, nn.Module]:
    """Cut a model behind a layer: scores = head(trunk(inputs)), and trunk(inputs) is what the layer returns.

    The caller's own pair is taken, else a slice of an ``nn.Sequential``, else what `torch.fx` traces. The halves share
    the model's parameters and buffers, so training one trains the model.

    A trace follows the model in the mode and along the branches that it takes now: flags such as those of functional
    dropout are constants in it, and a branch that depends on values can't be traced. The modules inside keep their own
    mode, and the halves of a Sequential keep everything.

    Parameters
    ----------
    model
        A module; in DataParallel or ``torch.compile`` the one inside.
    layer
        Dotted name or module; where it runs several times, the last call counts.
    example
        Inputs that the halves are compared with the model on at once: a tensor (N, C, *S_in), or a tuple or dict of
        arguments. None: on what the trunk is given first outside of a compilation.
    pair
        The two halves, where the caller has them.

    Returns
    -------
    trunk, head
        Two modules: inputs to activations (N, C, *S), and activations to the model's output.

    Raises
    ------
    SplitError
        If the model can't be traced, the head needs more of the trunk than the layer's output, or the halves don't give
        what the model gives.
    TypeError, ValueError
        If the model has no such layer.

    Examples
    --------
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5))
    >>> trunk, head = camfast.split(model, "1", torch.ones(1, 3, 8, 8))
    >>> trunk(torch.ones(2, 3, 8, 8)).shape
    torch.Size([2, 4, 6, 6])
    """
    inner = layers.unwrap(model)
    name, module = layers.find(inner, layer)
    if pair is not None and not (len(pair) == 2 and all(isinstance(half, nn.Module) for half in pair)):
        raise TypeError(f"pair must be two modules, (trunk, head), found {pair!r}")
    trunk, head = pair or _slices(inner, name) or _traced(inner, name, module)
    if example is not None:
        _compare(inner, trunk, head, as_given(example))
    else:
        _compare_on_first_inputs(inner, trunk, head)
    return trunk, head


def _slices(model: nn.Module, name: str) -> tuple[nn.Module, nn.Module] | None:
    """The halves of Sequentials inside Sequentials; None where something else encloses the layer."""
    parts = name.split(".") if name else []
    if not parts or type(model) is not nn.Sequential or model._forward_hooks or model._forward_pre_hooks:
        return None
    inner = model._modules[parts[0]]
    place = max(index for index, part in enumerate(model) if part is inner)  # one that stands there twice runs twice
    before, behind = list(model)[:place], list(model)[place + 1 :]
    if len(parts) == 1:
        return nn.Sequential(*before, inner), nn.Sequential(*behind)
    halves = _slices(layers.unwrap(inner), ".".join(parts[1:]))
    return None if halves is None else (nn.Sequential(*before, halves[0]), nn.Sequential(halves[1], *behind))


class _Tracer(fx.Tracer):
    """Goes into every module but torch's own and the layer, which stays one call."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m is self._layer or super().is_leaf_module(m, module_qualified_name)


def _traced(model: nn.Module, name: str, layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    if layer is model:
        return model, nn.Identity()
    tracer = _Tracer(layer)
    try:
        graph = tracer.trace(model)
    except Exception as error:  # whatever the model's code raises on torch.fx's stand-ins for tensors
        raise SplitError(
            f"the model can't be cut at layer {name!r}: torch.fx can't trace it ({' '.join(str(error).split())}); "
            f"{_REMEDY}"
        ) from error
    calls = [node for node in graph.nodes if node.op == "call_module" and _is(model, node.target, layer)]
    if not calls:
        raise SplitError(f"layer {name!r} isn't called as a module when the model runs, so nothing is cut there")
    cut = calls[-1]
    _check_cut(graph, cut, name)
    return fx.GraphModule(model, _before(graph, cut)), fx.GraphModule(model, _behind(graph, cut))


def _is(model: nn.Module, target: Any, layer: nn.Module) -> bool:
    return layers.unwrap(model.get_submodule(target)) is layer


def _check_cut(graph: fx.Graph, cut: fx.Node, name: str) -> None:
    """See that nothing but the layer's output passes from the trunk to the head."""
    behind = _after(graph, cut)
    passed = {
        source.target if source.op == "call_module" else source.name
        for node in behind
        for source in node.all_input_nodes
        if source is not cut and source not in behind and source.op != "get_attr"
    }
    if passed:
        raise SplitError(
            f"the head behind layer {name!r} also needs {', '.join(sorted(map(str, passed)))}, which run in front of "
            f"it (a connection skips over the cut): cut at a layer that everything passes through, or {_REMEDY}"
        )


def _after(graph: fx.Graph, cut: fx.Node) -> set[fx.Node]:
    """What depends on the cut, the output among it."""
    found: set[fx.Node] = set()
    pending = list(cut.users)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.users)
    return found | {node for node in graph.nodes if node.op == "output"}


def _before(graph: fx.Graph, cut: fx.Node) -> fx.Graph:
    trunk = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in (*takewhile(lambda node: node is not cut, graph.nodes), cut):  # a trace begins with all arguments
        copies[node] = trunk.node_copy(node, copies.__getitem__)
    trunk.output(copies[cut])
    return trunk


def _behind(graph: fx.Graph, cut: fx.Node) -> fx.Graph:
    head = fx.Graph()
    copies = {cut: head.placeholder("features")}
    needed = _after(graph, cut)
    for node in graph.nodes:
        if node in needed or (node.op == "get_attr" and needed.intersection(node.users)):
            copies[node] = head.node_copy(node, copies.__getitem__)
    return head


def _compare_on_first_inputs(model: nn.Module, trunk: nn.Module, head: nn.Module) -> None:
    """Compare before the trunk runs, until it was done once and the halves agreed."""
    comparing = threading.Lock()

    def check(_: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if torch.compiler.is_compiling() or not all(map(_is_real, tree_leaves((args, keywords)))):
            return
        if not comparing.acquire(blocking=False):
            return  # the comparison runs the trunk itself
        try:
            _compare(model, trunk, head, (args, keywords))
            handle.remove()
        finally:
            comparing.release()

    handle: Any = trunk.register_forward_pre_hook(check, with_kwargs=True)


def _is_real(value: Any) -> bool:
    """Whether a value isn't a stand-in of a tracer or of a transform."""
    if not isinstance(value, Tensor):
        return True
    return type(value) in (Tensor, nn.Parameter) and not torch._C._functorch.is_functorch_wrapped_tensor(value)


def _compare(model: nn.Module, trunk: nn.Module, head: nn.Module, example: _Given) -> None:
    def halves(*args: Any, **keywords: Any) -> Any:
        return head(trunk(*args, **keywords))

    found, expected = (tree_leaves(_run(model, function, example)) for function in (halves, model))
    if len(found) != len(expected):
        raise SplitError(f"head(trunk(inputs)) gives {len(found)} values, the model {len(expected)}; {_REMEDY}")
    for left, right in zip(found, expected, strict=True):
        if isinstance(right, Tensor):
            difference = disagreement(left, right, _TOLERANCE.get(right.dtype, 0.0))
            if difference is not None:
                raise SplitError(
                    f"head(trunk(inputs)) {difference} that the model gives: it depends on more than the two halves "
                    f"hold; {_REMEDY}"
                )


def disagreement(found: Any, expected: Tensor, tolerance: float) -> str | None:
    """How a result differs from what it should be, None where it doesn't: by ``tolerance`` of the largest value.

    NaN and infinities agree with their like alone.
    """
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        return f"gives {shape} in the place of {tuple(expected.shape)}"
    left, right = found.double(), expected.double()
    size = float(right[right.isfinite()].abs().max()) if right.isfinite().any() else 0.0
    away = (left - right).abs()
    wrong = ~((left == right) | (left.isnan() & right.isnan()) | (away <= tolerance * size))
    if not wrong.any():
        return None
    return f"differs by up to {float(away[wrong].max()):.3g} from values up to {size:.3g}"


def _run(model: nn.Module, function: Callable[..., Any], example: _Given) -> Any:
    """Run the model or its halves with the same random numbers, and nothing left behind in the model."""
    positional, keywords = copied(example)
    with torch.no_grad(), torch.random.fork_rng(_devices(positional, keywords)), guards.model_untouched(model):
        torch.manual_seed(0)
        return function(*positional, **keywords)


def _devices(*given: Any) -> list[int]:
    return sorted({leaf.get_device() for leaf in tree_leaves(given) if isinstance(leaf, Tensor) and leaf.is_cuda})
