"""`camfast.ops.cuda` on an emulated device: the CUDA sources built for this processor, and CPU tensors in them."""

import ctypes
import fcntl
import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pybind11
import pytest

from camfast.ops import cuda, dispatch, plans, reference
from camfast.ops.counters import Counters

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / f"emulated-{sys.implementation.cache_tag}"


def build(folder: Path, sources: Path = ROOT) -> Path:
    """Build the emulated extension, or what changed of it, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", str(sources), "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
             "-DCAMFAST_CUDA=OFF", "-DCAMFAST_CUDA_EMULATION=ON", f"-DPython_EXECUTABLE={sys.executable}",
             f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", f"-DCAMFAST_PYTHON_OUTPUT={folder}"],
            ["cmake", "--build", str(folder), "--target", "emulated"],
        ):  # fmt: skip
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / f"_C_cuda{sysconfig.get_config_var('EXT_SUFFIX')}"


class Device:
    """The emulated device."""

    def __init__(self, path: Path) -> None:
        spec = importlib.util.spec_from_file_location("emulated._C_cuda", path)
        assert spec is not None
        assert spec.loader is not None
        self.kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.kernels)
        self._library = ctypes.CDLL(str(path))

    def launched(self) -> int:
        """Kernels started so far."""
        return int(self._library.emulation_launched())

    def schedule(self, seed: int) -> None:
        """Choose the order in which threads and blocks run from now on."""
        self._library.emulation_schedule(ctypes.c_ulong(seed))


@pytest.fixture(scope="session")
def _device() -> Device:
    return Device(build(BUILD))


@pytest.fixture
def device(_device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Let `camfast.ops.cuda` run on the emulated device, by CPU tensors."""
    monkeypatch.setattr(cuda, "_load", lambda: _device.kernels)
    monkeypatch.setattr(cuda, "_queue", lambda _: (0, 0))
    monkeypatch.setattr(cuda, "_COUNTERS", Counters())
    cuda._workspace_size.cache_clear()
    _device.schedule(1)
    yield _device
    cuda._workspace_size.cache_clear()
    for counters in cuda._COUNTERS._by_queue.values():
        assert not counters.any(), "a kernel left a counter that isn't 0"


@pytest.fixture
def ops_on_device(device: Device, monkeypatch: pytest.MonkeyPatch) -> Device:
    """Let `camfast.ops` run on the emulated device, whatever is asked for but the reference."""
    monkeypatch.setattr(dispatch, "choose", lambda _op, _device, backend: reference if backend == "torch" else cuda)
    monkeypatch.setattr(plans.Plans, "attempt", lambda *_: None)  # a plan would outlive the test
    monkeypatch.setattr(plans.Plans, "keep", lambda *_: None)
    return device
