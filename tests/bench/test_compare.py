"""What `bench.compare` measures and says of it: on tiny networks, and on a processor in the place of a GPU."""

import json
import time

import pytest
import torch
from torch import nn

from bench import compare, compare_gpu, compare_tables, contenders, peak_memory
from bench.compare_findings import ALL_CLASSES, Findings, Times, classes_of, memory_of, times_of
from bench.compare_targets import Judgement, fastest_peer, judge_classes, judge_frozen, judge_memory, judge_times
from bench.contenders import CAMFAST, CELLS, FORWARD, FROZEN, GRADCAM, RESPOND, Cell
from bench.gpu import Gpu
from bench.jobs import CannotError, Chosen, NotInstalledError, twin
from bench.networks import Network, named
from bench.peak_memory import MIB, Peak
from bench.peers import Peer
from bench.report import README, Circumstances, replace_block
from bench.targets import DOUBTFUL, KEPT, MISSED, UNMEASURED
from bench.timing import Comparison, Timing, call_in_a_row
from tests.bench.tiny import tiny_network


class Missing(Peer):
    """A peer that nobody has."""

    name, module, distribution = "missing", "no_such_module", "no-such-distribution"

    def explainer(self, _job):
        raise AssertionError("it isn't asked")


class Unable(Peer):
    """A peer that is there, and has no way."""

    name, module, distribution = "unable", "torch", "torch"

    def explainer(self, _job):
        raise CannotError("it explains sound only")


class Wrong(Peer):
    """A peer that is there, and mistakes a map for another."""

    name, module, distribution = "wrong", "torch", "torch"

    def explainer(self, job):
        return lambda _target: torch.ones(len(job.inputs), *job.size)


def _compared(control: float = 1.0, **medians: float) -> Comparison:
    timings = {name: Timing((seconds,) * 5, 1) for name, seconds in {FORWARD: 1.0, **medians}.items()}
    return Comparison(timings, Timing((control,) * 5, 1), 0.0)


def _verdicts(judgements) -> dict[str, tuple[str, str]]:
    return {judgement.what: (judgement.found, judgement.verdict) for judgement in judgements}


def test_the_cells_are_those_of_the_issue() -> None:
    assert {(cell.network.name, cell.batch) for cell in CELLS} == {
        ("CNN-1", 1), ("CNN-1", 8), ("CNN-2", 8), ("SqueezeNet", 1), ("SqueezeNet", 16), ("ResNet-20", 64),
        ("ResNet-18", 1), ("ResNet-18", 16), ("ResNet-50", 1), ("ResNet-50", 16), ("VGG-16", 1), ("MeshNet", 1),
    }  # fmt: skip
    assert {(cell.network.name, cell.batch) for cell in compare.chosen(None, quick=True)} == set(compare.QUICK)
    assert [cell.batch for cell in compare.chosen(["resnet50"])] == [1, 16]
    with pytest.raises(ValueError, match="known are CNN-1"):
        compare.chosen(["alexnet"])


def test_a_cell_without_peers_is_timed() -> None:
    cell = Cell(tiny_network(), 3)
    found = times_of(cell, 0.0, 0.0, rounds=(3, 3), peers=(Missing(), Unable()))
    assert set(found.compared.timings) == {FORWARD, CAMFAST, GRADCAM, RESPOND}
    assert {name: error.cell for name, error in found.unable.items()} == {
        "missing": "not installed", "unable": "can't",
    }  # fmt: skip
    content = found.content()
    assert "pip install --no-deps -r requirements-parity.txt" in content["unable"]["missing"]
    assert content["unable"]["unable"] == "can't: it explains sound only"
    assert len(content["timings"][CAMFAST]["seconds"]) == 3


def test_a_wrong_map_is_refused() -> None:
    with pytest.raises(AssertionError, match="wrong: off by"):
        times_of(Cell(tiny_network(), 2), 0.0, 0.0, rounds=(3, 3), peers=(Wrong(),))
    job = Cell(tiny_network(), 2).job()
    verify = contenders.check(job, 2.0, ())
    maps = contenders.contender(CAMFAST, job, 2.0)()
    verify(CAMFAST, maps)
    for bad in (maps.flip(0), maps * 1.01, torch.full_like(maps, torch.nan)):
        with pytest.raises(AssertionError, match="camfast: off by"):
            verify(CAMFAST, bad)
    with pytest.raises(AssertionError, match="instead of"):
        verify(CAMFAST, maps[:1])


