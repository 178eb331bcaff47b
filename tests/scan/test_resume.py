"""A scan that is killed goes on, and ends with the bytes of an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scan.killed import MOMENTS, MOVES

ROOT = Path(__file__).resolve().parents[2]
BESIDE = {"cam.scores.zarr", "cam.labels.zarr", "cam.picks.star", "cam.picks.json"}


def killed(what, name, folder):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.scan.killed", what, name, str(folder)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_killed_at_random_moments(tmp_path, name):
    facts = killed("moments", name, tmp_path)
    assert facts["wrong"] == []  # nothing ever stands under a final name that isn't as it is in the end
    assert facts["ends"] >= 1
    assert {one.split("/")[0] for one in facts["names"]} == {name, *BESIDE}
    assert (facts["again"], facts["hidden"]) == ("failed", [])
    assert len(facts["left"]) == MOMENTS
    assert any(parts for parts, _ in facts["left"])  # it was killed while there was something to keep


@pytest.mark.parametrize(("what", "name"), [("moving", "cam.mrc"), ("overwriting", "cam.zarr")])
def test_killed_while_outputs_are_moved_to_their_places(tmp_path, what, name):
    facts = killed(what, name, tmp_path)
    assert facts["torn"] == []
    assert facts["equal"]
    assert facts["hidden"] == []
    assert facts["changed"]
    assert len(facts["ends"]) == len(MOVES)
    assert all(ends[0] == "killed" for ends in facts["ends"])
    assert all("failed" not in ends for ends in facts["ends"] if what == "overwriting" or len(ends) == 3)
