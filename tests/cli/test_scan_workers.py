"""``camfast scan`` with processes beside it, and with a scheduler that does not answer."""

import torch

from camfast.scan import cluster
from camfast.scan.running import threads


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
