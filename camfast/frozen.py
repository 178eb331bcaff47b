"""An explainer for inputs of one shape: everything it writes to is kept, and on a GPU all of it is one CUDA graph."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from camfast.errors import CaptureError
from camfast.explanation import Explanation
from camfast.inputs import arguments, as_given
from camfast.mapping import Outputs
from camfast.ops.checks import check_out
from camfast.passes import Arguments, Given
from camfast.targets import Classes, Target, class_indices

# Calls before a CUDA graph is captured: libraries choose their algorithms and allocate what they keep.
_WARM_UP = 3
_Result = TypeVar("_Result")
_capturing = threading.Lock()  # torch captures on one stream, whichever thread asks


class Run(Protocol):
    """What explains a batch: into kept outputs, by inputs that were copied for the model."""

    def __call__(  # noqa: D102
        self, inputs: Any, target: Target, out: Tensor | None, outputs: Outputs | None = None, given: Given = arguments
    ) -> Explanation: ...


class Frozen:
    """Explains inputs of one shape again and again, writing to the same tensors; `Explainer.freeze` makes it.

    A call returns what the explainer would. On a CPU nothing is allocated for inputs, grids and maps: only what the
    model's own forward pass and the gradient of its head take, and a few numbers a sample. On a GPU the first call for
    a kind of target captures a CUDA graph of forward pass, gradient, map and upsampling, and later calls replay it.
    Each region, unit or function is a kind of its own: pass the same object again.

    What a call returns is overwritten by the next one: clone it, or give ``out=``, to keep it. Weights may be trained
    in place between calls. Nothing else of the model may change: freeze again after moving it, replacing parameters or
    switching between training and evaluation. Threads take turns.
    """

    def __init__(self, run: Run, model: nn.Module, example: Any, target: Target) -> None:
        self._run, self._model = run, model
        self._training = model.training
        first = run(example, target, None)  # finds how the model has to be run, and says what is wrong with it
        self._scores = first.scores
        with torch.inference_mode(False):  # what is made under it can't be written to outside of it
            self._inputs: Arguments = tree_map(_detached, arguments(example))
        self._outputs = Outputs(kept=True)
        self._classes: dict[Hashable, Classes] = {}
        self._graphs: dict[Hashable, Graph[Explanation]] = {}
        self._on_gpu = first.scores.is_cuda
        self._lock = threading.Lock()

    def __call__(self, inputs: Any, target: Target = "predicted", out: Tensor | None = None) -> Explanation:
        """Explain a batch shaped like the example.

        Parameters
        ----------
        inputs, target, out
            Those of `Explainer.__call__`.

        Returns
        -------
        Explanation
            Of tensors that the next call overwrites, but for ``out``.

        Raises
        ------
        ValueError
            If the inputs aren't shaped like the example, or the model was switched between training and evaluation.
        CaptureError
            If a CUDA graph can't hold what the model, the method or the target does.
        TypeError, ValueError
            If the target doesn't fit the output, or ``out`` the maps.
        """
        _check_like(as_given(inputs), self._inputs)
        if self._model.training != self._training:
            modes = ("evaluation", "training")
            raise ValueError(
                f"the model was in {modes[self._training]} mode when its explainer was frozen, and is in "
                f"{modes[self._model.training]} mode now: freeze it again"
            )
        with self._lock:
            with torch.inference_mode(False):
                result = self._replayed(inputs, target) if self._on_gpu else self._explained(inputs, target)
            return result if out is None else _written(result, out)

    @property
    def inputs(self) -> Arguments:
        """The model's arguments, positional and by name, in the tensors that are kept for them."""
        return self._inputs

    def explain_kept(self, target: Target) -> Explanation:
        """Explain what `inputs` hold, as work on the current stream alone.

        For a caller who fills them, and captures this and more in a CUDA graph of their own: classes are then given as
        the `camfast.targets.Classes` of a tensor that is filled before each replay.
        """
        args, kwargs = self._inputs
        return self._run(kwargs or args, target, None, self._outputs, lambda _: self._inputs)

    def _explained(self, inputs: Any, target: Target) -> Explanation:
        return self._run(inputs, target, None, self._outputs, self._copied)

    def _copied(self, inputs: Any) -> Arguments:
        """The inputs, in the tensors that are kept for them."""
        with torch.no_grad():
            for kept, leaf in zip(*map(_leaves, (self._inputs, as_given(inputs))), strict=True):
                if isinstance(kept, Tensor):
                    kept.requires_grad_(False).copy_(leaf)  # a graph starts at them where the layer writes into them
        return self._inputs

    def _replayed(self, inputs: Any, target: Target) -> Explanation:
        kind, kept = self._kept_target(target)
        key = (kind, _autocast(self._scores.device))
        if key not in self._graphs:
            self._copied(inputs)
            self._graphs[key] = Graph(lambda: self.explain_kept(kept), target)
        self._copied(inputs)  # a model may have changed them in place
        return self._graphs[key].replay()

    def _kept_target(self, target: Target) -> tuple[Hashable, Target]:
        """What kind of target it is, and the target with its classes in a tensor that is kept for this kind."""
        if isinstance(target, str) or not _names_classes(target):
            return target if isinstance(target, str) else ("object", id(target)), target
        scores = self._scores if self._scores.ndim > 1 else self._scores[:, None]
        indices, many = class_indices(scores, target)
        kind = ("classes", indices.shape[1], many)
        if kind not in self._classes:
            self._classes[kind] = Classes(indices.clone(), many)
        self._classes[kind].indices.copy_(indices)
        return kind, self._classes[kind]


