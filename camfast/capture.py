"""Taking the activation of a layer in the caller's own forward pass, to explain any scalar computed from it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from camfast import guards, layers, methods
from camfast.errors import CaptureError
from camfast.inputs import tensors
from camfast.mapping import Recipe, Task, by_gradients
from camfast.ops.forms import Centres, Gain, Upsample
from camfast.recorder import CaptureOptions, Defeated, Extract, Form, Recorder, plain
from camfast.targets import Selection
from camfast.upsample import Upsampling

_CHECKPOINTED = (
    "layer {!r} is in a checkpointed block that needs no gradients of its own, and which therefore is another one when "
    "it is computed again: call requires_grad_() on the inputs before the model runs, or use camfast.cam"
)


class Captured:
    """What `capture` has taken: valid once the model has run inside the ``with`` block."""

    def __init__(self, model: nn.Module, recorder: Recorder) -> None:
        self._model, self._recorder = model, recorder
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
        centre: bool = False,
        backend: str | None = None,
    ) -> Tensor:
        """Explain one scalar a sample by the captured activation; the graph stays usable for the caller's own backward.

        Parameters
        ----------
        values
            y, (N,), or (N, T) for T targets, computed from the model's output: ``scores[:, 3]``.
        method
            See `Explainer`; ``"cam"`` needs a whole pass, and ``"eigencam"`` no graph of the values.
        relu, upsample, size, sigma, gain, centres, centre, backend
            See `Explainer`.

        Returns
        -------
        Tensor
            (N, *size) or (N, T, *size), detached.

        Raises
        ------
        CaptureError
            If the layer was not reached, or the values don't depend on it by a graph.
        ValueError
            If an argument doesn't fit.
        """
        if method == "cam":
            raise ValueError(
                "method='cam' takes its weights from a head and the scores of a whole pass: use camfast.cam, or "
                "'gradcam' with relu=False, which gives the same map behind a global average pooling"
            )
        form = methods.get(method)
        activation = self.activations
        upsample = upsample or ("linear" if size == "grid" and sigma is None else form.upsample)
        recipe = Recipe(
            method, form.relu if relu is None else relu, Upsampling(upsample, sigma, gain, centres), centre, backend
        )
        columns = _columns(values, graph=method not in methods.WITHOUT_GRADIENTS)
        reshape = self._recorder.options.reshape
        with torch.inference_mode(False), torch.enable_grad():
            A = plain(activation if reshape is None else reshape(activation)).detach()
            task = Task(self._recorder.names[0], activation, A, recipe, resolve_size(size, self._size, A))
            if method in methods.WITHOUT_GRADIENTS:
                maps = task.of_activations(columns.shape[1], None).maps
            else:
                selection = Selection(columns, None, True)
                try:
                    with guards.model_untouched(self._model):  # which a checkpoint runs again
                        parts = by_gradients([task], selection, self._recorder.options, retain_graph=True)
                except CheckpointError as error:
                    raise CaptureError(_CHECKPOINTED.format(task.name)) from error
                maps = parts[task.name].maps
        return maps if values.ndim == 2 else maps[:, 0]

    def _note_size(self, module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:  # noqa: ARG002
        if self._recorder.listens():
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
        The module that the caller runs in the block; wrappers are looked through, and compiled parts run eagerly there.
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
    captured = Captured(inner, recorder)
    grad_mode = torch.is_grad_enabled()
    handle = inner.register_forward_pre_hook(captured._note_size, with_kwargs=True)
    try:
        with guards.eager(model.modules()), recorder.attached(inner):
            yield captured
    finally:
        handle.remove()
        torch.set_grad_enabled(grad_mode)


def _columns(values: Tensor, *, graph: bool) -> Tensor:
    """Values (N,) or (N, T) as (N, T), in a graph where that is asked for."""
    if not isinstance(values, Tensor) or values.ndim not in (1, 2):
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"values must be one scalar a sample, a tensor (N,) or (N, T), found {found}")
    if graph and values.grad_fn is None:  # also of a view taken without gradients, which says that it requires grad
        raise CaptureError(
            "the values have no graph: compute them from the model's output inside the capture block, or with "
            "gradients enabled"
        )
    with torch.enable_grad():
        return values if values.ndim == 2 else values[:, None]


def spatial_size(inputs: Any) -> tuple[int, ...] | None:
    """Spatial axes of the first tensor (N, C, *S) among a model's inputs."""
    return next((tuple(tensor.shape[2:]) for tensor in tensors(inputs) if tensor.ndim > 2), None)


def resolve_size(
    size: Sequence[int] | str | None, input_size: tuple[int, ...] | None, activation: Tensor
) -> Sequence[int] | None:
    """The size that maps are brought to: the input's by default, None for the grid itself."""
    if size == "grid":
        return None
    if size is None:
        if input_size is None or len(input_size) != activation.ndim - 2:
            raise ValueError(
                f"the input's spatial size {input_size} doesn't fit the layer's grid {tuple(activation.shape[2:])}: "
                "give size= with one number a spatial axis, or size='grid'; tokens need reshape="
            )
        return input_size
    try:
        if isinstance(size, str):
            raise TypeError
        pixels = tuple(index(extent) for extent in size)
    except TypeError:
        raise ValueError(f"size must be None, 'grid' or one whole number a spatial axis, found {size!r}") from None
    if not all(extent > 0 for extent in pixels):
        raise ValueError(f"size must be positive along each axis, found {size!r}")
    return pixels
