"""Build of the native extensions; everything else stands in pyproject.toml."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import ExecError

# camfast._C_cuda is built where nvcc is, unless CAMFAST_CUDA=0 says otherwise; CAMFAST_CUDA=1 insists on it.
WANTED = os.environ.get("CAMFAST_CUDA", "")
CUDA = WANTED != "0" and shutil.which("nvcc") is not None


class CMakeBuild(build_ext):
    """Builds the extensions with CMake in a folder that persists, so a rebuild compiles what changed only."""

    def build_extension(self, ext: Extension) -> None:
        """Configure and build the CMake project, and put its module where setuptools expects it."""
        if WANTED not in ("", "0") and not CUDA:
            raise ExecError(f"CAMFAST_CUDA={WANTED} asks for the CUDA kernels, and nvcc is not on PATH: put it there")
        root = Path(__file__).parent.resolve()
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = root / "build" / f"cmake-{sys.implementation.cache_tag}"
        cmake = _tool("cmake")
        configure = [
            cmake, "-S", str(root), "-B", str(build), "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}",
            "-DCMAKE_BUILD_TYPE=Release", "-DCAMFAST_PYTHON=ON",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={_pybind11()}",
            f"-DCAMFAST_PYTHON_OUTPUT={target.parent}",
            f"-DCAMFAST_CUDA={'ON' if CUDA else 'OFF'}",
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]  # fmt: skip
        if subprocess.run(configure).returncode != 0:
            raise ExecError(_why_not_configured())
        module = ext.name.rpartition(".")[2]
        if subprocess.run([cmake, "--build", str(build), "--target", module]).returncode != 0:
            raise ExecError(f"the compiler could not build {ext.name}: its first error is above")


def _tool(name: str) -> str:
    """Path of a build tool: on PATH, or beside the interpreter as in a virtual environment that isn't activated."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        raise ExecError(f"{name} is neither on PATH nor beside {sys.executable}: pip install {name}{_ISOLATION}")
    return found


def _pybind11() -> str:
    """Where CMake finds pybind11."""
    try:
        import pybind11
    except ImportError:
        raise ExecError(f"pybind11 is not installed for {sys.executable}: pip install pybind11{_ISOLATION}") from None
    return str(pybind11.get_cmake_dir())


def _why_not_configured() -> str:
    """What CMake most likely missed, and what brings it."""
    asked = os.environ.get("CXX", "").split()
    names = asked[:1] or ["c++", "g++", "clang++"]
    if os.name == "posix" and not any(map(shutil.which, names)):
        found = f"CXX={asked[0]} is no program" if asked else f"none of {', '.join(names)} is on PATH"
        return (
            f"camfast needs a C++17 compiler, and {found}: install one (apt-get install g++, dnf install gcc-c++, "
            "xcode-select --install) or set CXX; a wheel of camfast needs none"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return f"Python's headers are missing, {header} does not exist: apt-get install python3-dev"
    return "CMake could not configure camfast: its first error is above"


_ISOLATION = ", or build without --no-build-isolation, which brings it"
NAMES = ["camfast._C", "camfast._C_cuda"] if CUDA else ["camfast._C"]
setup(ext_modules=[Extension(name, sources=[]) for name in NAMES], cmdclass={"build_ext": CMakeBuild})
