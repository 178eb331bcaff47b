"""The command itself: help, versions, information, and how quick it starts."""

import json
import subprocess
import sys

import pytest

from camfast import __version__


@pytest.mark.parametrize("command", [[], ["scan"], ["explain"], ["demo"], ["info"]])
def test_help(camfast, command):
    ran = camfast(*command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"usage: {' '.join(['camfast', *command])}")


def test_version(camfast):
    assert camfast("--version").out == f"camfast {__version__}\n"


def test_help_imports_none_of_the_heavy_packages():
    code = (
        "import sys\nfrom camfast.cli import main\n"
        "try: main(['scan', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'zarr', 'mrcfile', 'matplotlib', 'scipy', 'PIL', 'triton', 'jinja2', 'nibabel', 'tifffile'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "heavy: []"


def test_python_dash_m():
    ran = subprocess.run([sys.executable, "-m", "camfast", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"camfast {__version__}\n"


def test_an_unknown_command_and_flag(refused):
    assert "dream" in refused("dream")
    assert "--fast" in refused("info", "--fast")


def test_info(camfast):
    facts = json.loads(camfast("info", "--json").out)
    assert facts["camfast"] == __version__
    assert facts["backends"]["cpu"]["fused_cam"]["torch"] == "ok"
    assert facts["backends"]["cpu"]["fused_cam"]["triton"] != "ok"
    lines = camfast("info").out.splitlines()
    assert lines[0].startswith(f"camfast {__version__}, Python 3.")
    assert any(line.startswith("backends on cpu") for line in lines)


def test_info_names_packages_that_are_missing(camfast, monkeypatch):
    from camfast.cli import info

    known = info._version
    monkeypatch.setattr(info, "_version", lambda name: None if name == "zarr" else known(name))
    ran = camfast("info")
    if "extras: unknown" not in ran.out:
        assert "extra scan: without zarr (pip install 'camfast[scan]')" in ran.out
