"""The C++ package as its users have it: installed, moved, found by CMake and by pkg-config, and called."""

import re
import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from camfast._version import __version__

from .conftest import ROOT, Tools

pytestmark = pytest.mark.cpp

EXAMPLE = ROOT / "examples" / "cpp"
HEADERS = ROOT / "csrc" / "include" / "camfast"
VERSION = ".".join(re.findall(r"\d+", __version__)[:3])
MINOR = VERSION.rpartition(".")[0]
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def _headers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.h"))


def _api() -> set[str]:
    """Functions that the public headers mark as exported."""
    text = "".join(path.read_text() for path in HEADERS.glob("*.h"))
    return set(re.findall(r"^CAMFAST_API (?:Status|void|const char\*) (\w+)\(", text, re.MULTILINE))


def test_the_prefix_holds_the_package_and_no_path_of_where_it_was_built(prefix: Path) -> None:
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    for expected in ("lib/libcamfast.a", "lib/libcamfast.so", f"lib/libcamfast.so.{VERSION}",
                     "lib/cmake/camfast/camfastConfig.cmake", "lib/cmake/camfast/camfastConfigVersion.cmake",
                     "lib/pkgconfig/camfast.pc", "include/camfast/camfast.h", "include/camfast/version.h"):  # fmt: skip
        assert expected in files
    # the emulated or missing CUDA library's headers would only fail at the link
    assert set(_headers(prefix / "include" / "camfast")) == {*_headers(HEADERS), "version.h"} - {
        name for name in _headers(HEADERS) if name.startswith("cuda/")
    }
    for path in (*prefix.rglob("*.cmake"), *prefix.rglob("*.pc")):
        text = path.read_text()
        assert str(prefix.parent) not in text
        assert str(ROOT) not in text


@pytest.mark.skipif(sys.platform != "linux", reason="the version script and readelf are those of ELF")
def test_the_shared_library_exports_what_the_headers_declare_and_nothing_else(prefix: Path, tools: Tools) -> None:
    library = prefix / "lib" / f"libcamfast.so.{VERSION}"
    lines = tools.done("nm", "-D", "-C", "--defined-only", library).splitlines()
    names = [line.split(maxsplit=2)[2] for line in lines]
    assert [name for name in names if not name.startswith("camfast::")] == []
    assert {name.removeprefix("camfast::").partition("(")[0] for name in names} == _api()
    assert {"fused_cam", "gaussian_upsample", "use_team"} <= _api()  # the headers were read
    # before 1.0 a minor version may change what a program was compiled with
    soname = MINOR if VERSION.startswith("0.") else VERSION.partition(".")[0]
    assert f"[libcamfast.so.{soname}]" in tools.done("readelf", "-d", library)


