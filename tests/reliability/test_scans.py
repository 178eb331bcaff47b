"""The campaign on scans in its short form, and that it notices a scan that ends with other bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from reliability.scans.processes import Ended
from reliability.scans.trials import Tally

ROOT = Path(__file__).resolve().parents[2]
# one process for all of it: only one without threads may fork, and importing takes the longest
SHORT = """
import json, sys
from pathlib import Path
import numpy as np
from reliability.scans import inputs, signals, storage, together
from reliability.scans.processes import make_ready
from reliability.scans.trials import Setting
from camfast.scan.tasks.staging import Staging

make_ready()
setting, rng = Setting(Path(sys.argv[1]), "cam.zarr"), np.random.default_rng(0)
kinds = [(signals.killed, 2), (storage.deleted, 1), (inputs.changed, 1), (together.twice, 1)]
found = [kind(setting, rng, count) for kind, count in kinds]
publish = Staging.publish

def careless(self, outputs, **options):
    publish(self, outputs, **options)
    (self.path / "zarr.json").write_text("{")

Staging.publish = careless
found.append(storage.full(setting, rng, 1))
print(json.dumps([[one.what, one.tried, one.wrong] for one in found]))
"""


def test_a_few_disturbances_and_a_planted_defect(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SHORT, str(tmp_path)], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *good, planted = json.loads(ran.stdout)
    assert [tried for _, tried, _ in good] == [2, 1, 1, 1]
    assert [wrong for *_, wrong in good] == [[]] * 4
    assert "cam.zarr/zarr.json differ from an undisturbed scan's" in planted[2][0]


def test_ends_that_are_not_for_people_are_wrong() -> None:
    tally = Tally("x", "cam.mrc")
    tally.note(Ended(0, ""), 0)
    tally.note(Ended(2, "camfast: warning: low\ncamfast: error: no room\n"), 0, 2)
    assert not tally.wrong
    for ended in (
        Ended(1, "camfast: failed\n"),
        Ended(None, ""),
        Ended(2, "a\nb\n"),
        Ended(0, "Traceback"),
        Ended(-9, ""),
    ):
        tally.note(ended, 0, 2)
    assert len(tally.wrong) == 5
    assert tally.ends == {"exit 0": 2, "exit 2": 2, "exit 1": 1, "hung": 1, "exit -9": 1}
