"""The measurements of a GPU, played through on a CPU: what is refused, kept, judged and shown."""

import dataclasses
import json
import time

import pytest
import torch

from bench import gpu_page, gpu_targets, roofline
from bench.case import COMPILED, EAGER, Spec
from bench.cases import build
from bench.gpu import Gpu, in_turns
from bench.gpu_targets import COPY, GRAPH, LAUNCHES, SMALL, SPECS, WRITE
from bench.report import table
from bench.timing import call_in_a_row

TINY = (
    Spec("fused_cam", "respond", (2, 4, 6, 6), None, "bfloat16"),
    Spec("gaussian_upsample", "σ 6", (1, 5, 5), (40, 40)),
    Spec("overlay", "uint16", (1, 3, 3), (32, 32)),
    Spec("running_max", "", (1, 20, 20)),
)


class Host(Gpu):
    """A processor in the place of a GPU: its two backends are the kernels and the reference."""

    device, backends, name = "cpu", ("cpu", "torch"), "A processor/1"
    time = staticmethod(call_in_a_row)  # type: ignore[assignment]
    time_with_launches = staticmethod(call_in_a_row)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.cache = 10_000

    def circumstances(self):
        return {"gpu": self.name, "date": "today", "driver": "1", "cuda": "2", "torch": "3", "triton": "4",
                "python": "5", "camfast": "6", "commit": "7"}  # fmt: skip

    def bandwidths(self):
        return {"copy": 2e9, "read": 1e9, "write": 1e9}

    def graph(self, contenders):
        return in_turns(contenders)

    def launches(self, contender):
        contender()
        return ["one", "two"]

    def free_memory(self):
        return 10**9


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> roofline.Roofline:
    """A run whose lines are small ones, each also of those that are held against launches."""
    small = Spec("fused_cam", "respond", (2, 3, 5, 5, 5), (40, 40, 40))
    monkeypatch.setattr(roofline, "SMALL", (small,))
    found = roofline.Roofline(Host(), time.monotonic() + 1000, seconds=0.0)
    for spec in (*TINY, small):
        found.measure(spec)
    return found


def test_every_line_is_measured_and_written(run, tmp_path) -> None:
    assert run.errors == []
    assert [row[0] for row in run.rows] == ["fused_cam", "gaussian_upsample", "overlay", "running_max", "fused_cam"]
    figures = list(run.figures.values())
    assert all({COPY, WRITE, EAGER} <= found.keys() for found in figures)
    assert figures[-1][LAUNCHES] == 2
    assert figures[-1][GRAPH] > 0
    assert LAUNCHES not in figures[0]
    path = roofline.write(run, tmp_path / "results")
    assert path.name == "A_processor_1.json"
    content = json.loads(path.read_text("utf-8"))
    assert content["bandwidths GB/s"]["copy"] == 2.0
    assert content["lines"][0]["times"]["cpu"]["median µs"] > 0
    assert len(content["rows"][0]) == len(content["columns"])
    assert list(path.parent.iterdir()) == [path]
    shown = gpu_page.page(path.parent)
    assert "### A processor/1" in shown
    assert "copy 2.0 GB/s" in shown


def test_what_fails_is_told_and_the_rest_goes_on(monkeypatch, capsys) -> None:
    run = roofline.Roofline(Host(), time.monotonic() + 1000, seconds=0.0)
    monkeypatch.setattr(roofline, "build", lambda *_: 1 / 0)
    run.measure(TINY[0])
    assert run.errors == ["fused_cam respond 2×4×6² bfloat16: ZeroDivisionError: division by zero"]
    monkeypatch.undo()
    run.measure(TINY[3])
    assert len(run.rows) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_wrong_result_is_not_timed(monkeypatch) -> None:
    """Of a backend; the other one and the formula go on."""

    def wrong(spec, device, seed=0):
        case = build(spec, device, seed)
        return dataclasses.replace(case, run=lambda name: case.arguments[:2] if name == "cpu" else case.run(name))

    run = roofline.Roofline(Host(), time.monotonic() + 1000, seconds=0.0)
    monkeypatch.setattr(roofline, "build", wrong)
    run.measure(TINY[3])
    (error,) = run.errors
    assert error.startswith("running_max 1×20², cpu: AssertionError: ")
    assert run.lines[0]["times"].keys() == {"torch", EAGER}
    assert run.rows[0][roofline.COLUMNS.index("cuda µs")] == "–"


