"""All that the extras need is pinned, and an audit that can't run doesn't pass."""

import json
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reliability.audit import audit

ROOT = Path(__file__).resolve().parents[2]


LOCK = {
    f"{canonicalize_name(name)}=={number}"
    for name, _, number in (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
}


def _pinned(*names: str) -> set[str]:
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    return {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line and line[0] != "#"}


def _needed(extra: str) -> set[str]:
    """Names of all that camfast with an extra needs here, and what these need."""
    found: set[tuple[str, str]] = set()
    waiting = [("camfast", extra), ("camfast", "")]
    while waiting:
        name, wanted = one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        try:
            known = name == "camfast" or f"{name}=={version(name)}" in LOCK
        except PackageNotFoundError:
            known = False
        texts = (requires(name) or []) if known else []  # what another version needs is no matter
        for need in map(Requirement, texts):
            if need.marker is None or need.marker.evaluate({"extra": wanted}):
                waiting += [(canonicalize_name(need.name), more) for more in ("", *need.extras)]
    return {name for name, _ in found} - {"camfast"}


def test_everything_that_is_installed_is_pinned() -> None:
    needed = _needed("dev")
    assert {"torch", "numpy", "starlette", "pytest", "zarr", "matplotlib"} <= needed
    assert needed - _pinned("constraints.txt") == set()


def test_every_line_of_the_lock_names_one_version() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or len(line.split("==")) == 2, line


@pytest.mark.parametrize(
    ("code", "out", "err", "expected"),
    [
        (0, [{"name": "a", "version": "1", "vulns": []}], "", (0, "1 packages, no known")),
        (1, [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}], "", (1, "a 1: CVE-1")),
        (0, [{"name": "a", "skip_reason": "unknown"}], "", (2, "1 of 1 packages .*: a .unknown")),
        (0, [], "", (2, "not all was audited")),
        (1, None, "Traceback\nConnectionError: no route", (2, "nothing was audited: .*ConnectionError: no route")),
        (1, None, "No module named pip_audit", (2, "nothing was audited: .*No module named pip_audit")),
        (0, None, "", (2, "nothing was audited")),
    ],
)
def test_an_audit_passes_only_where_all_was_looked_at(code, out, err, expected) -> None:
    text = "" if out is None else json.dumps({"dependencies": out})
    found = audit(run=lambda command: subprocess.CompletedProcess(command, code, text, err))
    assert found[0] == expected[0]
    assert re.search(expected[1], found[1])
