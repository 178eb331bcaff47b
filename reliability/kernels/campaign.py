"""Drawn calls of every op on one machine, counted: what `python -m reliability.kernels` runs in a process each."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from camfast import ops
from camfast.ops.forms import DTYPES, FORMS
from reliability.kernels import maps, pixels, selections
from reliability.kernels.hostile import Draw
from reliability.kernels.judging import bits

Property = Callable[[Draw, str, int], None]
PROPERTIES: dict[str, Property] = {
    function.__name__: function
    for function in (
        maps.channel_weights, maps.weighted_sum, maps.product_sum, maps.fused_cam,
        pixels.linear_upsample, pixels.gaussian_upsample, pixels.overlay,
        selections.running_max, selections.window_sum,
    )
}  # fmt: skip
ROOM = 4096
"""Elements of a tensor at most: the formula in extended precision has to follow."""

THREADED_ROOM = 1 << 18
"""Elements from which on kernels take several threads, and more."""


@dataclass
class Outcome:
    """What came of the calls of one op.

    Attributes
    ----------
    op, backend
        Which.
    cases
        Calls that were drawn and judged.
    seconds
        That they took.
    wrong
        For each defect what was found, and the smallest call that shows it.
    """

    op: str
    backend: str
    cases: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def run(
    op: str, backend: str, cases: int, seed: int | None, room: int = ROOM, check: Property | None = None
) -> Outcome:
    """Draw calls of an op and judge them; without a seed the calls are the same in every run.

    Parameters
    ----------
    op, backend
        Which.
    cases
        How many.
    seed
        Of what is drawn.
    room
        Elements of a tensor at most.
    check
        Another property than the op's own.
    """
    outcome = Outcome(op, backend)
    last: dict[str, object] = {}
    check = check or PROPERTIES[op]

    @settings(
        max_examples=cases, derandomize=seed is None, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @hypothesis.given(st.data())
    def holds(data: st.DataObject) -> None:
        draw = Draw(data.draw)
        last.clear()
        last["said"] = draw.said
        outcome.cases += 1
        check(draw, backend, room)

    begin = time.perf_counter()
    try:
        (holds if seed is None else hypothesis.seed(seed)(holds))()
    except ExceptionGroup as group:
        outcome.wrong += [_told(error, {}) for error in group.exceptions]
    except Exception as error:  # whatever it is, it is what was found
        outcome.wrong.append(_told(error, last.get("said", {})))
    outcome.seconds = time.perf_counter() - begin
    return outcome


def _told(error: Exception, said: object) -> str:
    """What was found, and the call: what hypothesis notes where several defects were found."""
    first = str(error).split("\n")[0]
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {first}; {said or notes}"


def threads(draw: Draw, backend: str, room: int) -> None:
    """The same bits by 1, 2 and 7 threads, of maps and their parts that are large enough to be shared."""
    dtype = draw.one_of("dtype", DTYPES)
    shape = draw.sizes("shape", draw("rank", st.integers(1, 3)) + 2, room, empty=False)
    A = draw.tensor("activations", shape, dtype)
    targets = draw.one_of("targets", (None, 2))
    G = draw.tensor("gradients", shape if targets is None else (targets, *shape), dtype)
    method = draw.one_of("method", list(FORMS))
    size = [min(2 * extent, 64) for extent in shape[2:]]
    options = draw.one_of("upsample", ({"upsample": "linear"}, {"upsample": "gaussian", "sigma": 2.0}))
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 7):
            torch.set_num_threads(count)
            found.append(bits(ops.fused_cam_parts(A, G, method, size=size, backend=backend, **options)))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2], "the bits depend on the number of threads"
