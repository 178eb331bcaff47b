"""``camfast live`` in a window, for other machines, and what else the page isn't needed for."""

import json
import re
import sys
import time
from types import SimpleNamespace

import pytest

from camfast.live.sinks.napari_window import NapariSink

SIM = ("live", "--source", "sim:8x8x8@100")
WITHOUT_CONVOLUTIONS = """from torch import nn


def build():
    return nn.Sequential(nn.AvgPool3d(2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(WITHOUT_CONVOLUTIONS)
    return ("--model", f"{path}:build", "--layer", "1")


@pytest.fixture
def window(monkeypatch):
    """A window of napari that a test looks after: what it does each time it is to be brought up to date."""
    looks = []

    def run(sink, running):
        while running():
            for look in looks:
                look(sink)
            time.sleep(0.005)

    monkeypatch.setitem(sys.modules, "napari", SimpleNamespace())
    monkeypatch.setattr(NapariSink, "run_window", run)
    return looks


def test_a_network_without_convolutions_needs_no_page(camfast, model):
    ran = camfast(*SIM, *model, "--serve", "none", "--for", "0.4", "--levels", "auto", "--json", "--quiet")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert (facts["failed"], facts["page"]) == (0, None)
    assert facts["shown"] > 0


def test_a_window_is_looked_after_until_the_time_is_over(camfast, model, window):
    seen = []
    window.append(lambda sink: seen.extend(shown.frame.number for shown in sink._newest))
    ran = camfast(*SIM, *model, "--serve", "none", "--sink", "napari", "--for", "0.4", "--quiet", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["shown"] > 0
    assert seen == sorted(seen)
    assert seen


def test_a_window_that_fails_leaves_a_summary(camfast, model, window):
    def fail(sink):
        if sink._newest:
            raise RuntimeError("the display has gone")

    window.append(fail)
    ran = camfast(*SIM, *model, "--serve", "none", "--sink", "napari")
    assert ran.code == 1
    assert re.search(r"^camfast: sim:8x8x8@100: \d+ frames, \d+ shown", ran.err, re.MULTILINE), ran.err
    assert "the display has gone" in ran.err


def test_others_are_told_to_put_in_this_machines_address(camfast, model):
    ran = camfast(*SIM, *model, "--serve", "0.0.0.0:0", "--token", "long-enough-word", "--for", "0.3")
    assert ran.code == 0, ran.err
    first, second = ran.err.splitlines()[:2]
    assert re.fullmatch(r"camfast: open http://127\.0\.0\.1:\d+/\S* in a browser; Ctrl-C ends", first)
    assert second == "camfast: on other machines put this machine's address in the place of that one"


def test_a_page_may_be_served_without_a_word(camfast, model):
    ran = camfast(*SIM, *model, "--serve", "127.0.0.1:0", "--for", "0.3", "--quiet", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["page"]
