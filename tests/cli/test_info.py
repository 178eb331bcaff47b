"""``camfast info`` on machines that this one isn't, and commands that a program runs in a thread of its own."""

import json
import signal
import sys
import threading
from importlib import metadata

import pytest
import torch

from camfast import cli
from camfast.cli import info
from camfast.ops import native


def test_camfast_that_was_not_installed_knows_no_extras(camfast, monkeypatch):
    def unknown(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    assert json.loads(camfast("info", "--json").out)["extras"] is None
    lines = camfast("info").out.splitlines()
    assert lines[0].endswith("triton None")
    assert lines[-1] == "extras: unknown, as camfast runs from its sources without having been installed"


def test_every_gpu_is_named(camfast, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU number {index}")
    monkeypatch.setattr("camfast.backends", lambda _, device: {"torch": f"ok on {device}"})
    lines = camfast("info").out.splitlines()
    assert "device cuda:0: GPU number 0" in lines
    assert "device cuda:1: GPU number 1" in lines
    assert "    torch: ok on cuda:1" in lines


def test_kernels_that_do_not_load_say_what_to_do(camfast, monkeypatch):
    monkeypatch.setitem(sys.modules, "camfast._C", None)
    said = native._load.__wrapped__()
    assert said.startswith("camfast._C does not load (")
    assert said.endswith("): build it with 'make build' or 'pip install .'")
    monkeypatch.setattr(native, "_load", lambda: said)
    assert "native kernels: not loaded" in camfast("info").out.splitlines()


def test_a_program_may_run_a_command_in_a_thread(capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["info", "--json"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert json.loads(capsys.readouterr().out)["devices"]["cpu"]
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("line", ["zarr>=3; extra == 'scan'", 'zarr >= 3 ; extra == "scan"'])
def test_extras_are_read_from_what_was_installed(monkeypatch, line):
    monkeypatch.setattr(metadata, "requires", lambda _: ["torch>=2", line, "camfast[scan]; extra == 'all'"])
    monkeypatch.setattr(info, "_version", lambda name: None if name == "zarr" else "1.0")
    assert info._extras() == {"scan": {"zarr": None}}
