"""What was promised of camfast beside a plain prediction and beside its peers, and whether a measurement keeps it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass

from bench.contenders import CAMFAST, FORWARD, FROZEN, GRADCAM, OURS, RESPOND, Cell
from bench.peak_memory import Peak
from bench.targets import DOUBTFUL, KEPT, MISSED, UNMEASURED
from bench.timing import Comparison

COLUMNS = ("network", "batch", "what", "target", "found", "verdict")
# An explanation over its prediction; CNN-1's first dense layer of 131 MB has to be read twice.
EXPLAIN, EXPLAIN_CNN1 = 1.10, 1.15
MEMORY, ALL_CLASSES = 1.15, 1.5
# How many times as much as camfast.
LEANER = {("ResNet-50", 16): (4.0, ("captum", "torchcam"))}
FROZEN_OVER_CAPTUM = 3.0


@dataclass(frozen=True)
class Judgement:
    """A line of the table."""

    network: str
    batch: str
    what: str
    target: str
    found: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        return astuple(self)


def judge_times(cell: Cell, compared: Comparison) -> Iterator[Judgement]:
    """Hold a cell's times against what was promised."""
    if not cell.network.region:
        limit = EXPLAIN_CNN1 if cell.network.name == "CNN-1" else EXPLAIN
        for name in (GRADCAM, RESPOND):
            found = _ratio(compared, name, FORWARD)
            kept = found is not None and found <= limit
            yield _judgement(cell, f"{name} ÷ forward", f"≤ {limit:.2f}", found, kept, compared.conclusive)
    peer = fastest_peer(compared)
    if peer is not None:
        found = _ratio(compared, peer, CAMFAST)
        # not slower than anybody by more than the forward pass differs from itself
        kept = found is not None and found >= 1 / compared.control_ratio
        yield _judgement(cell, f"{peer}, the fastest peer, ÷ camfast", "≥ 1 within A/A", found, kept,
                         compared.conclusive)  # fmt: skip


def judge_frozen(cell: Cell, compared: Comparison) -> Judgement:
    """Hold the frozen form on a GPU against captum, whose call has the forward pass in it."""
    found = _ratio(compared, "captum", FROZEN)
    kept = found is not None and found >= FROZEN_OVER_CAPTUM
    return _judgement(cell, "captum ÷ frozen", f"≥ {FROZEN_OVER_CAPTUM:g}", found, kept, compared.conclusive)


def judge_memory(cell: Cell, peaks: Mapping[str, Peak]) -> Iterator[Judgement]:
    """Hold a cell's peaks against what was promised."""
    if not cell.network.region:
        for name in (CAMFAST, RESPOND):
            found = _share(peaks, name, FORWARD)
            kept = found is not None and found <= MEMORY
            yield _judgement(cell, f"peak memory, {name} ÷ forward", f"≤ {MEMORY:g}", found, kept)
    factor, peers = LEANER.get((cell.network.name, cell.batch), (0.0, ()))
    for name in peers:
        found = _share(peaks, name, CAMFAST)
        kept = found is not None and found >= factor
        yield _judgement(cell, f"peak memory, {name} ÷ camfast", f"≥ {factor:g}", found, kept)


def judge_classes(cell: Cell, compared: Comparison) -> Judgement:
    """Hold all classes of one input against one plain prediction."""
    found = _ratio(compared, CAMFAST, FORWARD)
    kept = found is not None and found <= ALL_CLASSES
    return _judgement(cell, "all classes, camfast ÷ forward", f"≤ {ALL_CLASSES:g}", found, kept,
                      compared.conclusive)  # fmt: skip


def fastest_peer(compared: Comparison) -> str | None:
    """Whose ratio to the forward pass is the smallest, camfast aside."""
    return fastest(compared, compared.timings.keys() - {FORWARD, *OURS})


def fastest(compared: Comparison, names: Iterable[str]) -> str | None:
    """Whose ratio to the forward pass is the smallest, of some; None of none."""
    return min(names, key=lambda name: compared.ratio(name, FORWARD).median, default=None)


def _ratio(compared: Comparison, above: str, below: str) -> float | None:
    if not {above, below} <= compared.timings.keys():
        return None
    return compared.ratio(above, below).median


def _share(peaks: Mapping[str, Peak], above: str, below: str) -> float | None:
    if not {above, below} <= peaks.keys() or not peaks[below].above:
        return None
    return peaks[above].above / peaks[below].above


def _judgement(
    cell: Cell, what: str, target: str, found: float | None, kept: bool, conclusive: bool = True
) -> Judgement:
    if found is None:
        verdict = UNMEASURED
    elif not conclusive:
        verdict = DOUBTFUL
    else:
        verdict = KEPT if kept else MISSED
    shown = "–" if found is None else f"{found:.2f}"
    return Judgement(cell.name, str(cell.batch), what, target, shown, verdict)
