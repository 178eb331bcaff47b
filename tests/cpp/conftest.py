"""The C++ package, built, installed and moved; and how the tests run other programs."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "cpp-test"  # of `make cpp-test`, which compiles the same files with the same options


class Tools:
    """Programs, found first where this Python's own are: cmake and ninja of the development environment."""

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(
        self, *command: str | Path, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        return subprocess.run(
            [str(word) for word in command], cwd=cwd, env={**os.environ, "PATH": self.path, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def done(self, *command: str | Path, **environment: str) -> str:
        """Run a command that must succeed, and return what it prints."""
        finished = self.run(*command, **environment)
        assert finished.returncode == 0, f"{command}:\n{finished.stdout[-3000:]}{finished.stderr[-3000:]}"
        return finished.stdout

    def configured(self, source: Path, build: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Configure a CMake project."""
        return self.run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *options)

    def build(self, source: Path, build: Path, *options: str, targets: Sequence[str] = ()) -> None:
        """Configure and build a CMake project."""
        configured = self.configured(source, build, *options)
        assert configured.returncode == 0, configured.stdout[-3000:] + configured.stderr[-3000:]
        self.done("cmake", "--build", build, *(f"--target={target}" for target in targets))


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Programs."""
    return Tools()


@pytest.fixture(scope="session")
def prefix(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package lies: moved away from where it was installed, of which nothing is left."""
    options = ("-DCAMFAST_WERROR=ON", "-DCAMFAST_CUDA=OFF", "-DCMAKE_INSTALL_LIBDIR=lib")  # lib64 on some systems
    folder = tmp_path_factory.mktemp("package")
    BUILD.parent.mkdir(exist_ok=True)
    with BUILD.with_suffix(".lock").open("w") as lock:  # where tests run in several processes, each comes here
        fcntl.flock(lock, fcntl.LOCK_EX)
        tools.build(ROOT, BUILD, *options, targets=("camfast_shared", "camfast_static"))
        tools.done("cmake", "--install", BUILD, "--prefix", folder / "installed")
    return (folder / "installed").rename(folder / "moved to here")


@pytest.fixture(scope="session")
def inputs(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What examples/cpp/inputs.py writes: activations and gradients of a network, and Python's map."""
    folder = tmp_path_factory.mktemp("inputs")
    tools.done(sys.executable, ROOT / "examples" / "cpp" / "inputs.py", folder, "--map", PYTHONPATH=str(ROOT))
    return folder
