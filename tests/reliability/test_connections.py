"""The load of many connections in its short form, and what the campaign finds wrong when something is."""

import json
from dataclasses import replace

import pytest

from reliability.connections import TOKEN, campaign
from reliability.connections.__main__ import shared
from reliability.connections.campaign import Measured, Phase, State, rows, run


def test_a_page_of_good_faith_outlives_the_others() -> None:
    found = run(shared(60), 3.0, lifetime=1.0, too_slow=2.0)
    assert found.faults() == [], json.dumps(found.seen)
    assert len(rows(found)) == 3


def test_a_server_that_waits_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "LATE", 1.0)
    found = run({"dawdle": 8}, 2.0, lifetime=600.0, too_slow=2.0)
    faults = " ".join(replace(found, lifetime=0.5).faults())
    assert "milliseconds of a request that never ends" in faults


STATE = State(200 << 20, 10, 4)
SEEN = dict.fromkeys(
    ("guesses refused", "messages of floods", "requests that never end", "nonsense", "frames read by them"), 1
)


def _measured(most: State = STATE, after: State = STATE, gaps: int = 20, said: str = "", **seen: int) -> Measured:
    during = Phase(1.0, most, [0.05] * gaps, [0.01])
    quiet = Phase(1.0, STATE, [0.05] * 20, [0.01])
    return Measured(quiet, during, replace(quiet, most=after), {**SEEN, **seen}, said, 20.0)


def test_nothing_is_wrong_where_nothing_is() -> None:
    assert _measured().faults() == []


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (_measured(most=replace(STATE, memory=1 << 30)), "memory under load"),
        (_measured(after=replace(STATE, memory=1 << 30)), "memory afterwards"),
        (_measured(most=replace(STATE, descriptors=600)), "descriptors under load"),
        (_measured(after=replace(STATE, descriptors=11)), "descriptors afterwards"),
        (_measured(most=replace(STATE, threads=5)), "threads under load"),
        (_measured(after=replace(STATE, threads=5)), "threads afterwards"),
        (_measured(gaps=0), "a page of good faith got 0 frames"),
        (_measured(said="Traceback"), "lines that the server printed: 1"),
        (_measured(said=f"GET /?token={TOKEN}"), "the token stands in what the server printed"),
        (_measured(**{"GUESSES THAT GOT IN": 1}), "guesses that got in: 1"),
        (_measured(**{"longest of these, ms": 60_000}), "a request that never ends: 60,000"),
        (_measured(nonsense=0), "nothing was tried of: nonsense"),
    ],
)
def test_each_fault_is_noticed(measured: Measured, said: str) -> None:
    assert said in " ".join(measured.faults())