def test_maps_that_are_0_compare_nothing() -> None:
    job = Cell(tiny_network(), 2).job()
    with torch.no_grad():
        for parameter in job.model.parameters():
            parameter.zero_()
    with pytest.raises(CannotError, match="every map is 0"):
        contenders.check(job, 2.0, ())


def test_all_classes_from_one_pass() -> None:
    cell = Cell(tiny_network(3), 1)
    found = classes_of(cell, 0.0, 0.0, rounds=(3, 3), peers=(Missing(),))
    assert set(found.compared.timings) == {FORWARD, CAMFAST}
    able, unable = contenders.of_all_classes(cell.job(), (Missing(),))
    assert able[CAMFAST]().shape == (1, 5, 8, 8, 8)
    assert isinstance(unable["missing"], NotInstalledError)


def test_a_twin_shares_weights_and_nothing_else() -> None:
    model = tiny_network().model()
    model.register_buffer("kept", torch.ones(3))
    other = twin(model)
    other.register_forward_hook(lambda *_: None)
    other(torch.randn(1, 1, 8, 8)).sum().backward()
    assert not model._forward_hooks
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert mine.data_ptr() == theirs.data_ptr()
        assert theirs.grad is not None
        assert mine.grad is None
    assert other.get_buffer("kept").data_ptr() == model.get_buffer("kept").data_ptr()


def test_what_is_chosen_is_each_samples_own() -> None:
    scores = torch.arange(6.0).reshape(2, 3)
    chosen = Chosen(nn.Identity(), lambda x: x.gather(1, torch.tensor([[2], [0]])))
    assert chosen(scores).tolist() == [[2.0], [3.0]]
    assert Chosen(nn.Identity(), chosen.choose, keepdim=False)(scores).tolist() == [2.0, 3.0]


def test_memory_of_a_call_is_seen() -> None:
    def call() -> None:
        torch.ones(64 << 20, dtype=torch.uint8)

    peak = peak_memory.of_two_calls(call)
    if not peak.exact:
        pytest.skip("the system can't forget the high-water mark")
    # the block itself, and pages that Python, the allocator and pytest touch meanwhile
    assert 63 * MIB < peak.above < 80 * MIB
    kept: list[torch.Tensor] = []
    twice = peak_memory.of_two_calls(lambda: kept.append(torch.ones(32 << 20, dtype=torch.uint8)))
    assert 63 * MIB < twice.above < 80 * MIB, "what stays alive from the first call counts"
    assert twice.again is not None
    assert 31 * MIB < twice.again < 48 * MIB, "and is no part of what the second needs"


def test_a_fresh_process_tells_its_peak() -> None:
    """ResNet-20 of 8 images: the activations of its first stage are 16 channels of 32² each."""
    peaks = {name: peak_memory.measure(Cell(named("resnet20"), 8), name) for name in (FORWARD, CAMFAST)}
    for peak in peaks.values():
        assert 8 * 16 * 32 * 32 * 4 < peak.above < 500 * MIB
        assert peak.before > 50 * MIB


def test_of_several_processes_the_median_is_shown(monkeypatch) -> None:
    peaks = {name: iter([30, 10, 20] if name == CAMFAST else [7]) for name in (FORWARD, CAMFAST, RESPOND, "unable")}
    monkeypatch.setattr(peak_memory, "measure", lambda _cell, name: Peak(0, next(peaks[name])))
    found = memory_of(Cell(tiny_network(), 8), (Missing(), Unable()), {CAMFAST: 3})
    assert {name: peak.above for name, peak in found.items()} == {FORWARD: 7, CAMFAST: 20, RESPOND: 7, "unable": 7}


