"""How what `bench.compare` found is shown: the tables of bench/README.md, and the short one of the README."""

from collections.abc import Mapping

from bench import compare_targets
from bench.compare_findings import Findings, Times, versions
from bench.compare_targets import fastest
from bench.contenders import CAMFAST, FORWARD, FROZEN, GRADCAM, RESPOND, Cell
from bench.jobs import CannotError
from bench.peak_memory import MIB, Peak
from bench.peers import HOW_TO_INSTALL, PEERS
from bench.report import Report
from bench.targets import DOUBTFUL, KEPT, MISSED, UNMEASURED
from bench.timing import milliseconds, times, trust

_PEERS = tuple(peer.name for peer in PEERS)
# of bench/README.md, and of the README
BLOCKS = ("compare", "compare memory", "compare classes", "compare targets")
SHORT_BLOCK = "compare"
TIME_COLUMNS = ("network", "batch", "forward ms", CAMFAST, *_PEERS, GRADCAM, RESPOND, FROZEN, "A/A", "others")
MEMORY_COLUMNS = ("network", "batch", "forward MiB", CAMFAST, RESPOND, *_PEERS, "forward again", "camfast again")
CLASS_COLUMNS = ("who", "ms", "÷ forward")
SHORT_COLUMNS = ("network", "batch", "forward ms", CAMFAST, *_PEERS)


def time_row(cell: Cell, found: Times) -> tuple[str, ...]:
    """A line of ratios to the forward pass; the fastest of those that do the same job is bold."""
    compared, unable = found.compared, found.unable
    best = fastest(compared, [name for name in (CAMFAST, *_PEERS) if name in compared.timings])

    def ratio(name: str) -> str:
        if name not in compared.timings:
            return _absent(name, unable)
        text = times(compared, name, FORWARD)
        return f"**{text}**" if name == best else text

    return (
        cell.name,
        str(cell.batch),
        milliseconds(compared.timings[FORWARD]),
        *(ratio(name) for name in (CAMFAST, *_PEERS, GRADCAM, RESPOND, FROZEN)),
        *trust(compared),
    )


def memory_row(cell: Cell, peaks: Mapping[str, Peak]) -> tuple[str, ...]:
    """A line of peaks in MiB with their ratios to the forward pass's."""

    def peak(name: str) -> str:
        if name not in peaks:
            return _absent(name, {})
        return f"{_mib(peaks[name])} ({peaks[name].above / peaks[FORWARD].above:.2f})"

    return (
        cell.name,
        str(cell.batch),
        _mib(peaks[FORWARD]),
        *(peak(name) for name in (CAMFAST, RESPOND, *_PEERS)),
        *(_again(peaks[name]) for name in (FORWARD, CAMFAST)),
    )


def class_rows(found: Times) -> list[tuple[str, ...]]:
    """A line for each who explains all classes."""
    rows: list[tuple[str, ...]] = []
    for name in (FORWARD, CAMFAST, *_PEERS):
        if name in found.compared.timings:
            ratio = "1" if name == FORWARD else times(found.compared, name, FORWARD)
            rows.append((name, milliseconds(found.compared.timings[name]), ratio))
        else:
            rows.append((name, "–", _absent(name, found.unable)))
    return rows


def short_row(cell: Cell, found: Times) -> tuple[str, ...]:
    """A line for the README: medians."""
    compared, mark = found.compared, "" if found.compared.conclusive else " ?"
    cells = [
        f"{compared.ratio(name, FORWARD).median:.2f}{mark}" if name in compared.timings else _absent(name, found.unable)
        for name in (CAMFAST, *_PEERS)
    ]
    return cell.name, str(cell.batch), milliseconds(compared.timings[FORWARD]), *cells


def reports(findings: Findings) -> list[Report]:
    """The tables of bench/README.md."""
    judgements = findings.judgements()
    tables: tuple[tuple[tuple[str, ...], list[tuple[str, ...]], str], ...] = (
        (TIME_COLUMNS, [time_row(cell, found) for cell, found in findings.times.items()], _peers(findings)),
        (MEMORY_COLUMNS, [memory_row(cell, peaks) for cell, peaks in findings.memory.items()], ""),
        (CLASS_COLUMNS, [] if findings.classes is None else class_rows(findings.classes), ""),
        (compare_targets.COLUMNS, [each.cells() for each in judgements], _summary(judgements)),
    )
    return [
        Report(name, findings.command, findings.circumstances, columns, tuple(rows), summary=summary)
        for name, (columns, rows, summary) in zip(BLOCKS, tables, strict=True)
        if rows
    ]


def short(findings: Findings) -> Report:
    """One line a network, at its largest batch."""
    largest = {cell.network.name: cell for cell in sorted(findings.times, key=lambda cell: cell.batch)}
    cells = [cell for cell in findings.times if largest[cell.network.name] == cell]
    rows = tuple(short_row(cell, findings.times[cell]) for cell in cells)
    return Report(SHORT_BLOCK, findings.command, findings.circumstances, SHORT_COLUMNS, rows, summary=_peers(findings))


def _absent(name: str, unable: Mapping[str, CannotError]) -> str:
    if name in unable:
        return unable[name].cell
    return "not installed" if name in _PEERS and versions()[name] is None else "–"


def _peers(findings: Findings) -> str:
    """Who was compared, how to get who wasn't, and what was left out."""
    known = versions()
    text = ", ".join(f"{name} {version}" for name, version in known.items() if version is not None)
    missing = [name for name, version in known.items() if version is None]
    said = [f"Peers: {text or 'none'}."]
    if missing:
        said.append(f"Not installed: {', '.join(missing)} (`{HOW_TO_INSTALL}`).")
    if findings.left_out:
        said.append(f"Left out: {'; '.join(findings.left_out)}.")
    return " ".join(said)


def _summary(judgements: list[compare_targets.Judgement]) -> str:
    verdicts = [judgement.verdict for judgement in judgements]
    return (
        f"{verdicts.count(KEPT)} of {len(verdicts)} targets reached, {verdicts.count(MISSED)} missed, "
        f"{verdicts.count(DOUBTFUL)} inconclusive, {verdicts.count(UNMEASURED)} not measured."
    )


def _again(peak: Peak) -> str:
    return "–" if peak.again is None else f"{peak.again / MIB:.0f}"


def _mib(peak: Peak) -> str:
    return f"{'' if peak.exact else '≤ '}{peak.above / MIB:.0f}"
