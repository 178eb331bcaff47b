"""Build of the native extension; everything else stands in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

import pybind11
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class CMakeBuild(build_ext):
    """Builds camfast._C with CMake in a folder that persists, so a rebuild compiles what changed only."""

    def build_extension(self, ext: Extension) -> None:
        """Configure and build the CMake project, and put the module where setuptools expects it."""
        root = Path(__file__).parent.resolve()
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build = root / "build" / f"cmake-{sys.implementation.cache_tag}"
        configure = [
            "cmake", "-S", str(root), "-B", str(build), "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release", "-DCAMFAST_PYTHON=ON",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DCAMFAST_PYTHON_OUTPUT={target.parent}",
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build)], check=True)


setup(ext_modules=[Extension("camfast._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
