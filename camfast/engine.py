"""From a model and inputs to maps, again and again: `Explainer`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from camfast import layers, methods
from camfast.calibration import calibrated
from camfast.capture import resolve_size, spatial_size
from camfast.explanation import Explanation, assemble
from camfast.frozen import Frozen
from camfast.guards import warn_of_training_mode
from camfast.inputs import arguments as copies
from camfast.linear_head import class_weights, head_weights
from camfast.mapping import Outputs, Recipe, Task, by_gradients, shaped
from camfast.ops.forms import Centres, Gain, Upsample
from camfast.passes import Given, Pass, run
from camfast.recorder import CaptureOptions, Extract
from camfast.targets import Target, classes_of, named_units, select
from camfast.upsample import Upsampling

Layer = str | nn.Module


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
        The Gaussians, see `camfast.ops.gaussian_upsample`. ``sigma="auto"`` measures each layer's effective receptive
        field on the images ``calibration`` when it is first needed.
    fuse
        For several layers: ``"mean"`` or ``"max"`` of their maps; None keeps them apart. Raw maps are fused: a layer
        of larger values, or of larger cells, whose sum grows with upsampling, outweighs the others. Where each should
        count the same, leave them apart and divide each by its maximum first.
    head
        For ``"cam"``: the linear layer or 1×1 convolution behind the pooling; None: it is looked for.
    centre
        For ``"eigencam"`` and ``"eigengradcam"``: subtract each channel's mean first.
    calibration
        Images (N, C, *S_in) like those that will be explained, for ``sigma="auto"``; tens of them.
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
        sigma: float | Sequence[float] | Literal["auto"] | None = None,
        gain: Gain = "spray",
        centres: Centres | None = None,
        fuse: Literal["mean", "max"] | None = None,
        head: Layer | None = None,
        centre: bool = False,
        calibration: Tensor | None = None,
        backend: str | None = None,
        call: int = -1,
        output: Extract | None = None,
        layer_output: Extract | None = None,
        reshape: Callable[[Tensor], Tensor] | None = None,
        create_graph: bool = False,
    ) -> None:
        self._arguments = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        self.model = layers.unwrap(model)
        self._names = layers.names_of(self.model, layer)
        self._single = isinstance(layer, str | nn.Module)  # a Sequential is one layer, not a sequence of them
        self.layer: str | tuple[str, ...] = self._names[0] if self._single else self._names
        form = methods.get(method)
        self.method = method
        self.relu = form.relu if relu is None else relu
        self.size = size
        if head is not None and method != "cam":
            raise ValueError(f"head belongs to method='cam', found it with {method!r}")
        if centre and method not in methods.COMPONENTS:
            raise ValueError(f"centre belongs to {' and '.join(sorted(methods.COMPONENTS))}, found it with {method!r}")
        self._head, self._centre = None if head is None else layers.find(self.model, head)[0], centre
        self._calibration = calibrated(self.model, sigma, calibration)
        if size == "grid" and sigma is None:
            upsample = upsample or "linear"  # nothing is upsampled: the method's own Gaussians need no sigma here
        known = 1.0 if self._calibration is not None else sigma  # stands in for what is measured later
        self._upsampling = Upsampling(upsample or form.upsample, known, gain, centres)  # type: ignore[arg-type]
        if fuse not in (None, "mean", "max"):
            raise ValueError(f"fuse must be None, 'mean' or 'max', found {fuse!r}")
        if fuse is not None and size == "grid":
            raise ValueError("fuse needs maps of one size, and size='grid' leaves every layer on its own grid")
        self.fuse = fuse
        self.backend = backend
        graph = create_graph or method not in methods.WITHOUT_GRADIENTS
        self.options = CaptureOptions(call, output, layer_output, reshape, create_graph, graph)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the explainer was made with, by name, defaults included: a dict of one's own."""
        return dict(self._arguments)

    @property
    def upsampling(self) -> Upsampling:
        """How the grid of the layer, the first of several, becomes a map; ``sigma="auto"`` is measured for it."""
        if self._calibration is None:
            return self._upsampling
        return replace(self._upsampling, sigma=self._calibration.sigma(self._names[0]))

    def __call__(self, inputs: Any, target: Target = "predicted", out: Tensor | None = None) -> Explanation:
        """Explain a batch.

        Parameters
        ----------
        inputs
            What the model takes: a tensor (N, C, *S_in), a tuple of positional or a dict of keyword arguments.
        target
            ``"predicted"``; a class; a LongTensor (N,) of one class a sample; a `camfast.Region`; a `camfast.Unit`;
            ``"all"``, or a list of classes, regions or units: several maps a sample from one pass; a function of the
            output that returns (N,) or (N, T). ``"eigencam"`` gives the same map for each.
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
        return self._run(inputs, target, out)

    def freeze(self, example: Any, target: Target = "predicted") -> Frozen:
        """Return the explainer for inputs of one shape, in a form that keeps everything it writes to.

        Parameters
        ----------
        example
            Inputs as they will come, of the same shapes, dtypes and device; what they hold doesn't matter.
        target
            What will be explained, or something like it: it is tried at once. Calls may name others.

        Returns
        -------
        Frozen
            Called as the explainer is, with the same results: on a GPU by a CUDA graph.

        Raises
        ------
        ValueError
            If graphs are asked for by ``create_graph``; and what the explainer raises for the example.

        Examples
        --------
        >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
        >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5))
        >>> frozen = camfast.Explainer(model, "1", method="respond").freeze(torch.ones(1, 3, 8, 8))
        >>> frozen(torch.rand(1, 3, 8, 8), target=3).maps.shape
        torch.Size([1, 8, 8])
        """
        if self.options.create_graph:
            raise ValueError("create_graph=True makes maps that are new each time: freeze an explainer without it")
        return Frozen(self._run, self.model, example, target)

    def _run(
        self,
        inputs: Any,
        target: Target,
        out: Tensor | None,
        outputs: Outputs | None = None,
        given: Given = copies,
    ) -> Explanation:
        """Explain a batch, into some outputs; ``given`` copies the inputs for the model."""
        if out is not None and (not self._single or self.options.create_graph):
            raise ValueError("out= holds the maps of a single layer, without a graph: leave it out here")
        if self.model.training and not self.options.create_graph:
            warn_of_training_mode(self.model)
        named, units = named_units(self.model, target)
        recipes = self._recipes(inputs)
        size = spatial_size(inputs)
        return run(
            self.model,
            inputs,
            self._names,
            self.options,
            lambda found: self._explain(found, named, recipes, size, out, outputs or Outputs()),
            [name for name in units if name not in self._names or self.options.call != -1],
            given,
        )

    def replace(self, **changes: Any) -> "Explainer":
        """Return an explainer like this one with some arguments changed."""
        changed = Explainer(**(self.arguments | changes))
        if not changes.keys() & {"model", "sigma", "calibration"}:
            changed._calibration = self._calibration  # what was measured once is kept
        return changed

    def _recipes(self, inputs: Any) -> dict[str, Recipe]:
        """How each layer's map is made; what has to be measured is, in a pass before the one explained."""
        calibration = None if self.size == "grid" else self._calibration
        size = None if isinstance(self.size, str) else self.size
        recipes = {}
        for name in self._names:
            upsampling = self._upsampling
            if calibration is not None:
                upsampling = replace(upsampling, sigma=calibration.sigma(name, inputs, size))
            recipes[name] = Recipe(self.method, self.relu, upsampling, self._centre, self.backend)
        return recipes

    def _explain(
        self,
        found: Pass,
        target: Target,
        recipes: Mapping[str, Recipe],
        input_size: tuple[int, ...] | None,
        out: Tensor | None,
        outputs: Outputs,
    ) -> Explanation:
        selection = select(found.scores, target, {**found.activations, **found.units})
        tasks = []
        for name, activation in found.activations.items():
            A = shaped(name, activation, self.options.reshape)
            A = A if self.options.create_graph else A.detach()
            tasks.append(Task(name, activation, A, recipes[name], resolve_size(self.size, input_size, A)))
        targets = selection.values.shape[1] if selection.many else None
        for task in tasks:
            task.check_out(out, targets)
        if self.method == "cam":
            classes = classes_of(selection)
            parts = {}
            for task in tasks:
                head = head_weights(self.model, task.name, task.A, found.scores, self._head)
                head = head if self.options.create_graph else head.detach()
                into = None if self.options.create_graph else outputs.of(task, targets, out)
                parts[task.name] = task.of_weights(class_weights(head, classes, task.A), into)
        elif self.method in methods.WITHOUT_GRADIENTS:
            parts = {task.name: task.of_activations(targets, out) for task in tasks}
        else:
            parts = by_gradients(tasks, selection, self.options, out, outputs=outputs)
        return assemble(parts, found.scores, selection, fuse=self.fuse, single=self._single)