def test_a_system_without_marks_gives_a_bound(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "no" / "clear_refs")
    peak = peak_memory.of_two_calls(lambda: None)
    assert peak.above >= 0
    assert not peak.exact
    assert peak.again is None
    row = compare_tables.memory_row(
        Cell(tiny_network(), 8), {FORWARD: Peak(0, 10 * MIB), CAMFAST: Peak(0, 11 * MIB, False)}
    )
    assert row[2:4] == ("10", "≤ 11 (1.10)")


def test_times_are_held_against_what_was_promised() -> None:
    compared = _compared(**{CAMFAST: 1.05, GRADCAM: 1.12, RESPOND: 1.2, "captum": 1.04, "MONAI": 3.0})
    what = "captum, the fastest peer, ÷ camfast"
    assert _verdicts(judge_times(Cell(named("resnet50"), 16), compared)) == {
        f"{GRADCAM} ÷ forward": ("1.12", MISSED), f"{RESPOND} ÷ forward": ("1.20", MISSED), what: ("0.99", MISSED),
    }  # fmt: skip
    assert _verdicts(judge_times(Cell(named("cnn1"), 8), compared))[f"{GRADCAM} ÷ forward"] == ("1.12", KEPT)
    noisy = _compared(1.02, **{CAMFAST: 1.05, "captum": 1.04})
    assert _verdicts(judge_times(Cell(named("meshnet"), 1), noisy)) == {what: ("0.99", KEPT)}
    useless = _compared(1.2, **{CAMFAST: 1.0, GRADCAM: 1.0, RESPOND: 1.0, "captum": 9.0})
    assert {verdict for _, verdict in _verdicts(judge_times(Cell(named("cnn2"), 8), useless)).values()} == {DOUBTFUL}
    assert fastest_peer(_compared(**{CAMFAST: 1.0, FROZEN: 0.1})) is None


def test_the_rest_is_held_against_what_was_promised() -> None:
    cell = Cell(named("resnet50"), 16)
    peaks = {name: Peak(0, above) for name, above in ((FORWARD, 100), (CAMFAST, 115), (RESPOND, 116), ("captum", 459))}
    assert _verdicts(judge_memory(cell, peaks)) == {
        f"peak memory, {CAMFAST} ÷ forward": ("1.15", KEPT), f"peak memory, {RESPOND} ÷ forward": ("1.16", MISSED),
        f"peak memory, captum ÷ {CAMFAST}": ("3.99", MISSED), f"peak memory, torchcam ÷ {CAMFAST}": ("–", UNMEASURED),
    }  # fmt: skip
    judged: list[Judgement] = [
        judge_classes(ALL_CLASSES, _compared(**{CAMFAST: 1.5})),
        judge_classes(ALL_CLASSES, _compared(**{CAMFAST: 1.51})),
        judge_frozen(ALL_CLASSES, _compared(**{FROZEN: 0.5, "captum": 1.5})),
        judge_frozen(ALL_CLASSES, _compared(**{FROZEN: 0.5, "captum": 1.4})),
        judge_frozen(ALL_CLASSES, _compared(**{"captum": 1.4})),
    ]
    assert [judgement.verdict for judgement in judged] == [KEPT, MISSED, KEPT, MISSED, UNMEASURED]


def test_tables_show_what_was_found() -> None:
    findings = Findings("python -m bench.compare", Circumstances.now())
    network = named("resnet18")
    for batch in network.batches:
        compared = _compared(**{CAMFAST: 1.02, GRADCAM: 1.03, RESPOND: 1.04, "captum": 1.5 / batch})
        findings.times[Cell(network, batch)] = Times(compared, {"MONAI": CannotError("why")})
    findings.memory[Cell(network, 16)] = {FORWARD: Peak(0, MIB, again=MIB), CAMFAST: Peak(0, 2 * MIB)}
    findings.classes = Times(_compared(**{CAMFAST: 1.25, "torchcam": 3.0}), {})
    shown = {report.name: report.markdown() for report in compare_tables.reports(findings)}
    assert tuple(shown) == compare_tables.BLOCKS
    for name, content in shown.items():
        assert content in replace_block(README.read_text("utf-8"), name, content), "the page has a place for it"
    assert "| ResNet-18 | 1 | 1000 | **1.02 (1.02–1.02)** |" in shown["compare"]
    assert "| **0.09 (0.09–0.09)** |" in shown["compare"]
    assert "can't" in shown["compare"]
    assert "| ResNet-18 | 16 | 1 | 2 (2.00) |" in shown["compare memory"]
    assert "| 1 | – |" in shown["compare memory"]
    assert "| torchcam | 3000 | 3.00 (3.00–3.00) |" in shown["compare classes"]
    assert "targets reached" in shown["compare targets"]
    short = compare_tables.short(findings)
    assert [row[:4] for row in short.rows] == [("ResNet-18", "16", "1000", "1.02")]
    json.dumps(findings.content())


