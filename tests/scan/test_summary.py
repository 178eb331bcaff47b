"""Scores of more windows than fit into memory lie in a temporary file, which has room for all of them or for none."""

import os
import resource

import pytest
import torch

import camfast
from camfast.scan import summary
from tests.scan.cases import STRIDE, WINDOW, density, small_network


def _scores() -> torch.Tensor:
    explainer = camfast.Explainer(small_network(), "5", "respond")
    return camfast.scan(density((20, 20, 20)), explainer, window=WINDOW, stride=STRIDE, target=2, progress=False).scores


@pytest.mark.parametrize("reserving", ["by the system", "by zeros"])
def test_scores_in_a_file_are_those_in_memory(monkeypatch: pytest.MonkeyPatch, reserving: str) -> None:
    expected = _scores()
    monkeypatch.setattr(summary, "_IN_MEMORY", 0)
    monkeypatch.setattr(summary, "_PIECE", 7)
    if reserving == "by zeros":
        monkeypatch.delattr(os, "posix_fallocate")
    found = _scores()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("reserving", ["by the system", "by zeros"])
def test_no_room_for_scores_is_an_error(monkeypatch: pytest.MonkeyPatch, reserving: str) -> None:
    """Without room that is taken beforehand the first write to the mapped file kills the process (SIGBUS)."""
    monkeypatch.setattr(summary, "_IN_MEMORY", 0)
    if reserving == "by zeros":
        monkeypatch.delattr(os, "posix_fallocate")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: the scores of all windows take [\d,]+ bytes .* TMPDIR"):
            _scores()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
