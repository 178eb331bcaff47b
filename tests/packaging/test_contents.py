"""What a wheel and a source distribution hold: real files behind the link of the Triton kernels, weights, no tests."""

import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, build_quickly

MOST_BYTES = 4_000_000  # of everything but the native extension
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# What a Linux of any kind has: the C++ runtime, libc and its parts, the loader.
LIBRARIES = r"lib(stdc\+\+|gcc_s|c|m|pthread|dl)\.so\.\d+|ld-linux.*\.so\.\d+"


def _metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    path = build_quickly("wheel", tmp_path)
    with zipfile.ZipFile(path) as wheel:
        check_contents(wheel)
        check_metadata(_metadata(wheel))
        check_extension(wheel, tmp_path)


def check_contents(wheel: zipfile.ZipFile) -> None:
    """Every file that the package needs, and none beside."""
    names = wheel.namelist()
    kernels = wheel.read("camfast/kernels/__init__.py")
    size = sum(entry.file_size for entry in wheel.infolist() if not entry.filename.endswith(".so"))
    assert kernels == (ROOT / "kernels" / "__init__.py").read_bytes()
    for expected in (
        "py.typed",
        "_C.pyi",
        "_C_cuda.pyi",
        "models/weights/subtomogram_demo.safetensors",
        "napari.yaml",
        "ops/fused_cam.py",
        *(f"live/serving/web/{found.name}" for found in (ROOT / "camfast/live/serving/web").iterdir()),
        *(f"scan/showing/templates/{found.name}" for found in (ROOT / "camfast/scan/showing/templates").iterdir()),
    ):
        assert f"camfast/{expected}" in names
    assert any(re.fullmatch(r"camfast-[^/]+\.dist-info/licenses/LICENSE", name) for name in names)
    assert not [name for name in names if not name.startswith(("camfast/", "camfast-"))]
    assert not [name for name in names if re.search(r"(^|/)tests?(/|_|\.)", name)]
    # a module for each source, so that no package was forgotten
    sources = {str(found.relative_to(ROOT)) for found in (ROOT / "camfast").rglob("*.py")}
    kernels_in = {f"camfast/{found.relative_to(ROOT)}" for found in (ROOT / "kernels").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources | kernels_in
    assert size < MOST_BYTES


def check_metadata(metadata: Message) -> None:
    """What an index shows, and what an installer goes by."""
    assert metadata["Name"] == "camfast"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Author"] == "camfast developers"
    assert metadata["Keywords"]
    classifiers = metadata.get_all("Classifier", [])
    assert {"Typing :: Typed", *(f"Programming Language :: Python :: 3.{i}" for i in (11, 12, 13))} <= set(classifiers)
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["project"]["optional-dependencies"])
    assert "# camfast" in str(metadata.get_payload())


def check_extension(wheel: zipfile.ZipFile, folder: Path) -> None:
    """One native module, of the processor only, stripped, that needs the system's own libraries alone."""
    (name,) = (name for name in wheel.namelist() if name.endswith((".so", ".pyd")))
    assert name.startswith("camfast/_C.")
    if shutil.which("readelf") is None or not name.endswith("linux-gnu.so"):
        pytest.skip("what a native module needs is read by readelf, for Linux")
    path = Path(wheel.extract(name, folder))
    shown = subprocess.run(["readelf", "-d", "-S", "-W", path], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", shown)
    assert needed
    assert [library for library in needed if not re.fullmatch(LIBRARIES, library)] == []
    assert "(RPATH)" not in shown
    assert "(RUNPATH)" not in shown
    assert ".dynsym" in shown
    assert ".symtab" not in shown, "the module isn't stripped"


def test_the_source_distribution_holds_what_it_takes_to_build(tmp_path: Path) -> None:
    with tarfile.open(build_quickly("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    tracked = subprocess.run(["git", "ls-files", "csrc"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for expected in (
        *("CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "constraints.txt"),
        *("CITATION.cff", "SECURITY.md", "camfast/py.typed", "camfast/napari.yaml", *tracked.splitlines()),
    ):
        assert expected in names
    assert members["camfast/kernels/__init__.py"].isreg()
    outside = ("tests/", "bench/", "docs/", "studies/", ".venv", ".github", ".ci", "build/", "demo/")
    assert not [name for name in names if name.startswith(outside) or name.endswith((".so", ".pyc"))]
    assert sum(member.size for member in members.values()) < MOST_BYTES


def test_the_supported_versions_agree_wherever_they_stand() -> None:
    versions = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if ":: 3." in name]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{versions[0].replace('.', '')}"
    assert PROJECT["tool"]["cibuildwheel"]["build"].split() == [f"cp{v.replace('.', '')}-*" for v in versions]