def test_the_version_is_that_of_python(prefix: Path) -> None:
    assert f'#define CAMFAST_VERSION "{VERSION}"' in (prefix / "include/camfast/version.h").read_text()
    assert f"Version: {VERSION}\n" in (prefix / "lib/pkgconfig/camfast.pc").read_text()


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("standard", ["c++17", "c++20"])
def test_each_header_compiles_alone(prefix: Path, tools: Tools, tmp_path: Path, compiler: str, standard: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here: apt-get install {compiler.replace('clang++', 'clang')}")
    units = []
    for name in (*_headers(HEADERS), "version.h"):
        unit = tmp_path / f"{name.replace('/', '_')}.cpp"
        unit.write_text(f"#include <camfast/{name}>\n#include <camfast/{name}>\n")
        units.append(unit)
    if compiler == "g++":  # omp.h is a package of its own beside clang
        units += EXAMPLE.glob("*.cpp")
    tools.done(compiler, f"-std={standard}", "-fsyntax-only", *WARNINGS, f"-I{HEADERS.parent}",
               f"-I{prefix / 'include'}", *(["-fopenmp"] if compiler == "g++" else []), *units)  # fmt: skip


def _same_map(tools: Tools, program: Path, inputs: Path, folder: Path) -> str:
    """Run the example, compare its map with Python's, and return what it printed."""
    printed = tools.done(program, inputs / "activations.mrc", inputs / "gradients.mrc", folder / "map.mrc", "32", "6")
    with mrcfile.open(folder / "map.mrc") as found, mrcfile.open(inputs / "expected.mrc") as expected:
        assert found.data.shape == (32, 32, 32)
        assert float(abs(expected.data).max()) > 0.1  # there is something to compare
        np.testing.assert_allclose(found.data, expected.data, rtol=0, atol=1e-6 * float(abs(expected.data).max()))
        assert found.voxel_size == expected.voxel_size
        peak = tuple(int(i) for i in np.unravel_index(expected.data.argmax(), expected.data.shape))
    assert mrcfile.validate(folder / "map.mrc")
    assert f"camfast {VERSION}, " in printed
    assert "at z {}, y {}, x {}".format(*peak) in printed
    return printed


@pytest.mark.parametrize("link", ["shared", "static"])
def test_the_example_finds_the_package_and_prints_the_map_of_python(
    prefix: Path, tools: Tools, inputs: Path, tmp_path: Path, link: str
) -> None:
    tools.build(EXAMPLE, tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DLINK={link}")
    program = tmp_path / "build" / "explain"
    _same_map(tools, program, inputs, tmp_path)
    if sys.platform == "linux":
        assert ("libcamfast.so" in tools.done("ldd", program)) is (link == "shared")
    lines = tools.done(tmp_path / "build" / "layouts").splitlines()
    assert [line.partition(": ")[2] for line in lines] == ["0 0 6 12 0 0 6 12"] * 4
    threads = tmp_path / "build" / "threads"
    if threads.exists():  # this compiler has OpenMP
        assert tools.done(threads) == "from 1 to 1 on OpenMP's threads\n"


def test_the_example_builds_by_pkg_config(prefix: Path, tools: Tools, inputs: Path, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config here: apt-get install pkg-config")
    folder = str(prefix / "lib" / "pkgconfig")
    flags = tools.done("pkg-config", "--cflags", "--libs", "camfast", PKG_CONFIG_PATH=folder)
    words = re.split(r"(?<!\\) ", flags.strip())  # the folder's name has spaces
    tools.done("g++", "-std=c++17", EXAMPLE / "explain.cpp", EXAMPLE / "mrc.cpp", "-o", tmp_path / "explain",
               *(word.replace("\\ ", " ") for word in words), f"-Wl,-rpath,{prefix / 'lib'}")  # fmt: skip
    _same_map(tools, tmp_path / "explain", inputs, tmp_path)
    tools.done("pkg-config", "--exact-version", VERSION, "camfast", PKG_CONFIG_PATH=folder)
    assert "-pthread" in tools.done("pkg-config", "--static", "--libs", "camfast", PKG_CONFIG_PATH=folder)


@pytest.fixture(scope="module")
def explain(prefix: Path, tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built."""
    build = tmp_path_factory.mktemp("explain")
    tools.build(EXAMPLE, build, f"-DCMAKE_PREFIX_PATH={prefix}")
    return build / "explain"


def _write(path: Path, values: np.ndarray) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(values)
    return path


def test_the_example_says_what_is_wrong_with_its_files(explain: Path, tools: Tools, tmp_path: Path) -> None:
    good = _write(tmp_path / "good.mrc", np.ones((3, 2, 2, 2), np.float32))
    whole = good.read_bytes()
    (tmp_path / "cut.mrc").write_bytes(whole[:-8])
    (tmp_path / "short.mrc").write_bytes(whole[:900])
    (tmp_path / "text.mrc").write_text("no MRC file " * 100)
    _write(tmp_path / "integers.mrc", np.ones((3, 2, 2, 2), np.int16))
    _write(tmp_path / "fewer.mrc", np.ones((2, 2, 2, 2), np.float32))
    for name, size, message in (
        ("missing.mrc", "32", "missing.mrc: no such file, or it can't be read"),
        ("cut.mrc", "32", "cut.mrc: is cut off: its header announces 96 bytes of values, and 88 follow it"),
        ("short.mrc", "32", "short.mrc: is shorter than the header of an MRC file, 1024 bytes"),
        ("text.mrc", "32", "text.mrc: is no MRC file: the stamp MAP is missing"),
        ("integers.mrc", "32", "integers.mrc: has mode 1, and mode 2 (float32) is read here"),
        ("fewer.mrc", "32", "good.mrc; both hold one volume for each channel of one layer"),
        ("good.mrc", "wide", "size must be a number from 1 to 4096, found wide"),
    ):
        done = tools.run(explain, good, tmp_path / name, tmp_path / "map.mrc", size, "6")
        assert done.returncode == 1
        assert done.stderr.startswith("explain: ")
        assert message in done.stderr
        assert not (tmp_path / "map.mrc").exists()
    assert tools.run(explain, good).returncode == 2
    assert tools.run(explain, good, good, tmp_path / "none" / "map.mrc", "8", "2").returncode == 1
    tools.done(explain, good, good, tmp_path / "map.mrc", "8", "2")
    # what the library refuses: its words reach the user
    done = tools.run(explain, good, good, tmp_path / "map.mrc", "8", "2", CAMFAST_CPU_ISA="sse9")
    assert "fused_cam: CAMFAST_CPU_ISA names no instruction set of this build" in done.stderr


def _refused(tools: Tools, prefix: Path, folder: Path, *commands: str) -> str:
    """Configure a project of these commands, which must fail; what CMake says, in one line."""
    folder.mkdir(exist_ok=True)
    lines = "cmake_minimum_required(VERSION 3.24)", "project(p LANGUAGES CXX)", *commands
    (folder / "CMakeLists.txt").write_text("\n".join(lines))
    done = tools.configured(folder, folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert done.returncode != 0
    return " ".join(done.stderr.split())


def test_what_the_package_cannot_give_is_said(prefix: Path, tools: Tools, tmp_path: Path) -> None:
    def refused(*commands: str) -> str:
        return _refused(tools, prefix, tmp_path / "asks", *commands)

    wrong = refused("find_package(camfast 9.0 REQUIRED)")
    assert 'compatible with requested version "9.0"' in wrong
    assert f"version: {VERSION}" in wrong
    assert "camfast has no component fast: it has shared, static and cuda" in refused(
        "find_package(camfast REQUIRED COMPONENTS fast)"
    )
    assert "ask for one component, not both" in refused("find_package(camfast REQUIRED COMPONENTS shared static)")
    assert "built without CUDA: build it where nvcc is on the path" in refused(
        "find_package(camfast REQUIRED COMPONENTS cuda)"
    )
    assert "the component static is asked for, and camfast::camfast is the shared library already" in refused(
        "find_package(camfast REQUIRED)", "find_package(camfast REQUIRED COMPONENTS static)"
    )


def test_both_ways_to_ask_twice_agree(prefix: Path, tools: Tools, tmp_path: Path) -> None:
    assert "STATIC_LIBRARY, cuda FALSE" in _refused(
        tools, prefix, tmp_path / "asks",
        f"find_package(camfast {MINOR} REQUIRED COMPONENTS static OPTIONAL_COMPONENTS cuda)",
        "find_package(camfast REQUIRED)",
        "get_target_property(type camfast::camfast TYPE)",
        'message(FATAL_ERROR "${type}, cuda ${camfast_cuda_FOUND}")',
    )  # fmt: skip


def test_the_sources_may_be_part_of_another_project(prefix: Path, tools: Tools, tmp_path: Path) -> None:
    """Neither tests, nor the Python module, nor files to install: the library alone."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.24)\nproject(p LANGUAGES CXX)\nset(CAMFAST_CUDA OFF)\n"
        f"add_subdirectory({ROOT} camfast)\nadd_executable(explain {EXAMPLE}/explain.cpp {EXAMPLE}/mrc.cpp)\n"
        "target_link_libraries(explain PRIVATE camfast::camfast)\n"
    )
    done = tools.configured(tmp_path, tmp_path / "build")
    assert done.returncode == 0, done.stderr
    rules = (tmp_path / "build" / "camfast" / "cmake_install.cmake").read_text()
    assert "libcamfast" not in rules
    assert "camfast.h" not in rules


def test_the_headers_are_documented(tools: Tools, tmp_path: Path) -> None:
    if shutil.which("doxygen") is None:
        pytest.skip("no doxygen here: apt-get install doxygen")
    settings = (ROOT / "csrc" / "Doxyfile").read_text() + f"\nOUTPUT_DIRECTORY = {tmp_path}\n"
    (tmp_path / "Doxyfile").write_text(settings)
    done = tools.run("doxygen", tmp_path / "Doxyfile", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "gaussian_upsample" in (tmp_path / "xml" / "namespacecamfast.xml").read_text()
