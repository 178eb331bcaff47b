"""What `bench.ratios` measures: every op on its sizes, right results only, and what the targets say of them."""

import math

import pytest
import torch

from bench import targets
from bench.case import CAMFAST, COMPILED, EAGER, FLOOR, INTERPOLATE, ZERO_INSERTION, Spec
from bench.cases import build, specs
from bench.ratios import COLUMNS, measure_kept, row
from bench.timing import Comparison, Timing, compare

RESPOND = Spec("fused_cam", "respond", (1, 64, 96, 96, 96))


def _compared(seconds: dict[str, float], control: float = 1.0) -> Comparison:
    timings = {name: Timing((value,) * 5, 1) for name, value in seconds.items()}
    return Comparison(timings, Timing((timings[CAMFAST].median * control,) * 5, 1), 0.0)


@pytest.mark.parametrize("spec", specs(quick=True), ids=str)
def test_every_op_becomes_a_line(spec: Spec) -> None:
    case = build(spec)
    compared = compare(case.contenders(compiled=False), check=case.verify, seconds=0.0, rounds=(3, 3), block=0.0)
    assert set(compared.timings) == {CAMFAST, EAGER, FLOOR, *case.peers}
    line = row(case, compared, measure_kept(spec, 0.0))
    assert len(line) == len(COLUMNS)
    assert line[:3] == (spec.op, spec.variant, spec.extent)
    assert all(math.isfinite(float(line[COLUMNS.index(name)])) for name in ("camfast ms", "A/A", "floor GB/s"))
    assert all(name in line[COLUMNS.index("peers ÷ camfast")] for name in case.peers)


@pytest.mark.parametrize("op", ["weighted_sum", "gaussian_upsample"])
def test_a_wrong_result_is_refused(op: str) -> None:
    case = build(specs(op, quick=True)[0])
    for contender in {CAMFAST, EAGER, *case.peers} - {INTERPOLATE}:
        with pytest.raises(AssertionError, match=f"{op}.*², {contender}"):
            case.verify(contender, case.expected[0].float() * 1.001)
        with pytest.raises(AssertionError, match="nan"):
            case.verify(contender, torch.full_like(case.expected[0], math.nan))


@pytest.mark.parametrize("op", ["linear_upsample", "gaussian_upsample"])
def test_peers_of_the_upsamplings_give_what_they_are_named_after(op: str) -> None:
    """Volumes too, where the quick measurement has images only."""
    case = build(specs(op)[0])
    for name, peer in case.peers.items():
        found, (expected,) = peer.run(), case.expected
        assert isinstance(found, torch.Tensor)
        assert found.shape == expected.shape
        near = float((found.double() - expected).norm() / expected.norm()) < 1e-5
        assert near == (op == "linear_upsample" or name == ZERO_INSERTION)


def test_sizes_are_read_as_in_the_papers() -> None:
    assert {spec.extent for spec in specs()} >= {
        "1×64×96³", "1×32×128³", "8×64×10³", "4×512×14²", "64×10³ → 40³", "1×64³ → 256³", "8×14² → 224²",
    }  # fmt: skip
    for op in {spec.op for spec in specs()}:
        keys = [spec.key() for spec in specs(op)]
        assert len(set(keys)) == len(keys)
        assert all(key.isascii() for key in keys)


def test_every_target_is_measured() -> None:
    """Each is of lines that exist, and of contenders that they have."""
    for target in targets.CPU_TARGETS:
        covered = [spec for spec in specs() if target.covers(spec)]
        assert len(covered) == len(target.extents) * max(1, len(target.variants)), target
        if target.contender not in (EAGER, COMPILED, FLOOR):
            assert target.contender in build(min(covered, key=lambda spec: math.prod(spec.to or ()))).peers


def test_targets_are_reached_or_missed() -> None:
    kept = _compared({CAMFAST: 1.0, EAGER: 4.0})
    compared = _compared({CAMFAST: 1.0, EAGER: 5.0, COMPILED: 1.2, FLOOR: 0.8})
    lines = {judgement.target.contender: judgement for judgement in targets.judge(RESPOND, compared, kept)}
    assert lines[EAGER].cells()[3:] == ("≥ 5× eager", "5.00×", "4.00×", targets.KEPT)
    assert lines[COMPILED].cells()[3:] == ("≥ 1.3× compiled", "1.20×", "–", targets.MISSED)
    assert lines[FLOOR].cells()[3:] == ("≥ 75% of the read bandwidth", "80%", "–", targets.KEPT)
    assert targets.summary(lines.values()) == "2 of 3 targets reached, 1 missed, 0 inconclusive, 0 not measured."


def test_a_doubtful_measurement_reaches_nothing() -> None:
    compared = _compared({CAMFAST: 1.0, EAGER: 50.0}, control=1.5)
    lines = {judgement.target.contender: judgement for judgement in targets.judge(RESPOND, compared)}
    assert lines[EAGER].verdict == targets.DOUBTFUL
    assert lines[COMPILED].cells()[3:] == ("≥ 1.3× compiled", "–", "–", targets.UNMEASURED)
    assert list(targets.judge(Spec("fused_cam", "respond", (1, 1, 1)), compared)) == []


@pytest.mark.parametrize(
    "spec",
    [Spec("overlay", "uint16", (1, 14, 14), (200, 300)), Spec("overlay", "uint8", (2, 3, 4), (64, 64)),
     Spec("running_max", "", (2, 30, 30))],
    ids=str,
)  # fmt: skip
def test_pictures_and_maxima_by_others_are_right(spec: Spec) -> None:
    case = build(spec)
    contenders = case.contenders(compiled=False)
    for name in {EAGER, *case.peers}:
        case.verify(name, contenders[name]())
    case.verify(CAMFAST, case.run("torch"))
    contenders[FLOOR]()
