"""The scores of a model for changed inputs, batch by batch and without a graph: what metrics and perturbations run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from camfast import guards, layers
from camfast.checks import check_count
from camfast.inputs import call
from camfast.ops.forms import map_dtype
from camfast.progress import Bar
from camfast.recorder import CaptureOptions, Extract, Form, Recorder, find_tensor, plain
from camfast.regions import Region
from camfast.targets import Selection, named_units, select


class Output(NamedTuple):
    """What a run of a model gave.

    Attributes
    ----------
    scores : Tensor
        (N, ...).
    units : dict of Tensor
        What the layers of the target's units returned, by name.
    """

    scores: Tensor
    units: dict[str, Tensor]


@dataclass(frozen=True)
class Fixed:
    """A target that no longer depends on the output: the same classes and positions for every changed input.

    Attributes
    ----------
    target
        Classes, one a sample or some; regions with masks; units; or the caller's function.
    many : bool
        Whether results have an axis of targets.
    reference : Tensor
        The scalars of the unchanged inputs, (N, T), float32 (float64 for float64).
    """

    target: Any
    many: bool
    reference: Tensor

    def values(self, found: Output, rows: Tensor) -> Tensor:
        """Scalars (M, T) of the output for changed inputs, made of the samples ``rows`` (M,)."""
        target = self.target
        if isinstance(target, Tensor):  # classes that have been checked: doing so again would wait for the device
            scores = found.scores if found.scores.ndim > 1 else found.scores[:, None]
            return scores.gather(1, target[rows.to(target.device), None]).to(map_dtype(scores.dtype))
        if isinstance(target, list | Region):
            target = [_rows_of(part, rows) for part in target] if isinstance(target, list) else _rows_of(target, rows)
        return _scalars(select(found.scores, target, found.units))


def _scalars(selection: Selection) -> Tensor:
    return selection.values.detach().to(map_dtype(selection.values.dtype))


def _rows_of(part: Any, rows: Tensor) -> Any:
    if not isinstance(part, Region):
        return part
    return Region(part.class_index, part.where[rows.to(part.where.device)])


def _fix(selection: Selection, scores: Tensor) -> Fixed:
    """A target as it was chosen from the output for the unchanged inputs."""
    found: Any = selection.targets
    if isinstance(found, Region):
        found = Region(found.class_index, found.mask(scores))
    elif isinstance(found, tuple):
        found = [Region(one.class_index, one.mask(scores)) if isinstance(one, Region) else one for one in found]
    elif selection.many and isinstance(found, Tensor):
        found = found[0].tolist()
    return Fixed(found, selection.many, _scalars(selection))


@dataclass(frozen=True)
class Scorer:
    """Runs a model without a graph, and leaves it as it was.

    Attributes
    ----------
    model : Module
        In DataParallel or ``torch.compile`` the module inside is run.
    output : callable, optional
        Finds the scores in what the model returns.
    batch : int
        How many inputs go through the model at once.
    target
        What is looked at, see `camfast.Explainer`.
    softmax : bool
        Whether scores become softmax probabilities of the classes.
    """

    model: nn.Module
    output: Extract | None = None
    batch: int = 32
    target: Any = "predicted"
    softmax: bool = False
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", layers.unwrap(self.model))
        target, units = named_units(self.model, self.target)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "batch", check_count("batch", self.batch))
        guards.warn_of_training_mode(self.model)

    def __call__(self, inputs: Tensor) -> Output:
        """Run a batch that fits the model at once; the model may change the tensor that it is given."""
        recorder = Recorder((), CaptureOptions(), Form(detach=False, copy=True), self.units)
        with torch.no_grad(), guards.model_untouched(self.model), recorder.alone(), recorder.attached(self.model):
            result = call(self.model, (inputs,), {})
        scores = plain(find_tensor(result, self.output, "the model", "output")).detach()
        if self.softmax:
            if scores.ndim < 2:
                raise ValueError(
                    f"the model's output {tuple(scores.shape)} has no classes to take the softmax over: pass "
                    "softmax=False"
                )
            scores = scores.softmax(1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return Output(scores, recorder.unit_layers())

    def fix(self, inputs: Tensor, *, single: bool = False) -> Fixed:
        """Choose the target by the output for the unchanged inputs, once and for all.

        ``"predicted"`` becomes each sample's class; a region becomes the mask that it is now, so that what is added up
        doesn't move when the input is changed. A function is the caller's, and is called on every output.

        Raises
        ------
        TypeError, ValueError
            If the target doesn't fit the output, or is several and a single one is wanted.
        """
        runs = [self(inputs[part].clone()) for part in self.parts(len(inputs))]
        scores = torch.cat([run.scores for run in runs])
        units = {name: torch.cat([run.units[name] for run in runs]) for name in self.units}
        fixed = _fix(select(scores, self.target, units), scores)
        if fixed.many and single:
            raise ValueError(f"target={self.target!r} gives several scalars a sample, and a map is of one: name it")
        return fixed

    def parts(self, count: int) -> list[slice]:
        """The batches that so many inputs make."""
        return [slice(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]

    def values(self, make: Callable[[Tensor], Tensor], rows: Tensor, fixed: Fixed, bar: Bar) -> Tensor:
        """Scalars of a target for many changed inputs, of which never more than one batch exists.

        Parameters
        ----------
        make
            Gives the changed inputs (B, C, *S) for some of their numbers, (B,) from 0 to M.
        rows
            The sample that each is made of, (M,).
        fixed
            The target.
        bar
            Counts what is done.

        Returns
        -------
        Tensor
            (M, T), float32 (float64 for float64).
        """
        found = []
        for part in self.parts(len(rows)):
            numbers = torch.arange(part.start, part.stop, device=rows.device)
            found.append(fixed.values(self(make(numbers)), rows[part]))
            bar.update(part.stop - part.start)
        return torch.cat(found)


def derived_seed(seed: int, *places: int) -> int:
    """A seed of its own for each place, unlike the small numbers that people start from."""
    for place in places:
        seed = (seed * 6_364_136_223_846_793_005 + place + 1_442_695_040_888_963_407) % 2**63
    return seed
