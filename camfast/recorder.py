"""Hooks that take the activations of layers while a model runs, and hand on what starts a graph there."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from camfast.errors import CaptureError
from camfast.layers import ancestors, find
from camfast.structures import leaves, map_leaves

Extract = Callable[[Any], Tensor]


@dataclass(frozen=True)
class CaptureOptions:
    """How a model is run and what is taken from it.

    Attributes
    ----------
    call
        Which call of a layer that runs several times; negative numbers count from the last.
    output
        Finds the scores in what the model returns.
    layer_output
        Finds the activation in what the layer returns.
    reshape
        Brings activations and gradients, such as tokens (N, L, C), to (N, C, *S).
    create_graph
        Keep the whole graph, so that maps can stand in a training loss.
    graph
        Whether the scores must depend on the activations by a graph; methods of activations alone need none.

    Raises
    ------
    TypeError
        If ``output``, ``layer_output`` or ``reshape`` isn't a function.
    """

    call: int = -1
    output: Extract | None = None
    layer_output: Extract | None = None
    reshape: Callable[[Tensor], Tensor] | None = None
    create_graph: bool = False
    graph: bool = True

    def __post_init__(self) -> None:
        for name in ("output", "layer_output", "reshape"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function of what it is given, found {function!r}")


@dataclass(frozen=True)
class Form:
    """How the first layer stands in the graph: whether the trunk has none, and whether the head is given a copy."""

    detach: bool = True
    copy: bool = False


class Defeated(Exception):  # noqa: N818 (caught by the pass, which tries again)
    """The model defeats this form of capture; ``form`` is the one to try next."""

    def __init__(self, reason: str, form: Form) -> None:
        super().__init__(reason)
        self.form = form


_NEVER_REACHED = (
    "layer {!r} was never reached when the model ran: it is not part of this forward pass, is a container whose parts "
    "are called one by one, or runs in another thread or process"
)
_pass = threading.local()  # .recorder: the one whose pass runs in this thread


@dataclass(eq=False)
class Recorder:
    """Hooks on some layers, for one run of a model in one thread.

    The layers ``names`` are explained; those of ``units`` are only looked at, in their last call.
    """

    names: Sequence[str]
    options: CaptureOptions
    form: Form
    units: Sequence[str] = ()
    owner: int = field(default_factory=threading.get_ident)
    calls: dict[str, int] = field(default_factory=dict)
    taken: dict[str, list[tuple[Tensor, int]]] = field(default_factory=dict)
    seen: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    given: dict[str, list[list[tuple[Tensor, int]]]] = field(default_factory=dict)
    graph_interrupted: bool = False

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Hold the hooks on the layers, and on what encloses them, for the duration of a run."""
        with ExitStack() as stack:
            for name in self.names:
                module = find(model, name)[1]
                stack.callback(module.register_forward_pre_hook(self._note_given(name), with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(self._hook(name)).remove)
                for enclosing in ancestors(model, name):
                    stack.callback(enclosing.register_forward_hook(self._keep_grad_mode).remove)
            for name in self.units:  # behind the others: a layer may be explained in one call and be asked in another
                stack.callback(find(model, name)[1].register_forward_hook(self._look(name)).remove)
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a run of this recorder's own from those that a caller holds on the same model around it."""
        around = getattr(_pass, "recorder", None)
        _pass.recorder = self
        try:
            yield
        finally:
            _pass.recorder = around

    def listens(self) -> bool:
        """Whether what runs now is this recorder's: not another thread's, nor a pass of its own inside of the run."""
        return threading.get_ident() == self.owner and getattr(_pass, "recorder", None) in (None, self)

    def activations(self) -> dict[str, Tensor]:
        """The activation of each layer, of the call asked for."""
        found = {}
        call = self.options.call
        for name in self.names:
            ran = self.calls.get(name, 0)
            if ran == 0:
                raise CaptureError(_NEVER_REACHED.format(name))
            if not -ran <= call < ran:
                raise CaptureError(
                    f"layer {name!r} ran {ran} time{'s' * (ran > 1)}: there is no call={call}, give one from {-ran} "
                    f"to {ran - 1}"
                )
            found[name] = self._unchanged(name, *self.taken[name][call if call < 0 else 0])
        return found

    def unit_layers(self) -> dict[str, Tensor]:
        """What the layers of units returned, as the scores depend on it."""
        found = {}
        for name in self.units:
            if name not in self.seen:
                raise CaptureError(_NEVER_REACHED.format(name))
            found[name] = plain(self._unchanged(name, *self.seen[name]))
        return found

    def _unchanged(self, name: str, tensor: Tensor, version: int) -> Tensor:
        if _version(tensor) != version:
            raise Defeated(f"layer {name!r} is changed in place by what follows it", replace(self.form, copy=True))
        return tensor

    def _look(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG001 (torch's signature)
            if self.listens() and not _is_recomputed():
                extract = None if isinstance(result, Tensor) else self.options.layer_output
                tensor = find_tensor(result, extract, f"layer {name!r}", "layer_output")
                if self.form.copy or tensor.is_inference():
                    tensor = tensor.clone()
                self.seen[name] = tensor, _version(tensor)

        return hook

    def _note_given(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        # torch notes that a hook takes keywords after the hook itself: another thread may come in between
        def hook(module: nn.Module, args: Any, keywords: Any = None) -> None:  # noqa: ARG001 (torch's signature)
            if keywords is not None and self.listens():
                tensors = (one for one in (*args, *keywords.values()) if isinstance(one, Tensor))
                self.given.setdefault(name, []).append([(tensor, _version(tensor)) for tensor in tensors])

        return hook

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, args: Any, result: Any) -> Any:  # noqa: ARG001 (torch's signature)
            return self._take(name, result) if self.listens() else None

        return hook

    def _take(self, name: str, result: Any) -> Any:
        given = self.given[name].pop()
        recomputed = _is_recomputed()
        call = self.calls.get(name, 0)
        if not recomputed:
            self.calls[name] = call + 1
            if self.options.call >= 0 and call != self.options.call:
                return None
        tensor = find_tensor(result, self.options.layer_output, f"layer {name!r}", "layer_output")
        before = next((version for one, version in given if one is tensor), None)
        if torch.is_inference_mode_enabled() and self.options.graph:
            raise CaptureError(f"layer {name!r} runs inside an inference_mode block, which rules out gradients")
        only_the_last_counts = len(self.names) == 1 and self.options.call == -1
        written = before is not None and _version(tensor) != before  # in place: the layer's input is its output now
        passed_on = None
        if not self.options.graph:
            activation = tensor.clone() if self.form.copy or tensor.is_inference() else tensor
        elif not tensor.requires_grad or (self.form.detach and (only_the_last_counts or not self.taken)):
            if written and not tensor.requires_grad and not tensor.is_inference():
                activation, passed_on = self._started_in_place(tensor), tensor
            else:
                activation = tensor.detach()
                if activation.is_inference() or (before is not None and self.form.copy):
                    activation = activation.clone()
                activation.requires_grad_()
            torch.set_grad_enabled(True)
        elif before is None or written or not any(leaf is tensor for leaf in leaves(result)):
            activation = tensor
        else:  # handed through: the layer's output is a step of its own, apart from what goes around the layer
            activation = tensor.clone() if self.form.copy else tensor.view_as(tensor)
        if not recomputed:
            entry = (activation, _version(activation))
            self.taken[name] = [entry] if self.options.call == -1 else [*self.taken.get(name, []), entry]
        if not self.options.graph:
            return None
        if passed_on is None:
            passed_on = activation.clone() if self.form.copy else activation
        return None if passed_on is tensor else self._put(name, result, tensor, passed_on)

    def _started_in_place(self, tensor: Tensor) -> Tensor:
        """The start of a graph where a layer has written into its input, which the model may go on using as well."""
        if not self.form.copy:
            return tensor.requires_grad_()
        activation = tensor.clone().requires_grad_()
        with torch.enable_grad():
            tensor.copy_(activation)
        return activation

    def _put(self, name: str, result: Any, tensor: Tensor, passed_on: Tensor) -> Any:
        """What the layer returned, with one tensor replaced by another."""
        if any(leaf is tensor for leaf in leaves(result)):
            return map_leaves(lambda leaf: passed_on if leaf is tensor else leaf, result)
        reason = (
            f"what layer {name!r} returns ({type(result).__name__}) doesn't hold the tensor that layer_output= finds: "
            "it must pick one out of a tuple, dict or dataclass; slices belong in reshape="
        )
        if self.form.detach:
            raise Defeated(reason, Form(detach=False, copy=False))
        raise CaptureError(reason)

    def _keep_grad_mode(self, module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG002 (torch's signature)
        """Switch grad mode on again behind a block that put back the mode it found."""
        if self.taken and self.options.graph and self.listens() and not torch.is_grad_enabled():
            floats = (leaf for leaf in leaves(result) if isinstance(leaf, Tensor) and leaf.is_floating_point())
            if not all(leaf.requires_grad for leaf in floats):
                self.graph_interrupted = True  # the block went on without a graph behind the layer
            torch.set_grad_enabled(True)


def _is_recomputed() -> bool:
    """Whether a checkpoint runs its block again, inside a backward."""
    return torch._C._current_graph_task_id() != -1


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def find_tensor(result: Any, extract: Extract | None, who: str, argument: str) -> Tensor:
    """The tensor in what a model or a layer returned, or an error that names the argument which finds it."""
    found = result if extract is None else extract(result)
    if not isinstance(found, Tensor):
        raise CaptureError(
            f"{who} returned {type(found).__name__}, not a tensor: pass {argument}=, a function that finds the tensor "
            "in what was returned"
        )
    if not found.is_floating_point():
        raise CaptureError(
            f"{who} returned a tensor of {found.dtype}, which has no gradient: {argument}= may pick another"
        )
    return found


def plain(tensor: Tensor) -> Tensor:
    """The tensor without the Python subclass around it, where the subclass keeps its data like any tensor."""
    if type(tensor) is Tensor or type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return tensor
    return tensor.as_subclass(Tensor)
