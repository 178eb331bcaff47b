"""What a wheel and a source distribution hold: real files behind the link of the Triton kernels, weights, no tests."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _build(kind: str, folder: Path) -> Path:
    """Build by setuptools' own backend, from a copy, so that the working tree's build stays as it is."""
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, tracked)):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    code = f"import setuptools.build_meta as b; print(b.build_{kind}({str(folder)!r}))"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / done.stdout.split()[-1]


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(_build("wheel", tmp_path)) as wheel:
        names = wheel.namelist()
        kernels = wheel.read("camfast/kernels/__init__.py")
        size = sum(entry.file_size for entry in wheel.infolist() if not entry.filename.endswith(".so"))
    assert kernels == (ROOT / "kernels" / "__init__.py").read_bytes()
    assert any(name.startswith("camfast/_C.") and name.endswith(".so") for name in names)
    for expected in (
        "py.typed",
        "_C.pyi",
        "models/weights/subtomogram_demo.safetensors",
        "napari.yaml",
        "ops/fused_cam.py",
        "scan/showing/templates/scan.html",
    ):
        assert f"camfast/{expected}" in names
    assert not [name for name in names if not name.startswith(("camfast/", "camfast-"))]
    assert size < 4_000_000


def test_the_source_distribution_builds_from_itself(tmp_path: Path) -> None:
    with tarfile.open(_build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    for expected in ("CMakeLists.txt", "setup.py", "pyproject.toml", "LICENSE", "csrc/cpu/fused_cam.cpp"):
        assert expected in names
    assert members["camfast/kernels/__init__.py"].isreg()
    assert not [name for name in names if name.startswith(("tests/", ".venv", "build/"))]