def test_the_command_keeps_and_prints_what_it_finds(monkeypatch, capsys, tmp_path) -> None:
    cell = Cell(tiny_network(), 8)
    monkeypatch.setattr(compare, "chosen", lambda *_, **__: (cell,))
    monkeypatch.setattr(compare, "times_of", lambda *_, **__: Times(_compared(**{CAMFAST: 1.02}), {}))
    monkeypatch.setattr(compare, "memory_of", lambda *_, **__: {FORWARD: Peak(0, MIB), CAMFAST: Peak(0, 2 * MIB)})
    monkeypatch.setattr("sys.argv", ["bench.compare", "--quick", "--json", str(tmp_path / "kept.json")])
    compare.main()
    printed = capsys.readouterr().out
    assert "`python -m bench.compare --quick`" in printed
    assert "| Tiny | 8 | 1000 |" in printed
    kept = json.loads((tmp_path / "kept.json").read_text("utf-8"))
    assert kept["times"][0]["timings"][CAMFAST]["seconds"] == [1.02] * 5


def test_a_page_without_a_place_is_refused_before_anything_is_measured(monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "README.md").write_text("no place", "utf-8")
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    for arguments, message in (
        (["--write"], "one line <!-- compare -->"),
        (["--quick", "--write"], "leave out --quick"),
    ):
        monkeypatch.setattr("sys.argv", ["bench.compare", *arguments])
        with pytest.raises(SystemExit, match="2"):
            compare.main()
        assert message in capsys.readouterr().err


class Host(Gpu):
    """A processor in the place of a GPU."""

    device, name = "cpu", "A processor/1"
    time_with_launches = staticmethod(call_in_a_row)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.cache = 10_000

    def circumstances(self):
        return {"gpu": self.name, "torch": torch.__version__}

    def peak(self, contender):
        contender()
        return Peak(0, MIB)


def test_a_gpu_is_measured_in_the_same_way(tmp_path) -> None:
    run = compare_gpu.GpuComparison(Host(), time.monotonic() + 1000, seconds=0.0, peers=(Missing(),))
    cells = (Cell(tiny_network(), 3, torch.bfloat16), Cell(tiny_network(3), 1))
    path = compare_gpu.measure(run, cells, tmp_path / "compare")
    assert run.errors == []
    content = json.loads(path.read_text("utf-8"))
    assert [line["dtype"] for line in content["times"]] == ["bfloat16", "float32"]
    assert content["peers"] == {"missing": None}
    assert list(path.parent.iterdir()) == [path]
    page = compare_gpu.page(path.parent)
    assert "| Tiny, bfloat16 | 3 |" in page
    assert "missing not installed" in page
    assert "with one will" in compare_gpu.page(tmp_path / "nothing")


def test_a_gpu_run_goes_on_when_a_line_fails() -> None:
    broken = Network("Broken", lambda: nn.Linear(3, 2), "nowhere", (1, 4), (1,), 1.0)
    run = compare_gpu.GpuComparison(Host(), time.monotonic() + 1000, seconds=0.0, peers=())
    run.measure(Cell(broken, 1))
    assert len(run.errors) == 1
    assert run.errors[0].startswith("Broken, batch 1: RuntimeError")
    run.deadline = time.monotonic() - 1
    run.measure(Cell(tiny_network(), 1))
    assert run.errors[1] == "Tiny, batch 1: not measured, the time was up"
