"""Taking the activations of layers while a model runs, with a graph from there to the scores."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from camfast import layers, ops
from camfast.errors import CaptureError
from camfast.gradients import target_gradients
from camfast.ops.forms import Centres, Gain, Upsample

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
    """

    call: int = -1
    output: Extract | None = None
    layer_output: Extract | None = None
    reshape: Callable[[Tensor], Tensor] | None = None
    create_graph: bool = False


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


@dataclass
class Recorder:
    """Hooks on some layers, for one run of a model in one thread."""

    names: Sequence[str]
    options: CaptureOptions
    form: Form
    owner: int = field(default_factory=threading.get_ident)
    calls: dict[str, int] = field(default_factory=dict)
    taken: dict[str, list[tuple[Tensor, int]]] = field(default_factory=dict)

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Hold the hooks on the layers, and on what encloses them, for the duration of a run."""
        with ExitStack() as stack:
            for name in self.names:
                module = layers.find(model, name)[1]
                stack.callback(module.register_forward_hook(self._hook(name)).remove)
                for enclosing in layers.ancestors(model, name):
                    stack.callback(enclosing.register_forward_hook(self._keep_grad_mode).remove)
            yield

    def activations(self) -> dict[str, Tensor]:
        """The activation of each layer, of the call asked for."""
        found = {}
        call = self.options.call
        for name in self.names:
            ran = self.calls.get(name, 0)
            if ran == 0:
                raise CaptureError(
                    f"layer {name!r} was never reached when the model ran: it is not part of this forward pass, is a "
                    "container whose parts are called one by one, or runs in another thread or process"
                )
            if not -ran <= call < ran:
                raise CaptureError(f"layer {name!r} ran {ran} times: there is no call={call}")
            found[name], version = self.taken[name][call if call < 0 else 0]
            if found[name]._version != version:
                raise Defeated(f"layer {name!r} is changed in place by what follows it", replace(self.form, copy=True))
        return found

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, args: Any, result: Any) -> Any:  # noqa: ARG001 (torch's signature)
            if threading.get_ident() != self.owner:
                return None  # the module is shared, and another thread runs it
            return self._take(name, result)

        return hook

    def _take(self, name: str, result: Any) -> Any:
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        if self.options.call >= 0 and call != self.options.call:
            return None
        tensor = find_tensor(result, self.options.layer_output, f"layer {name!r}", "layer_output")
        if torch.is_inference_mode_enabled():
            raise CaptureError(f"layer {name!r} runs inside the model's own inference_mode block, without gradients")
        only_the_last_counts = len(self.names) == 1 and self.options.call == -1
        if not tensor.requires_grad or (self.form.detach and (only_the_last_counts or not self.taken)):
            activation = tensor.detach()
            if activation.is_inference():
                activation = activation.clone()
            activation.requires_grad_()
            torch.set_grad_enabled(True)
        else:
            activation = tensor
        entry = (activation, activation._version)
        self.taken[name] = [entry] if self.options.call == -1 else [*self.taken.get(name, []), entry]
        passed_on = activation.clone() if self.form.copy else activation
        return None if passed_on is tensor else self._put(result, tensor, passed_on)

    def _put(self, result: Any, tensor: Tensor, passed_on: Tensor) -> Any:
        """What the layer returned, with one tensor replaced by another."""
        met = False

        def swap(leaf: Any) -> Any:
            nonlocal met
            met = met or leaf is tensor
            return passed_on if leaf is tensor else leaf

        swapped = tree_map(swap, result)
        if not met:  # made by layer_output, or inside an object that torch doesn't look into
            raise Defeated("layer_output returns a tensor that the layer didn't", Form(detach=False, copy=False))
        return swapped

    def _keep_grad_mode(self, module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG002 (torch's signature)
        """Switch grad mode on again behind a block that put back the mode it found."""
        if self.taken and threading.get_ident() == self.owner:
            torch.set_grad_enabled(True)


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


class Captured:
    """What `capture` has taken: valid once the model has run inside the ``with`` block."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._size: tuple[int, ...] | None = None

    @property
    def activations(self) -> Tensor:
        """The layer's activation, in the graph of the scores."""
        try:
            (activation,) = self._recorder.activations().values()
        except Defeated as defeat:
            raise CaptureError(f"{defeat}: use capture(..., copy=True)") from None
        return activation

    def map(
        self,
        values: Tensor,
        method: str = "gradcam",
        *,
        relu: bool | None = None,
        upsample: Upsample | None = None,
        size: Sequence[int] | str | None = None,
        sigma: float | Sequence[float] | None = None,
        gain: Gain = "spray",
        centres: Centres | None = None,
        backend: str | None = None,
    ) -> Tensor:
        """Explain one scalar a sample by the captured activation; the graph stays usable for the caller's own backward.

        Parameters
        ----------
        values
            y, (N,), or (N, T) for T targets, computed from the model's output: ``scores[:, 3]``.
        method, relu, upsample, size, sigma, gain, centres, backend
            See `camfast.cam`.

        Returns
        -------
        Tensor
            (N, *size) or (N, T, *size), detached.

        Raises
        ------
        CaptureError
            If the layer was not reached, or the values don't depend on it.
        ValueError
            If an argument doesn't fit.
        """
        activation = self.activations
        many = values.ndim == 2
        columns = values if many else values[:, None]
        reshape = self._recorder.options.reshape
        A = activation if reshape is None else reshape(activation)
        parts = []
        for _, (G,) in target_gradients(columns, [activation], retain_graph=True):
            G = G if reshape is None else torch.stack([reshape(gradient) for gradient in G])
            parts.append(
                ops.fused_cam(
                    A.detach(),
                    G,
                    method,
                    relu=relu,
                    size=resolve_size(size, self._size, A),
                    sigma=sigma,
                    gain=gain,
                    upsample=upsample,
                    centres=centres,
                    backend=backend,
                )
            )
        maps = torch.cat(parts, dim=1)
        return maps if many else maps[:, 0]

    def _note_size(self, module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:  # noqa: ARG002
        if threading.get_ident() == self._recorder.owner:
            self._size = spatial_size((args, keywords))


@contextmanager
def capture(
    model: nn.Module,
    layer: str | nn.Module,
    *,
    call: int = -1,
    layer_output: Extract | None = None,
    reshape: Callable[[Tensor], Tensor] | None = None,
    copy: bool = True,
) -> Iterator[Captured]:
    """Capture a layer in the caller's own forward pass.

    Parameters
    ----------
    model
        The module that the caller runs in the block; wrappers are looked through.
    layer
        Dotted name, or the module.
    call, layer_output, reshape
        See `CaptureOptions`.
    copy
        Hand a copy of the layer's output to what follows, so that an in-place operation there can't change what is
        explained. False saves that copy where nothing is changed in place.

    Yields
    ------
    Captured
        Its ``map`` explains scalars that were computed from the model's output.

    Raises
    ------
    TypeError, ValueError
        If the model can't be hooked or has no such layer.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(16, 3))
    >>> with camfast.capture(model, "0") as captured:
    ...     scores = model(torch.ones(1, 1, 8))
    >>> captured.map(scores[:, 2], method="respond").shape
    torch.Size([1, 8])
    """
    inner = layers.unwrap(model)
    name, _ = layers.find(inner, layer)
    options = CaptureOptions(call=call, layer_output=layer_output, reshape=reshape)
    recorder = Recorder([name], options, Form(detach=False, copy=copy))
    captured = Captured(recorder)
    grad_mode = torch.is_grad_enabled()
    handle = inner.register_forward_pre_hook(captured._note_size, with_kwargs=True)
    try:
        with recorder.attached(inner):
            yield captured
    finally:
        handle.remove()
        torch.set_grad_enabled(grad_mode)


def spatial_size(inputs: Any) -> tuple[int, ...] | None:
    """Spatial axes of the first tensor (N, C, *S) among a model's inputs."""
    sizes: list[tuple[int, ...]] = []
    tree_map(
        lambda leaf: sizes.append(tuple(leaf.shape[2:])) if isinstance(leaf, Tensor) and leaf.ndim > 2 else None, inputs
    )
    return sizes[0] if sizes else None


def resolve_size(
    size: Sequence[int] | str | None, input_size: tuple[int, ...] | None, activation: Tensor
) -> Sequence[int] | None:
    """The size that maps are brought to: the input's by default, None for the grid itself."""
    if size == "grid":
        return None
    if isinstance(size, str):
        raise ValueError(f"size must be None, 'grid' or one number a spatial axis, found {size!r}")
    if size is not None:
        return size
    if input_size is None or len(input_size) != activation.ndim - 2:
        raise ValueError(
            f"the input's spatial size {input_size} doesn't fit the layer's grid {tuple(activation.shape[2:])}: give "
            "size= with one number a spatial axis, or size='grid'"
        )
    return input_size
