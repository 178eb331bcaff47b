"""Traps in files of weights, in short; and that a reader that takes no care is noticed."""

import pickle
from pathlib import Path

from reliability.security import KINDS, WAYS, campaign, springs


def test_no_trap_is_sprung() -> None:
    tried, wrong = campaign(120, seed=1)
    assert wrong == []
    assert tried == dict.fromkeys(KINDS, 20)


def test_every_trap_is_one(tmp_path: Path) -> None:
    assert all(springs(way, tmp_path) for way in WAYS)


def test_a_reader_that_unpickles_is_noticed() -> None:
    def careless(path: Path) -> None:
        pickle.loads(path.read_bytes())

    wrong = campaign(30, seed=1, readers=(careless,))[1]
    assert sum("ran its code" in fault for fault in wrong if fault.startswith("pickle,")) >= 3
