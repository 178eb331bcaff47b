"""Drawn calls of every op on one machine, counted: what `python -m reliability.kernels` runs in a process each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from reliability.kernels import maps, pixels, selections
from reliability.kernels.hostile import Draw

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

INTERPRETED_ROOM = 512
"""The same in Triton's interpreter, which takes seconds for what a kernel does in microseconds."""

THREADED_ROOM = 1 << 18
"""Room for the elements from which on kernels take several threads."""

TEAMS = (1, 2, 7)
"""Numbers of threads that are compared."""


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
    op: str,
    backend: str,
    cases: int,
    seed: int | None,
    room: int = ROOM,
    teams: Sequence[int] = (),
    *,
    shrink: bool = True,
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
    teams
        Numbers of threads whose bits are compared, instead of the result with the formula.
    shrink
        Whether to look for the smallest call that shows a defect.
    """
    outcome = Outcome(op, backend)
    last: dict[str, object] = {}

    @settings(
        max_examples=cases, derandomize=seed is None, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=shrink,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
    )  # fmt: skip
    @hypothesis.given(st.data())
    def holds(data: st.DataObject) -> None:
        # Triton's interpreter, not a GPU, makes other numbers of bfloat16's subnormal ones
        draw = Draw(data.draw, teams, tiny_bfloat16=backend != "triton")
        last.clear()
        last["said"] = draw.said
        outcome.cases += 1
        PROPERTIES[op](draw, backend, room)

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
