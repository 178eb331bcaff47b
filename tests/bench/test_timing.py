"""The benchmarks' own tools: what they measure, and what they refuse."""

import json
import math
import os
import resource
import subprocess
import sys
import time

import pytest
import torch

from bench.report import Circumstances, Report, replace_block, table
from bench.timing import Comparison, Timing, compare, keep_freed_memory, milliseconds, times, trust, until_conclusive


def _accept(name, result):
    pass


def _compared(first, second, control=None, others=0.0):
    timings = {"first": Timing(tuple(first), 1), "second": Timing(tuple(second), 1)}
    return Comparison(timings, Timing(tuple(control or first), 1), others)


def test_a_sleep_takes_its_time():
    contenders = {"short": lambda: time.sleep(0.002), "long": lambda: time.sleep(0.04)}
    compared = compare(contenders, check=_accept, seconds=0.0, rounds=(5, 5))
    assert [len(timing.seconds) for timing in (*compared.timings.values(), compared.control)] == [5, 5, 5]
    assert compared.timings["short"].median >= 0.002
    assert compared.timings["long"].median >= 0.04
    assert compared.ratio("long", "short").median > 1


def test_short_calls_are_timed_in_blocks():
    calls = 0

    def count():
        nonlocal calls
        calls += 1

    compared = compare({"count": count}, check=_accept, seconds=0.0, rounds=(2, 2), block=1e-4)
    timing = compared.timings["count"]
    assert timing.calls > 10
    # once to check, five times to learn how long it takes, then in two rounds of two blocks with one call before each
    assert calls == 1 + 5 + 4 * (timing.calls + 1)


def test_rounds_end_with_the_time():
    compared = compare({"sleep": lambda: time.sleep(0.003)}, check=_accept, seconds=0.05, rounds=(1, 1000))
    assert 1 <= len(compared.control.seconds) < 20


def test_nothing_is_timed_before_the_results_are_right():
    calls = []

    def check(name, result):
        assert result == "right", name

    contenders = {"good": lambda: calls.append("good") or "right", "bad": lambda: calls.append("bad") or "wrong"}
    with pytest.raises(AssertionError, match="bad"):
        compare(contenders, check=check)
    assert calls == ["good", "bad"]


def test_ratios_are_taken_within_rounds():
    """A machine that slows down tenfold while the third round runs: the ratio of the medians would be 20."""
    compared = _compared([1, 1, 1, 10, 10], [2, 2, 20, 20, 20])
    ratio = compared.ratio("second", "first")
    assert (ratio.low, ratio.median, ratio.high) == (2, 2, 2)


@pytest.mark.parametrize(
    ("control", "others", "conclusive"),
    [
        ([1.04] * 5, 0.0, True),
        ([1.06] * 5, 0.0, False),
        ([1 / 1.06] * 5, 0.0, False),
        ([1] * 5, 0.11, False),
        ([1] * 5, None, True),
    ],
)
def test_doubt_is_shown(control, others, conclusive):
    compared = _compared([1] * 5, [3] * 5, control, others)
    assert compared.conclusive is conclusive
    assert times(compared, "second", "first") == "3.00 (3.00–3.00)" + ("" if conclusive else " ?")
    assert float(trust(compared)[0]) >= 1


def test_a_doubtful_comparison_is_repeated_as_long_as_there_is_time():
    doubtful, sound = _compared([1] * 5, [3] * 5, others=0.5), _compared([1] * 5, [2] * 5)
    for deadline, expected in ((math.inf, sound), (-math.inf, doubtful)):
        results = iter([doubtful, doubtful, sound, doubtful])
        assert until_conclusive(lambda results=results: next(results), deadline, pause=0.0) is expected


def test_other_processes_are_seen():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        compared = compare({"sleep": lambda: time.sleep(0.01)}, check=_accept, seconds=0.5, rounds=(1, 1000))
        other.kill()
    if compared.others is None:
        pytest.skip("the system doesn't say what its cores do")
    assert compared.others * os.cpu_count() > 0.1


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.2345, "1234"), (0.12345, "123"), (0.0012345, "1.23"), (1.2345e-5, "0.0123")]
)
def test_milliseconds_have_three_digits(seconds, text):
    assert milliseconds(Timing((seconds,), 1)) == text


def test_a_report_goes_into_its_block(tmp_path):
    readme, kept = tmp_path / "README.md", tmp_path / "kept.json"
    readme.write_text("before\n<!-- a b -->\nold\n<!-- /a b -->\nafter\n", "utf-8")
    report = Report(
        "a b", "command", Circumstances.now(), ("op", "ms"), (("x", "1.5 of 17"),), [{"seconds": [0.0015]}], "1 line."
    )
    report.write_into(readme)
    report.write_into(readme)
    text = readme.read_text("utf-8")
    assert text.startswith("before\n<!-- a b -->\n`command`: ")
    assert text.endswith("\n\n| op | ms |\n| --- | ---: |\n| x | 1.5 of 17 |\n\n1 line.\n<!-- /a b -->\nafter\n")
    assert "old" not in text
    assert text.count("1.5 of 17") == 1
    report.write_json(kept)
    content = json.loads(kept.read_text("utf-8"))
    assert content["measurements"] == [{"seconds": [0.0015]}]
    assert content["summary"] == "1 line."
    assert content["circumstances"]["torch"] == torch.__version__


@pytest.mark.parametrize("text", ["", "<!-- a -->", "<!-- /a -->\n<!-- a -->", "<!-- a --><!-- a --><!-- /a -->"])
def test_a_page_without_the_block_is_left_alone(text):
    with pytest.raises(ValueError, match="expected one line <!-- a -->"):
        replace_block(text, "a", "content")


def test_words_left_numbers_right():
    assert table(("op", "ms"), [("a", "1"), ("b", "–")]).splitlines()[1] == "| --- | --- |"
    assert table(("op", "ms"), [("a", "1"), ("b", "2")]).splitlines()[1] == "| --- | ---: |"


def test_freed_memory_is_kept():
    """In a process of its own: it is told once, for good."""
    context = torch.multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        faults, told = pool.apply(_faults)
    if not told:
        pytest.skip("this C library can't be told")
    assert faults < 1000


def _faults():
    told = keep_freed_memory()
    for _ in range(12):  # until the heap has grown by enough for the alignment too
        torch.zeros(16_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(16_000_000)  # 64 MB: 15,625 pages where they are fresh
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, told
