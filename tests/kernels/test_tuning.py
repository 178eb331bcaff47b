"""Which configuration a kernel runs in: the fastest, measured once and kept; none is measured while capturing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from camfast.kernels._tuning import Config, Tuned, size_class

CONFIGS = [{"BLOCK": 64, "num_warps": 4}, {"BLOCK": 128, "num_warps": 8}, {"BLOCK": 32, "num_warps": 1}]


class Kernel:
    """A kernel that takes as many milliseconds as warps."""

    cache_key = "of this source"

    def __init__(self) -> None:
        self.measured: list[Config] = []

    def tuned(self) -> Tuned:
        def measure(call: Callable[[], None]) -> float:
            call()
            return float(self.measured[-1]["num_warps"])

        return Tuned(self, measure)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Test")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    return Kernel()


def test_the_fastest_is_measured_once_and_kept(kernel: Kernel) -> None:
    tuned = kernel.tuned()
    for _ in range(2):
        assert tuned.choose(("a",), CONFIGS, kernel.measured.append) == CONFIGS[2]
    assert kernel.measured == CONFIGS
    assert kernel.tuned().choose(("a",), CONFIGS, kernel.measured.append) == CONFIGS[2]  # as a later process finds it
    assert len(kernel.measured) == len(CONFIGS)
    tuned.choose(("b",), CONFIGS, kernel.measured.append)
    tuned.choose(("a",), [CONFIGS[0]], kernel.measured.append)  # nothing to choose
    assert len(kernel.measured) == 2 * len(CONFIGS)


def test_nothing_is_measured_while_a_graph_is_captured(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = kernel.tuned()
    with monkeypatch.context() as capturing:
        capturing.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert tuned.choose(("a",), CONFIGS, kernel.measured.append) == CONFIGS[0]
    assert kernel.measured == []
    assert tuned.choose(("a",), CONFIGS, kernel.measured.append) == CONFIGS[2]


def test_size_classes_are_coarse() -> None:
    assert [size_class(number) for number in (0, 1, 2, 7, 8, 9, 1000, 1024)] == [0, 0, 1, 3, 3, 4, 10, 10]
