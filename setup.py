"""Build of the native extensions; everything else stands in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# camfast._C_cuda is built where nvcc is, unless CAMFAST_CUDA=0 says otherwise.
CUDA = os.environ.get("CAMFAST_CUDA") != "0" and shutil.which("nvcc") is not None


class CMakeBuild(build_ext):
    """Builds the extensions with CMake in a folder that persists, so a rebuild compiles what changed only."""

    def build_extension(self, ext: Extension) -> None:
        """Configure and build the CMake project, and put its module where setuptools expects it."""
        root = Path(__file__).parent.resolve()
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = root / "build" / f"cmake-{sys.implementation.cache_tag}"
        configure = [
            "cmake", "-S", str(root), "-B", str(build), "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release", "-DCAMFAST_PYTHON=ON",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCAMFAST_PYTHON_OUTPUT={target.parent}",
            f"-DCAMFAST_CUDA={'ON' if CUDA else 'OFF'}",
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build), "--target", ext.name.rpartition(".")[2]], check=True)


NAMES = ["camfast._C", "camfast._C_cuda"] if CUDA else ["camfast._C"]
setup(ext_modules=[Extension(name, sources=[]) for name in NAMES], cmdclass={"build_ext": CMakeBuild})
