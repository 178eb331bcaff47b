"""One pass of a model for an explanation: no graph before the layer, one from there to the scores.

Grad mode is off before the layer and on behind it, so the trunk costs what a prediction costs and the gradient stops
at the layer. Where a model defeats that (an in-place operation behind the layer, a block that puts back the grad mode
it found), the pass is repeated in the form that works, which is remembered for the layer.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from camfast import guards, layers
from camfast.errors import CaptureError
from camfast.gradients import NotConnectedError
from camfast.inputs import arguments, call
from camfast.recorder import CaptureOptions, Defeated, Form, Recorder, find_tensor, plain

_Result = TypeVar("_Result")
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Given = Callable[[Any], Arguments]

_forms: "weakref.WeakKeyDictionary[nn.Module, Form]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Pass:
    """One run of a model: its scores, the activations that they depend on by a graph, and what layers of units gave."""

    scores: Tensor
    activations: Mapping[str, Tensor]
    units: Mapping[str, Tensor]


def run(
    model: nn.Module,
    inputs: Any,
    names: Sequence[str],
    options: CaptureOptions,
    explain: Callable[[Pass], _Result],
    units: Sequence[str] = (),
    given: Given = arguments,
) -> _Result:
    """Run a model, and explain the scores while their graph is there.

    Parameters
    ----------
    model
        An unwrapped module (`camfast.layers.unwrap`), left as it was found.
    inputs
        A tensor, a tuple of positional arguments, or a dict of keyword arguments.
    names
        Dotted names of the layers.
    options
        See `CaptureOptions`.
    explain
        What to do with the pass; called again where the pass has to be repeated.
    units
        Dotted names of layers that are looked at, and not explained.
    given
        Makes the model's positional and keyword arguments of the inputs, of tensors that the model may change.

    Raises
    ------
    CaptureError
        If a layer isn't reached, or no gradient can flow from the scores to it.
    """
    key = layers.find(model, names[0])[1]
    form = _forms.get(key, Form())
    if options.create_graph:
        form = replace(form, detach=False)
    tried = set()
    chance = guards.Chance(model)
    while True:
        tried.add(form)
        try:
            result = _attempt(form, model, inputs, names, options, explain, units, given)
        except Defeated as defeat:
            if defeat.form in tried:
                raise CaptureError(str(defeat)) from defeat.__cause__
            form = defeat.form
            chance.put_back()
        else:
            if not options.create_graph:
                _forms[key] = form
            return result


def _attempt(
    form: Form,
    model: nn.Module,
    inputs: Any,
    names: Sequence[str],
    options: CaptureOptions,
    explain: Callable[[Pass], _Result],
    units: Sequence[str],
    given: Given,
) -> _Result:
    with torch.inference_mode(False), torch.enable_grad(), guards.model_untouched(model):
        found = _forward(form, model, given(inputs), Recorder(names, options, form, units))
        try:
            return explain(found)
        except NotConnectedError as error:
            if not form.detach:
                raise
            # a block on the way may have put back the grad mode that it found, which was off
            raise Defeated(str(error), replace(form, detach=False)) from error
        except CheckpointError as error:
            # the block around a frozen layer is run again without the hook that started its graph; without a graph
            # before the layer nothing is checkpointed, and nothing is lost either
            if form.detach or not all(activation.is_leaf for activation in found.activations.values()):
                raise
            raise Defeated(str(error), replace(form, detach=True)) from error


def _forward(form: Form, model: nn.Module, given: Arguments, recorder: Recorder) -> Pass:
    options = recorder.options
    with torch.set_grad_enabled(not form.detach), recorder.alone(), recorder.attached(model):
        try:
            result = call(model, *given)
        except RuntimeError as error:
            defeat = _defeat(str(error), form)
            if defeat is None:
                raise
            raise defeat from error
        interrupted = recorder.graph_interrupted or not torch.is_grad_enabled()
    activations, units = recorder.activations(), recorder.unit_layers()
    scores = plain(find_tensor(result, options.output, "the model", "output"))
    if not options.graph:
        return Pass(scores, activations, units)
    if form.detach and (interrupted or not scores.requires_grad):
        raise Defeated("no graph leads from the layer to the scores", replace(form, detach=False))
    if not scores.requires_grad:
        raise CaptureError(
            f"no gradient flows from the scores back to layer {', '.join(recorder.names)}: what follows it runs in the "
            "model's own no_grad block, is detached, or is not differentiable"
        )
    return Pass(scores, activations, units)


def _defeat(message: str, form: Form) -> Defeated | None:
    """What an error of torch inside the forward pass means for the capture."""
    if "leaf Variable that requires grad" in message and "in-place" in message:
        return Defeated(message, replace(form, copy=True))
    if form.detach and "does not require grad and does not have a grad_fn" in message:
        return Defeated(message, replace(form, detach=False))  # the trunk differentiates something itself
    if form.detach and "view was created in no_grad mode" in message:
        return Defeated(message, replace(form, detach=False))  # and is written to behind the layer
    return None
