"""What the parts of a scan say together: scores, residual, and what to be warned of."""

import math
import os
import tempfile
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from camfast.errors import IllConditionedWarning
from camfast.scan.tasks.job import Job
from camfast.scan.windows.difference import Difference
from camfast.scan.windows.plan import Shape
from camfast.scan.windows.shared import Shared

_IN_MEMORY = 256 << 20
_PIECE = 1 << 20


def scores_of(job: Job, counts: Shape) -> Tensor:
    """Scores of all windows, float32 (nz, ny, nx, C), NaN where the mask left one out.

    Many of them lie in a temporary file without a name instead of in memory.

    Raises
    ------
    OSError
        If the temporary folder has no room for them; it names the folder.
    """
    found = next((s for s in (job.parts.scores(brick.number) for brick in job.bricks) if s.numel()), torch.empty(0, 0))
    shape = (*counts, found.shape[1])
    size = math.prod(shape) * 4
    if size > _IN_MEMORY:
        with tempfile.TemporaryFile() as file:
            _take_room(file.fileno(), size)
            scores = torch.from_numpy(np.memmap(file, np.float32, "w+", shape=shape))
    else:
        scores = torch.empty(shape)
    for brick in job.bricks:
        own = job.parts.scores(brick.number)
        scores[brick.windows] = own.view(*brick.counts, -1) if own.numel() else torch.nan
    return scores


def _take_room(descriptor: int, size: int) -> None:
    """Have the bytes of a file on the disk: whoever writes to mapped bytes that a full disk can't hold is killed."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:  # macOS
            start = 0
            while start < size:  # the last write before the disk is full may be a short one
                start += os.pwrite(descriptor, bytes(min(_PIECE, size - start)), start)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{os.strerror(error.errno or 0)}: the scores of all windows take {size:,} bytes of temporary files, for "
            "which TMPDIR may name a folder with more room",
            tempfile.gettempdir(),
        ) from None


def residual(facts: Sequence[dict[str, float]]) -> float | None:
    """Mean |y − ΣL| over all maps, divided by the mean |y|; None where every score is 0."""
    away, size = (sum(one[name] for one in facts) for name in ("residual", "score"))
    return away / size if size > 0 else None


def difference(job: Job, facts: Sequence[dict[str, float]]) -> Difference | None:
    """How far the shared trunk is from the exact one; None for the latter."""
    return Difference.of(facts) if isinstance(job.source, Shared) else None


def warn_of_ill_conditioned(facts: Sequence[dict[str, float]], layer: object) -> None:
    """Say how many windows have maps that may be noise."""
    count, windows = (int(sum(one[name] for one in facts)) for name in ("ill_conditioned", "windows"))
    if count:
        warnings.warn(
            f"layer {layer!r}: in {count:,} of {windows:,} windows channel "
            "weights divide by a small difference of large activations, and their maps may be noise blown up; "
            "explain the output of the ReLU behind the layer, or use hirescam or gradcam",
            IllConditionedWarning,
            stacklevel=4,
        )