class Graph(Generic[_Result]):
    """A CUDA graph of an explanation, with the tensors that it leaves its results in.

    Parameters
    ----------
    explain
        What is captured: work on the current stream that waits for nothing.
    target
        Kept alive with the graph, which holds what became of it.

    Raises
    ------
    CaptureError
        If something of it can't be captured.
    """

    def __init__(self, explain: Callable[[], _Result], target: Target) -> None:
        self.target = target
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                explain()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        try:
            with _capturing, torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._result = explain()
        except RuntimeError as error:
            raise CaptureError(
                f"this explanation can't be captured in a CUDA graph ({str(error).splitlines()[0]}): something in the "
                "model, the method (eigencam, eigengradcam, cam) or the target (a region's component, a function) "
                "waits for the GPU; call the explainer itself"
            ) from error

    def replay(self) -> _Result:
        """Run again on what the kept inputs and classes hold now."""
        self._graph.replay()
        return self._result


def _check_like(found: Arguments, kept: Arguments) -> None:
    given, wanted = _leaves(found), _leaves(kept)
    if tree_flatten(found)[1] != tree_flatten(kept)[1]:
        raise ValueError(
            f"inputs must be given as the example was, {len(wanted)} value(s) in the same places; found {len(given)}"
        )
    for leaf, like in zip(given, wanted, strict=True):
        if not isinstance(like, Tensor) or not isinstance(leaf, Tensor):
            if isinstance(like, Tensor) or isinstance(leaf, Tensor) or leaf != like:
                raise ValueError(f"inputs hold {leaf!r} where the frozen explainer has {like!r}: freeze it again")
        elif (leaf.shape, leaf.dtype, leaf.device) != (like.shape, like.dtype, like.device):
            raise ValueError(
                f"the frozen explainer takes {_described(like)}, found {_described(leaf)}: freeze one for these, or "
                "call the explainer itself"
            )


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)} on {tensor.device}"


def _leaves(given: Arguments) -> list[Any]:
    return tree_flatten(given)[0]


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _names_classes(target: Target) -> bool:
    """Whether a target is a class, or one for each sample, or several."""
    if isinstance(target, Sequence):
        return not isinstance(target, str) and all(hasattr(one, "__index__") for one in target)
    return isinstance(target, Tensor) or hasattr(target, "__index__")


def _autocast(device: torch.device) -> torch.dtype | None:
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def _written(result: Explanation, out: Tensor) -> Explanation:
    if not isinstance(result.maps, Tensor):
        raise ValueError("out= holds the maps of a single layer, without a graph: leave it out here")
    check_out(out, tuple(result.maps.shape), (), (result.maps,))
    return replace(result, maps=out.copy_(result.maps))