def test_nothing_begins_when_the_time_is_up() -> None:
    run = roofline.Roofline(Host(), time.monotonic() - 1, seconds=0.0)
    run.measure(TINY[0])
    assert run.errors == ["fused_cam respond 2×4×6² bfloat16: not measured, the time was up"]


def test_the_faster_backend_is_preferred(monkeypatch) -> None:
    run = roofline.Roofline(Host(), time.monotonic() + 1000)
    for op, cuda, triton in (("a", 1.0, 2.0), ("b", 3.0, 2.0), ("b", 1.0, 1.1), ("c", 1.0, None)):
        times = {"cuda": {"median µs": cuda}} | ({"triton": {"median µs": triton}} if triton else {})
        run.lines.append({"op": op, "times": times})
    assert run.preference() == {"a": "cuda", "b": "triton"}
    monkeypatch.setattr(roofline, "backends", lambda *_: {"cuda": "ok", "triton": "ok"})
    assert run.dispatched() == ["b: cuda runs, triton is faster: python -m bench.preference"]


def test_less_memory_means_fewer_samples(monkeypatch) -> None:
    run = roofline.Roofline(Host(), time.monotonic() + 1000)
    assert run._fitted(SPECS[0]).size == (1, 256, 64, 64, 64)
    monkeypatch.setattr(Host, "free_memory", lambda _: 10**12)
    assert run._fitted(SPECS[0]) == SPECS[0]


def test_targets_of_the_task_have_a_line_each() -> None:
    lines = list(gpu_targets.judge({}))
    assert {line[-1] for line in lines} == {"not measured"}
    # two products by two dtypes; four methods by two dtypes with three targets; three small ones with three; two fills
    assert len(lines) == 4 + 8 * 3 + 3 * 3 + 2
    assert all(any(target.covers(spec) for spec in SPECS) for target in gpu_targets.TARGETS)
    table(gpu_targets.COLUMNS, lines)


def test_bounds_are_floors_or_ceilings() -> None:
    hirescam, respond, small = SPECS[0], next(spec for spec in SPECS if spec.variant == "respond"), SMALL[0]
    found = {
        hirescam: {COPY: 0.85},
        respond: {COPY: 0.64, EAGER: 3.1, COMPILED: 1.1},
        small: {LAUNCHES: 2, GRAPH: 15.2, EAGER: 9.0},
    }
    verdicts = {line[1:6]: line[6] for line in gpu_targets.judge(found)}
    own = {key: verdict for key, verdict in verdicts.items() if verdict != "not measured"}
    assert own == {
        ("hirescam", "8×256×64³", "bfloat16", "≥ 85% of the copy bandwidth", "85%"): "ok",
        ("respond", "8×256×64³", "bfloat16", "≥ 65% of the copy bandwidth", "64%"): "**missed**",
        ("respond", "8×256×64³", "bfloat16", "≥ 3× eager", "3.1×"): "ok",
        ("respond", "8×256×64³", "bfloat16", "≥ 1.2× compiled", "1.1×"): "**missed**",
        ("respond", "32×64×10³ → 40³", "float32", "≤ 2 launches", "2"): "ok",
        ("respond", "32×64×10³ → 40³", "float32", "≤ 15 µs in a CUDA graph", "15.2"): "**missed**",
        ("respond", "32×64×10³ → 40³", "float32", "≥ 5× eager", "9×"): "ok",
    }


def test_the_page_shows_what_is_not_measured(tmp_path) -> None:
    shown = gpu_page.page(tmp_path)
    assert "make gpu-check" in shown
    assert shown.count("not measured") == 39


@pytest.mark.gpu
def test_a_gpu_is_asked_its_bandwidth_and_launches() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    gpu = Gpu()
    found = gpu.bandwidths()
    assert all(1e10 < rate < 1e14 for rate in found.values())
    tensor = torch.zeros(1000, device="cuda")
    assert len(gpu.launches(lambda: tensor.add_(1)) or []) == 1
    replay = gpu.graph([lambda: tensor.add_(1)])
    assert replay is not None
    assert 0 < gpu.time(replay, 10) < 1e-2
    assert 0 < gpu.time_with_launches(lambda: tensor.add_(1), 10) < 1e-2
