"""From a model and an input to maps: `cam` for one call, `Explainer` for many."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camfast import layers, methods, ops
from camfast.capture import resolve_size, spatial_size
from camfast.errors import TrainingModeWarning
from camfast.explanation import Explanation, assemble
from camfast.gradients import target_gradients
from camfast.ops import FusedCam
from camfast.ops.checks import check_out
from camfast.ops.forms import Centres, Gain, Upsample
from camfast.passes import Pass, run
from camfast.recorder import CaptureOptions, Extract, plain
from camfast.targets import Target, select
from camfast.upsample import Upsampling

Layer = str | nn.Module

_UNSTEADY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class Explainer:
    """Explains a model at a layer, again and again: reusable, re-entrant, safe to share between threads.

    One forward pass without a graph before the layer, the gradient from the scores back to the layer only, and the
    fused kernels. The model is left as it was: no hook, no ``.grad``, no changed flag or buffer, also after an error.

    Parameters
    ----------
    model
        A trained module; in DataParallel or ``torch.compile`` the module inside is explained.
    layer
        Dotted name or module whose output is explained; or a sequence of them, explained from one pass.
    method
        A name of `camfast.methods`.
    relu
        Set negative values of the grid to 0; None: as the method does.
    upsample
        ``"linear"`` or ``"gaussian"``; None: as the method does.
    size
        Pixels along each spatial axis; None: the input's; ``"grid"``: no upsampling.
    sigma, gain, centres
        The Gaussians, see `camfast.ops.gaussian_upsample`.
    fuse
        For several layers: ``"mean"`` or ``"max"`` of their maps; None keeps them apart.
    backend
        See `camfast.backends`.
    call
        Which call of a layer that runs several times; −1 is the last.
    output, layer_output
        Functions that find the scores in what the model returns, and the activation in what the layer returns.
    reshape
        Function that brings the activation, such as tokens (N, L, C), to (N, C, *S).
    create_graph
        Keep the whole graph, so that maps can stand in a training loss.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Examples
    --------
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5))
    >>> explainer = camfast.Explainer(model, "1", method="respond")
    >>> explainer(torch.ones(2, 3, 8, 8), target="all").maps.shape
    torch.Size([2, 5, 8, 8])
    """

    def __init__(
        self,
        model: nn.Module,
        layer: Layer | Sequence[Layer],
        method: str = "gradcam",
        *,
        relu: bool | None = None,
        upsample: Upsample | None = None,
        size: Sequence[int] | Literal["grid"] | None = None,
        sigma: float | Sequence[float] | None = None,
        gain: Gain = "spray",
        centres: Centres | None = None,
        fuse: Literal["mean", "max"] | None = None,
        backend: str | None = None,
        call: int = -1,
        output: Extract | None = None,
        layer_output: Extract | None = None,
        reshape: Callable[[Tensor], Tensor] | None = None,
        create_graph: bool = False,
    ) -> None:
        self._arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        self.model = layers.unwrap(model)
        self._names = _layer_names(self.model, layer)
        self._single = isinstance(layer, str | nn.Module)  # a Sequential is one layer, not a sequence of them
        self.layer: str | tuple[str, ...] = self._names[0] if self._single else self._names
        form = methods.get(method)
        self.method = method
        self.relu = form.relu if relu is None else relu
        self.size = size
        if size == "grid" and sigma is None:
            upsample = upsample or "linear"  # nothing is upsampled: the method's own Gaussians need no sigma here
        self.upsampling = Upsampling(upsample or form.upsample, sigma, gain, centres)
        if fuse not in (None, "mean", "max"):
            raise ValueError(f"fuse must be None, 'mean' or 'max', found {fuse!r}")
        if fuse is not None and size == "grid":
            raise ValueError("fuse needs maps of one size, and size='grid' leaves every layer on its own grid")
        self.fuse = fuse
        self.backend = backend
        for name, function in (("output", output), ("layer_output", layer_output), ("reshape", reshape)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function of what it is given, found {function!r}")
        self.options = CaptureOptions(call, output, layer_output, reshape, create_graph)

    def __call__(self, inputs: Any, target: Target = "predicted", out: Tensor | None = None) -> Explanation:
        """Explain a batch.

        Parameters
        ----------
        inputs
            What the model takes: a tensor (N, C, *S_in), a tuple of positional or a dict of keyword arguments.
        target
            ``"predicted"``; a class; a LongTensor (N,) of one class a sample; ``"all"``, a list of classes or of
            `camfast.Region`: several maps a sample from one pass; a function of the output that returns (N,) or (N, T).
        out
            Tensor for the maps, float32 (float64 for float64), shaped like them; for a single layer.

        Returns
        -------
        Explanation
            Maps (N, *S_in), or (N, T, *S_in) for several targets, and what went into them.

        Raises
        ------
        CaptureError
            If the layer isn't reached, or no gradient can flow to it.
        TypeError, ValueError
            If the target doesn't fit the output, or ``out`` the maps.
        """
        if out is not None and (not self._single or self.options.create_graph):
            raise ValueError("out= holds the maps of a single layer, without a graph: leave it out here")
        if self.model.training and not self.options.create_graph:
            _warn_of_training_mode(self.model)
        return run(
            self.model,
            inputs,
            self._names,
            self.options,
            lambda found: self._explain(found, target, spatial_size(inputs), out),
        )

    def replace(self, **changes: Any) -> "Explainer":
        """Return an explainer like this one with some arguments changed."""
        return Explainer(**{**self._arguments, **changes})

    def _explain(
        self, found: Pass, target: Target, input_size: tuple[int, ...] | None, out: Tensor | None
    ) -> Explanation:
        selection = select(found.scores, target)
        create_graph = self.options.create_graph
        shaped = {name: self._shaped(name, tensor) for name, tensor in found.activations.items()}
        sizes = {name: resolve_size(self.size, input_size, A) for name, A in shaped.items()}
        targets = selection.values.shape[1] if selection.many else None
        parts: dict[str, FusedCam] = {}
        if not create_graph:
            shaped = {name: A.detach() for name, A in shaped.items()}
            for name, A in shaped.items():
                lead = (len(A),) if targets is None else (len(A), targets)
                check_out(out, lead, tuple(sizes[name] or A.shape[2:]), (A,))
                parts[name] = ops.allocate(A, self.method, sizes[name], targets=targets, maps=out)
        pieces: dict[str, list[FusedCam]] = {name: [] for name in shaped}
        gradients = target_gradients(
            selection.values, list(found.activations.values()), retain_graph=create_graph, create_graph=create_graph
        )
        for part, by_layer in gradients:
            for (name, A), raw in zip(shaped.items(), by_layer, strict=True):
                G = plain(raw) if self.options.reshape is None else torch.stack([self._shaped(name, g) for g in raw])
                whole = parts.get(name)
                outputs = whole.targets(part) if whole is not None and selection.many else whole
                piece = ops.fused_cam_parts(
                    A, G if selection.many else G[0], self.method, relu=self.relu, size=sizes[name],
                    upsample=self.upsampling.mode, sigma=self.upsampling.sigma, gain=self.upsampling.gain,
                    centres=self.upsampling.centres, out=outputs, backend=self.backend,
                )  # fmt: skip
                pieces[name].append(piece)
        if create_graph:
            parts = {name: _joined(found) for name, found in pieces.items()}
        return assemble(parts, found.scores, selection, fuse=self.fuse, single=self._single)

    def _shaped(self, name: str, tensor: Tensor) -> Tensor:
        """An activation or gradient as (N, C, *S)."""
        shaped = plain(tensor if self.options.reshape is None else self.options.reshape(tensor))
        if not 3 <= shaped.ndim <= 5:
            raise ValueError(
                f"the activation of layer {name!r} has the shape {tuple(shaped.shape)}, expected (N, C, *S) with one "
                "to three spatial axes: choose an earlier layer, or pass reshape="
            )
        return shaped


def cam(
    model: nn.Module,
    inputs: Any,
    layer: Layer,
    target: Target = "predicted",
    *,
    method: str = "gradcam",
    relu: bool | None = None,
    upsample: Upsample | None = None,
    size: Sequence[int] | Literal["grid"] | None = None,
    sigma: float | Sequence[float] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    backend: str | None = None,
    **capture_options: Any,
) -> Tensor:
    """Map the places that made a model decide: one call of an `Explainer`.

    Parameters
    ----------
    model, layer, method, relu, upsample, size, sigma, gain, centres, backend
        See `Explainer`.
    inputs, target
        See `Explainer.__call__`.
    capture_options
        ``call``, ``output``, ``layer_output``, ``reshape``, ``create_graph`` of `Explainer`.

    Returns
    -------
    Tensor
        (N, *S_in), or (N, T, *S_in) for several targets; float32 (float64 for float64), raw values.

    Raises
    ------
    CaptureError
        If the layer isn't reached, or no gradient can flow to it.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Examples
    --------
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5))
    >>> camfast.cam(model, torch.ones(1, 3, 8, 8), "1", target=3).shape
    torch.Size([1, 8, 8])
    """
    explainer = Explainer(
        model, layer, method, relu=relu, upsample=upsample, size=size, sigma=sigma, gain=gain, centres=centres,
        backend=backend, **capture_options,
    )  # fmt: skip
    maps: Tensor = explainer(inputs, target).maps
    return maps


def _warn_of_training_mode(model: nn.Module) -> None:
    unsteady = {
        type(module).__name__ for module in model.modules() if module.training and isinstance(module, _UNSTEADY)
    }
    if unsteady:
        warnings.warn(
            f"the model is in training mode, where {' and '.join(sorted(unsteady))} make maps depend on chance or "
            "on the rest of the batch: call model.eval() first",
            TrainingModeWarning,
            stacklevel=3,
        )


def _layer_names(model: nn.Module, layer: Layer | Sequence[Layer]) -> tuple[str, ...]:
    if isinstance(layer, str | nn.Module):
        return (layers.find(model, layer)[0],)
    if not isinstance(layer, Sequence):
        raise TypeError(f"layer must be a dotted name or a module, or a sequence of them, found {type(layer).__name__}")
    names = tuple(layers.find(model, single)[0] for single in layer)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"layer must name at least one layer, each once; found {names}")
    return names


def _joined(pieces: list[FusedCam]) -> FusedCam:
    """The parts of all targets, from those of some targets each."""
    if len(pieces) == 1:
        return pieces[0]
    grid, maps, weights, flags = zip(*pieces, strict=True)
    return FusedCam(torch.cat(grid, 1), torch.cat(maps, 1), _cat(weights), _cat(flags))


def _cat(fields: tuple[Tensor | None, ...]) -> Tensor | None:
    present = [field for field in fields if field is not None]
    return torch.cat(present, dim=1) if present else None
