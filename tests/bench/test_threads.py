"""What `bench.threads` compares: threads set as a crew's name says, right results, ratios of throughput."""

import threading
import time

import pytest
import torch

from bench import threads
from bench.networks import named
from bench.targets import DOUBTFUL, KEPT, MISSED
from bench.threads import COLUMNS, Crew, Shift, lines, measured, verdict
from bench.timing import Comparison, Timing


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)


def _compared(seconds, control=1.0):
    timings = {name: Timing((value,) * 5, 1) for name, value in seconds.items()}
    first = next(iter(timings.values())).median
    return Comparison(timings, Timing((first * control,) * 5, 1), 0.0)


@pytest.mark.parametrize("crew", [Crew(1, 1), Crew(3, 1), Crew(3, 2)])
def test_every_thread_of_a_crew_works_with_its_own_number(crew):
    before = torch.get_num_threads()
    together = threading.Barrier(crew.threads)

    def look(_):
        together.wait(10)
        return threading.get_ident(), torch.get_num_threads(), torch.ones(100_000).sum().item()

    with crew.at_work() as pool, Crew(2, 3 - crew.operations).at_work():  # another crew beside it changes nothing
        found = list(pool.map(look, range(crew.threads)))
    assert len({ident for ident, _, _ in found}) == crew.threads
    assert {(number, total) for _, number, total in found} == {(crew.operations, 100_000)}
    assert torch.get_num_threads() == before


def test_a_run_is_timed_after_each_thread_has_made_a_call():
    seen = {}

    def call(batch):
        own = seen.setdefault(threading.get_ident(), [])
        time.sleep(0.02 if own else 0.5)  # what comes first takes long
        own.append(int(batch))
        return batch

    shift = Shift(Crew(2, 1), call, list(torch.arange(8).split(1)))
    seconds = shift.seconds()
    assert 4 * 0.02 <= seconds < 0.5  # eight calls of two threads
    assert len(seen) == 2
    assert sorted(index for own in seen.values() for index in own) == sorted([0, 1, *range(8)])
    assert [int(batch) for batch in shift()] == list(range(8))


def test_a_small_network_becomes_two_lines_for_each_kind_of_call():
    network = named("ResNet-20")
    for kind in threads.CALLS:
        compared = measured(network, 1, 2, kind, seconds=0.0, rounds=(2, 2))
        assert list(compared.timings) == ["1 × 1", "2 × 1", "8 × 1", "1 × 2", "2 × 2", "8 × 2"]
        table = lines(network.name, 1, kind, 2, compared)
        assert [line[:4] for line in table] == [("ResNet-20", "1", kind, "1"), ("ResNet-20", "1", kind, "2")]
        assert all(len(line) == len(COLUMNS) for line in table)
        assert all(float(line[COLUMNS.index("calls a second")]) > 0 for line in table)


def test_a_wrong_result_is_refused(monkeypatch):
    own = threads.calls_of

    def drifting(network):
        count = iter(range(1_000))
        return {kind: lambda x, call=call: call(x) * (1 + 0.01 * next(count)) for kind, call in own(network).items()}

    monkeypatch.setattr(threads, "calls_of", drifting)
    with pytest.raises(AssertionError, match="1 × 1"):
        measured(named("ResNet-20"), 1, 4, "explain", seconds=0.0, rounds=(1, 1))


def test_ratios_are_of_throughput_and_over_the_faster_setting_of_one_thread():
    seconds = {"1 × 1": 8.0, "2 × 1": 4.0, "8 × 1": 5.0, "1 × 2": 6.0, "2 × 2": 5.0, "8 × 2": 12.0}
    one, two = lines("net", 1, "explain", 16, _compared(seconds))
    assert one[3:8] == ("1", "2.0", "2.00 (2.00–2.00)", "1.60 (1.60–1.60)", "1.20 (1.20–1.20)")
    assert two[3:8] == ("2", "2.7", "1.20 (1.20–1.20)", "0.50 (0.50–0.50)", "0.50 (0.50–0.50)")
    assert (one[-1], two[-1]) == (KEPT, MISSED)
    assert lines("net", 1, "forward", 16, _compared(seconds))[1][-1] == "–"


def test_a_doubtful_measurement_keeps_and_misses_nothing():
    seconds = {f"{threads} × {operations}": 1.0 for operations in (1, 2) for threads in (1, 2, 8)}
    assert verdict(_compared(seconds), 1) == KEPT
    doubtful = _compared(seconds, control=1.1)
    assert verdict(doubtful, 1) == DOUBTFUL
    assert all("?" in cell for cell in lines("net", 1, "explain", 16, doubtful)[0][5:8])
