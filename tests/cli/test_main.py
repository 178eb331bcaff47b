"""The command itself: help, versions, information, and how quick it starts."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from camfast import __version__
from camfast._interrupt import check_interrupted, was_interrupted


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_the_command(camfast, monkeypatch, number):
    before = signal.getsignal(number)
    monkeypatch.setattr("camfast.cli.info.gather", lambda: os.kill(os.getpid(), number))
    ran = camfast("info")
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")
    assert signal.getsignal(number) is before


def became_another(number):
    try:
        os.kill(os.getpid(), number)
        time.sleep(1)
    except KeyboardInterrupt:
        raise ValueError("could not determine the shape") from None


def test_an_interrupt_of_which_code_in_c_makes_another_error(camfast, monkeypatch):
    monkeypatch.setattr("camfast.cli.info.gather", lambda: became_another(signal.SIGTERM))
    ran = camfast("info")
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")
    assert not was_interrupted()


def test_an_interrupt_in_a_callback_that_may_raise_nothing_is_not_printed(camfast, monkeypatch):
    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    def gather():
        Dying()
        check_interrupted()

    monkeypatch.setattr("camfast.cli.info.gather", gather)
    ran = camfast("info")
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")


def test_what_was_being_built_when_an_interrupt_came_complains_to_nobody(camfast, monkeypatch):
    class HalfMade:
        def __init__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
            self.loop = 1

        def __del__(self):
            warnings.warn("never awaited", RuntimeWarning, stacklevel=1)
            raise AttributeError("loop")

    def gather():
        HalfMade()

    monkeypatch.setattr("camfast.cli.info.gather", gather)
    ran = camfast("info")
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")


def test_an_interrupt_while_the_command_imports_something_waits(camfast, monkeypatch, tmp_path):
    """A module in C++ that meets the exception may abort the process."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, pathlib, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.3)\n"
        "pathlib.Path('whole').touch()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def gather():
        importlib.import_module("slow_to_import")
        time.sleep(5)

    monkeypatch.setattr("camfast.cli.info.gather", gather)
    ran = camfast("info")
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")
    assert (tmp_path / "whole").exists()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_nohup_stays_nohup(camfast, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("camfast.cli.info.gather", lambda: os.kill(os.getpid(), signal.SIGHUP) or {})
        monkeypatch.setattr("camfast.cli.info._lines", lambda _: ["went on"])
        assert camfast("info").out == "went on\n"
    finally:
        signal.signal(signal.SIGHUP, before)


IMPORTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = {name!r}
import camfast.cli
"""


@pytest.mark.parametrize(("name", "code", "last"), [
    ("/usr/bin/camfast", 130, "camfast: interrupted"), ("program.py", -signal.SIGINT, "KeyboardInterrupt"),
])  # fmt: skip
def test_an_interrupt_while_importing(name, code, last):
    ran = subprocess.run([sys.executable, "-c", IMPORTING.format(name=name)], capture_output=True, text=True)
    lines = ran.stderr.splitlines()
    assert (ran.returncode, lines[-1]) == (code, last)
    assert (len(lines) == 1) is (code == 130)


def test_a_reader_that_has_read_enough():
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([sys.executable, "-m", "camfast", "info"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")
