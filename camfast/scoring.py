"""The scores of a model for changed inputs, batch by batch and without a graph: what metrics and perturbations run."""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from camfast import guards, layers
from camfast._extras import require
from camfast.errors import TrainingModeWarning
from camfast.ops.forms import map_dtype
from camfast.recorder import Extract, find_tensor, plain
from camfast.regions import Region
from camfast.targets import Target, select

_Step = TypeVar("_Step")

_UNSTEADY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True)
class Fixed:
    """A target that no longer depends on the output: the same classes and positions for every changed input.

    Attributes
    ----------
    target
        Classes, one a sample or some; regions with masks; or the caller's function.
    many
        Whether results have an axis of targets.
    """

    target: Any
    many: bool

    def values(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Scalars (M, T) of the outputs (M, ...) for changed inputs, made of the samples ``rows`` (M,)."""
        target = self.target
        if callable(target) and not isinstance(target, Region):
            return _by_function(scores, target)
        if isinstance(target, Tensor) and target.ndim == 1:
            target = target[rows.to(target.device)]
        elif isinstance(target, Region):
            target = _rows_of(target, rows)
        elif isinstance(target, Sequence) and not isinstance(target, str):
            target = [_rows_of(part, rows) if isinstance(part, Region) else part for part in target]
        return select(scores, target).values


def _rows_of(region: Region, rows: Tensor) -> Region:
    return Region(region.class_index, region.where[rows.to(region.where.device)])


def fix(target: Target, scores: Tensor) -> Fixed:
    """Choose a target by the output for the unchanged inputs, once and for all.

    ``"predicted"`` becomes each sample's class; a region becomes the mask that it is in ``scores``, so that what is
    added up doesn't move when the input is changed. A function is the caller's, and is called on every output.

    Raises
    ------
    TypeError, ValueError
        If the target doesn't fit the output.
    """
    if callable(target) and not isinstance(target, Region):
        return Fixed(target, target(scores).ndim == 2)
    chosen = select(scores, target)
    found: Any = chosen.targets
    if isinstance(found, Region):
        found = Region(found.class_index, found.mask(scores))
    elif isinstance(found, tuple):
        found = [Region(region.class_index, region.mask(scores)) for region in found]
    elif chosen.many:
        found = found[0].tolist()
    return Fixed(found, chosen.many)


def _by_function(scores: Tensor, target: Callable[[Tensor], Tensor]) -> Tensor:
    values = target(scores)
    count = len(scores)
    if not isinstance(values, Tensor) or values.ndim not in (1, 2) or len(values) != count or not values.numel():
        found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"a target function must return one scalar a sample, ({count},) or ({count}, T); found {found}"
        )
    return values if values.ndim == 2 else values[:, None]


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
    """

    model: nn.Module
    output: Extract | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", layers.unwrap(self.model))
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise ValueError(f"batch must be a whole number of at least 1, found {self.batch!r}")
        unsteady = {type(m).__name__ for m in self.model.modules() if m.training and isinstance(m, _UNSTEADY)}
        if unsteady:
            warnings.warn(
                f"the model is in training mode, where {' and '.join(sorted(unsteady))} make scores depend on chance "
                "or on the rest of the batch: call model.eval() first",
                TrainingModeWarning,
                stacklevel=4,
            )

    def __call__(self, inputs: Tensor) -> Tensor:
        """Scores for a batch that fits the model at once; the model may change the tensor that it is given."""
        with torch.no_grad(), guards.model_untouched(self.model):
            return plain(find_tensor(self.model(inputs), self.output, "the model", "output")).detach()

    def all(self, inputs: Tensor) -> Tensor:
        """Scores for any number of inputs, in batches."""
        return torch.cat([self(inputs[part].clone()) for part in self.parts(len(inputs))])

    def parts(self, count: int) -> list[slice]:
        """The batches that so many inputs make."""
        return [slice(start, min(start + self.batch, count)) for start in range(0, count, self.batch)]

    def values(self, make: Callable[[Tensor], Tensor], rows: Tensor, fixed: Fixed, bar: "Bar") -> Tensor:
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
            values = fixed.values(self(make(numbers)), rows[part])
            found.append(values.to(map_dtype(values.dtype)))
            bar.update(part.stop - part.start)
        return torch.cat(found)


class Bar:
    """A bar on standard error for the person who waits, or nothing.

    Parameters
    ----------
    total
        How many steps there are.
    what
        The title.
    shown
        Whether there is a bar at all.
    """

    def __init__(self, total: int, what: str, *, shown: bool) -> None:
        self._bar = None
        if shown:
            tqdm = require("tqdm", "scan", "a progress bar")
            interval = 0.1 if sys.stderr.isatty() else 10.0  # in a log file a lively bar is a flood
            self._bar = tqdm.tqdm(total=total, desc=what, dynamic_ncols=True, mininterval=interval)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1) -> None:
        """Count so many steps as done."""
        if self._bar is not None:
            self._bar.update(count)

    def over(self, steps: Iterable[_Step]) -> Iterator[_Step]:
        """Count each step once it is done."""
        for step in steps:
            yield step
            self.update()


def check_inputs(inputs: Any) -> Tensor:
    """The images or volumes that are to be changed.

    Raises
    ------
    TypeError, ValueError
        If they are no real tensor (N, C, *S) with one to three spatial axes.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(
            f"inputs must be one tensor (N, C, *S), found {type(inputs).__name__}: parts of it are to be replaced"
        )
    if not 3 <= inputs.ndim <= 5 or not inputs.numel():
        raise ValueError(
            f"inputs must be (N, C, *S) with at least one sample and one to three spatial axes, found "
            f"{tuple(inputs.shape)}"
        )
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must hold real numbers, found {inputs.dtype}")
    return inputs.detach()


def check_maps(maps: Any, inputs: Tensor) -> Tensor:
    """One map for each sample, at the size of the inputs.

    Raises
    ------
    TypeError, ValueError
        If they are something else.
    """
    expected = (len(inputs), *inputs.shape[2:])
    if not isinstance(maps, Tensor):
        raise TypeError(f"maps must be a tensor {expected}, found {type(maps).__name__}")
    if tuple(maps.shape) != expected:
        raise ValueError(
            f"maps must be one map a sample at the size of the inputs, {expected}, found {tuple(maps.shape)}: "
            "explain one target, without size="
        )
    return maps.detach().to(inputs.device)
