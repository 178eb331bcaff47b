"""The threads of native kernels: torch's own, with the same bits by any, and none of them after a fork."""

import subprocess
import sys

import pytest
import torch

from camfast import ops
from camfast.ops import native, threads

SCRIPT = """
import os, sys, torch
from camfast import ops
torch.set_num_threads(2)
A, G = torch.rand(2, 64, 40, 40), torch.rand(2, 64, 40, 40)
expected = ops.fused_cam(A, G, "respond")
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(ops.fused_cam(A, G, "respond"), expected) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_they_are_torchs_where_its_wheel_brings_libgomp():
    kernels = native._kernels()
    assert threads.share(kernels) == (threads._torchs_openmp() is not None)


def test_the_bits_are_those_of_the_librarys_own_pool():
    kernels = native._kernels()
    A, G = torch.rand(2, 64, 40, 40), torch.rand(2, 64, 40, 40)
    shared = ops.fused_cam(A, G, "respond", size=(90, 90))
    kernels.use_team(0, 0)
    try:
        assert torch.equal(ops.fused_cam(A, G, "respond", size=(90, 90)), shared)
    finally:
        threads.share(kernels)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_a_forked_child_does_not_wait_for_threads_that_it_has_not():
    subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], check=True, timeout=60)


def test_without_a_team_this_thread_computes_alone() -> None:
    before = torch.get_num_threads()
    with threads.without_team():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), threads.without_team():
        _ = 1 / 0
    assert torch.get_num_threads() == before
