"""The campaign on the binding in its short form, and that it notices crashes and wrong calls that are accepted."""

import sys
from pathlib import Path

from reliability.bindings import __main__ as bindings

ENDS = """
import os, pathlib, sys
seed, first, cases, path = sys.argv[1:]
with open(path, "a") as stream:
    stream.write('{"kind": "camfast._C", "trying": "call %s"}\\n' % first)
    stream.flush()
    if first == "1":
        os.abort()
    stream.write('{"wrong": "%s"}\\n' % ("was accepted" if first == "2" else ""))
"""


def test_wrong_calls_are_refused() -> None:
    found = bindings.search(0, 150)
    assert not found.ended, found.ended
    assert not found.wrong, found.wrong
    assert sum(found.tried.values()) == 150


def test_a_crash_and_a_wrong_call_that_is_accepted_are_found(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text(ENDS)
    found = bindings.search(0, 4, (sys.executable, str(script)))
    assert [kind for kind, _ in found.ended] == ["camfast._C"]
    assert found.ended[0][1].startswith("call 1: ended with status -6")
    assert found.wrong == [("camfast._C", "call 2: was accepted")]
