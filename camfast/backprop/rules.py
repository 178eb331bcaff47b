"""Rules of the backward pass: what becomes of a gradient at an activation function.

A rule is put on the graph that one run of a model has left, as hooks on the nodes of its activation functions, and
taken off again. The graph belongs to the call, so nothing of the model is touched, no other thread sees the rule, and
it makes no difference whether an activation was a module, a functional, a method or an in-place form.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from camfast.backprop.activations import Activation, name_of, recognise, unseen
from camfast.errors import ActivationRuleWarning
from camfast.guards import level_of_caller

Rule = Literal["saliency", "guided", "deconvnet", "linear"]

RULES: tuple[Rule, ...] = get_args(Rule)
_SHOWN = 8  # names of operations in a warning

_Gradients = Sequence[Tensor | None]


def check(rule: str) -> None:
    """Raise ValueError for a rule that there isn't."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}; found {rule!r}")


def obeyed(made: Sequence[Tensor], source: Tensor, rule: Rule, *, wanted: bool = True) -> AbstractContextManager[None]:
    """Have gradients obey a rule at every activation function between a tensor and what a model made of it.

    With x the input of an activation function, g the gradient that comes back to it and f' its own derivative, it
    passes on::

        rule        ReLU               other activations
        saliency    g·1[x>0]           g·f'(x)
        guided      relu(g)·1[x>0]     relu(g)·f'(x)
        deconvnet   relu(g)            relu(g)
        linear      g                  g

    Parameters
    ----------
    made
        Tensors with a graph: the model's scores, outputs of its layers.
    source
        The leaf that it is differentiated with respect to.
    rule
        A name of the table.
    wanted
        Whether a way without any activation is worth a warning: it isn't from the first layer of a model.

    Returns
    -------
    context manager
        The rule holds for what is differentiated inside of it.

    Warns
    -----
    ActivationRuleWarning
        Once, if an activation other than ReLU is met, for which the rule is camfast's own reading; if a function whose
        inside can't be seen is met; or if there is no activation at all where one is wanted.
    """
    if rule == "saliency":
        return nullcontext()
    nodes = _between(made, source)
    activations = [found for node in nodes if (found := recognise(node)) is not None]
    if nodes:
        _warn(rule, activations, nodes, wanted)
    return _held(activations, rule)


@contextmanager
def _held(activations: Sequence[Activation], rule: Rule) -> Iterator[None]:
    with ExitStack() as stack:
        for activation in activations:
            stack.callback(_put_on(activation, rule).remove)
        yield


def _put_on(activation: Activation, rule: Rule) -> torch.utils.hooks.RemovableHandle:
    """Hook a rule on the node of an activation."""
    slot, rectified = activation.slot, activation.rectified

    def gate(gradients: _Gradients) -> _Gradients:
        return tuple(None if g is None else g.relu() for g in gradients)

    def replace(inputs: _Gradients, outputs: _Gradients) -> _Gradients:
        g = outputs[0]
        if g is None or inputs[slot] is None:
            return inputs
        if rule != "linear":
            g = g.relu()
        if rule == "guided" and rectified is not None:
            g = torch.where(rectified > 0, g, 0)
        return (*inputs[:slot], g, *inputs[slot + 1 :])

    if rule == "guided" and rectified is None:
        return activation.node.register_prehook(gate)
    return activation.node.register_hook(replace)


def _between(made: Sequence[Tensor], source: Tensor) -> list[Node]:
    """The nodes of the graph that lie on a way from what was made back to the source."""
    last = get_gradient_edge(source).node
    users: dict[Node, list[Node]] = {get_gradient_edge(tensor).node: [] for tensor in made if tensor.requires_grad}
    pending = list(users)
    while pending:
        node = pending.pop()
        for following, _ in node.next_functions:
            if following is None:
                continue
            if following not in users:
                users[following] = []
                pending.append(following)
            users[following].append(node)
    leading = {last} if last in users else set()
    pending = list(leading)
    while pending:
        for user in users[pending.pop()]:
            if user not in leading:
                leading.add(user)
                pending.append(user)
    return [node for node in users if node in leading]


def _warn(rule: Rule, activations: Sequence[Activation], nodes: Sequence[Node], wanted: bool) -> None:
    others = sorted({found.label for found in activations if not found.is_relu})
    hidden = sorted(set(filter(None, map(unseen, nodes))))
    said = []
    if not activations and wanted:
        counted = Counter(name for node in nodes if (name := name_of(node)) != "AccumulateGrad")
        found = ", ".join(f"{name} ({count})" for name, count in counted.most_common(_SHOWN)) or "no operation"
        said.append(f"no ReLU and no like activation was met, so this is the plain gradient; the graph has: {found}")
    elif others:
        own = {"guided": "gated by the sign of the gradient, with its own derivative"}.get(
            rule, "with the derivative 1"
        )
        none = "" if len(others) < len({found.label for found in activations}) else " and no ReLU was met"
        said.append(f"{' and '.join(others)} passed the gradient on {own}, as the rule is defined for ReLU only{none}")
    if hidden:
        said.append(f"the inside of {' and '.join(hidden)} can't be seen, and gave its plain gradient")
    if said:
        warnings.warn(f"{rule} rule: {'; '.join(said)}", ActivationRuleWarning, stacklevel=level_of_caller())
