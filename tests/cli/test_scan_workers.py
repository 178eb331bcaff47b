"""``camfast scan`` with processes beside it, and with a scheduler that does not answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from camfast.scan.tasks import cluster
from camfast.scan.tasks.running import threads


def test_processes_of_this_machine(camfast, command, tmp_path):
    ran = camfast(*command("--workers", 2, "--batch", 4, out=tmp_path / "there.mrc"))
    assert ran.code == 0, ran.err
    assert f"{tmp_path / 'there.mrc'}: 20 × 24 × 28, 10 Å" in ran.out
    assert "100%" in ran.err
    assert "distributed" not in ran.err
    share = max(len(cluster.os.sched_getaffinity(0)) // 2, 1)
    with threads(share):
        assert camfast(*command("--batch", 4, out=tmp_path / "here.mrc")).code == 0
    assert (tmp_path / "there.mrc").read_bytes() == (tmp_path / "here.mrc").read_bytes()


def test_no_scheduler(refused, command, monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER", 0.5)
    before = torch.get_num_threads()
    error = refused(*command("--scheduler", "tcp://127.0.0.1:1"))
    assert "--scheduler tcp://127.0.0.1:1: no Dask scheduler answers there" in error
    assert torch.get_num_threads() == before


def test_one_or_the_other(refused, command):
    assert "--workers is 0" in refused(*command("--workers", 0))
    error = refused(*command("--workers", 2, "--scheduler", "tcp://127.0.0.1:1"))
    assert "give one of them" in error


SLOW = """
import time

from torch import nn

from camfast import models


class Slow(nn.Module):
    def forward(self, values):
        time.sleep(0.5)
        return values


def network():
    return nn.Sequential(Slow(), models.cnn2(classes=4, width=2, hidden=8, side=16))
"""


def test_ctrl_c_reaches_all_processes_and_is_said_once(command, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    options = {"model": tmp_path / "slow.py:network", "layer": "1.maxpool2", "weights": None, "batch": 1}
    program = [sys.executable, "-m", "camfast", *map(str, command("--quiet", "--workers", 2, **options))]
    root = Path(__file__).resolve().parents[2]
    started = subprocess.Popen(program, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(tmp_path.glob(".cam.mrc.partial/job.*[!n]")):  # what is sent to workers
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(started.pid, signal.SIGINT)
    assert started.communicate(timeout=60)[1] == "camfast: interrupted; no partial output was left\n"
    assert started.returncode == 130
    assert not list(tmp_path.glob("*cam*"))
