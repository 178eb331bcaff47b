"""The campaign: networks of successive seeds, every check on each, and a table of what came out."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

import camfast
from bench.report import Circumstances, Report
from reliability.models import halves, input_checks, layer_checks
from reliability.models.judging import Outcome, Trial
from reliability.models.networks import Drawn, census, draw

COLUMNS = ("explained by", "tried", "equal", "refused, rightly", "no one answer", "wrong")
CHECKS: tuple[Callable[[Trial], None], ...] = (
    lambda trial: layer_checks.every_method(trial, camfast.methods()),
    layer_checks.odd_layers,
    layer_checks.captured,
    layer_checks.captured,
    layer_checks.frozen,
    layer_checks.several,
    layer_checks.differentiable,
    input_checks.inputs_explained,
    input_checks.guided_maps,
    input_checks.projected,
    halves.halves,
    halves.halves,
    lambda trial: input_checks.low_precision(trial, torch.float32),
    lambda trial: input_checks.low_precision(trial, torch.bfloat16),
    lambda trial: input_checks.low_precision(trial, torch.bfloat16, autocast=True),
    input_checks.failing,
)


@dataclass(frozen=True)
class Tried:
    """A network, and what became of every call on it."""

    drawn: Drawn
    outcomes: list[Outcome]

    @property
    def wrong(self) -> list[Outcome]:
        """What is a defect."""
        return [outcome for outcome in self.outcomes if outcome.verdict == "wrong"]


def run(seed: int) -> Tried:
    """Try one network."""
    drawn = draw(seed)
    trial = Trial.of(drawn)
    for check in CHECKS:
        check(trial)
    return Tried(drawn, trial.outcomes)


def run_all(cases: int, seed: int) -> Iterator[Tried]:
    """Try networks of successive seeds."""
    for number in range(cases):
        yield run(seed + number)


def report(tried: list[Tried], command: str) -> Report:
    """The table."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    refusals: Counter[str] = Counter()
    for one in tried:
        for outcome in one.outcomes:
            counted[outcome.what][outcome.verdict] += 1
            if outcome.verdict == "refused":
                refusals[outcome.detail] += 1
    rows = [
        (what, *map(str, (sum(found.values()), *(found[v] for v in ("equal", "refused", "open", "wrong")))))
        for what, found in counted.items()
    ]
    kinds = census([one.drawn for one in tried])
    total = sum(sum(found.values()) for found in counted.values())
    wrong = sum(found["wrong"] for found in counted.values())
    training = sum(one.drawn.network.training for one in tried)
    summary = (
        f"{len(tried)} networks ({training} in training mode) of {len(kinds)} kinds of blocks and heads; {total} "
        "calls, each with the network, its inputs and the random generator compared before and after; "
        f"{wrong} wrong. Equal: to plain autograd on a copy, in the same type. Refused, rightly: "
        + "; ".join(f"{reason} ({count})" for reason, count in refusals.most_common())
        + ". No one answer: singular values agree, weights divide by rounding, which is flagged, or torch.func draws "
        "other numbers."
    )
    details = [
        {"seed": one.drawn.seed, "what": bad.what, "detail": bad.detail} for one in tried for bad in one.wrong
    ]  # fmt: skip
    return Report(
        "models", command, Circumstances.now(), COLUMNS, tuple(rows), [{"blocks": dict(kinds)}, *details], summary
    )
