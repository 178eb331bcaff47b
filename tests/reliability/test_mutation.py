"""The campaign of mutants: what it makes and draws, and that it tells a mutant that is noticed from one that isn't."""

from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="pip install -r requirements-mutation.txt")
pytest.importorskip("libcst", reason="pip install -r requirements-mutation.txt")

from reliability.mutation import (
    COLUMNS,
    MODULES,
    Module,
    all_mutants,
    counted,
    equivalent,
    shown,
    tried,
)  # fmt: skip
from reliability.mutation_mutants import ROOT, Mutant, mutants_of, sample
from reliability.mutation_running import Outcome, Warm

PLANTED = '''"""A module."""

from collections import Counter

Shape = tuple[int, int]
LARGEST = 5


@staticmethod
def check(size: int | None, *, name: str = "size") -> None:
    """Refuse what is too large."""
    if size is not None and size > LARGEST:
        raise ValueError(f"{name} is " "too large")


def both(shape: Shape) -> list[int]:
    check(shape[0])
    check(shape[1])
    return Counter(shape).most_common(isinstance(shape, tuple))
'''


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    (tmp_path / "planted.py").write_text(PLANTED)
    return tmp_path


def _changes(mutants: list[Mutant]) -> set[tuple[str, str]]:
    return {(mutant.where, mutant.after) for mutant in mutants}


def test_what_is_changed(planted: Path) -> None:
    mutants = mutants_of("planted.py", planted)
    found = _changes(mutants)
    assert {
        ("", "LARGEST = 6"), ("", "LARGEST = None"), ("both", "pass"), ("both", "check(shape[2])"),
        ("check", "if size is not None and size >= LARGEST:"), ("check", "if size is None and size > LARGEST:"),
        ("check", "if size is not None or size > LARGEST:"), ("check", 'raise ValueError(f"{name} is " "TOO LARGE")'),
        ("check", 'def check(size: int | None, *, name: str = "SIZE") -> None:'),
    } <= found  # fmt: skip
    left_alone = ("Shape = ", "import", "Refuse", "A module", "static", "isinstance(None", "int | N")
    assert not [after for _, after in found for text in left_alone if text in after and "def" not in after]
    assert len({mutant.source for mutant in mutants}) == len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        compile(mutant.source, "mutant", "exec")
        assert mutant.source.count("\n") == PLANTED.count("\n")
    assert _changes(mutants_of("planted.py", planted, within=("bo",))) == {one for one in found if one[0] == "both"}
    assert sum(mutant.after == "pass" for mutant in mutants) == 2  # a check left out, of two


def test_the_sample_is_the_same_for_the_same_seed(planted: Path) -> None:
    mutants = mutants_of("planted.py", planted)
    (planted / "other.py").write_text("A = 1 < 2\nB = A and A\n")
    mutants += mutants_of("other.py", planted)
    drawn = sample(mutants, 20, 0)
    assert drawn == sample(list(reversed(mutants)), 20, 0)
    assert drawn != sample(mutants, 20, 1)
    assert len(set(drawn)) == 20
    share = sum(mutant.module == "other.py" for mutant in mutants) / len(mutants)
    assert abs(sum(mutant.module == "other.py" for mutant in drawn) - 20 * share) < 1
    assert sample(mutants, 10**6, 0) == sorted(mutants, key=lambda one: (one.module, one.line, one.name))


def test_noticed_or_not(planted: Path) -> None:
    (planted / "test_planted.py").write_text(
        "import pytest\nimport planted\n\ndef test_it():\n    planted.both((1, 2))\n"
        "    with pytest.raises(ValueError):\n        planted.both((1, 6))\n    assert not planted.LARGEST == 7\n"
    )
    module = Module("planted.py", ("test_planted.py",))
    mutants = [mutant for mutant in mutants_of("planted.py", planted) if mutant.after in ("pass", "LARGEST = None")]
    warm = Warm(planted, planted, preload=("pytest", "hypothesis"))
    found = list(tried(mutants, [module], warm, jobs=2))
    assert [(mutant.line, outcome.verdict) for mutant, outcome in found] == [
        (6, "killed"),
        (17, "survived"),  # nothing is too large in front
        (18, "killed"),
    ]
    assert (planted / "planted.py").read_text() == PLANTED
    (planted / "test_planted.py").write_text("import planted\n\ndef test_it():\n    assert planted.LARGEST == 6\n")
    with pytest.raises(RuntimeError, match=r"tests have to pass before anything is changed; killed: test_pl"):
        next(tried(mutants, [module], warm))


def test_the_table_counts_what_was_found(planted: Path) -> None:
    mutants = mutants_of("planted.py", planted)[:4]
    verdicts = ("killed", "survived", "timed out", "killed")
    outcomes = [(mutant, Outcome(verdict, 1.0)) for mutant, verdict in zip(mutants, verdicts, strict=True)]
    rows = counted(outcomes, {"planted.py": 9})
    assert [len(row) for row in rows] == [len(COLUMNS)] * 2
    assert rows[0] == ("`planted.py`", "9", "4", "2", "1", "1", "75.0 %")
    assert rows[1] == ("all", *rows[0][1:])
    assert "\n  - " in shown(mutants[0])
    assert "\n  + " in shown(mutants[0])


def test_what_is_said_to_be_equivalent_has_a_reason_and_is_there() -> None:
    known = equivalent()
    assert all(reason.endswith(".") for reason in known.values())
    files = {name.split(" ")[0] for name in known}
    assert files <= {module.file for module in MODULES}
    left = {mutant.name for mutant in all_mutants([module for module in MODULES if module.file in files])}
    there = {
        one.name for module in MODULES if module.file in files for one in mutants_of(module.file, ROOT, module.within)
    }
    assert known.keys() <= there
    assert left == there - known.keys()
    for module in MODULES:
        for test in module.tests:
            path, _, name = test.partition("::")
            assert f"def {name}" in (ROOT / path).read_text("utf-8")
