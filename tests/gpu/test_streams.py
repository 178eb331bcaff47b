"""What a GPU adds: the caller's streams, graphs and devices, and calls that don't wait."""

import threading

import pytest
import torch

from camfast import ops
from tests.gpu.runners import Runner
from tests.gpu.test_rules import CALLS, WITH_METHODS

SHAPE = (4, 70, 10, 9, 8)
# cycles for which a stream is kept busy: some tenths of a second, far longer than any call takes
LONG = 500_000_000


def _inputs(runner: Runner, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return runner.activations(SHAPE, torch.float32), runner.gradients(SHAPE, torch.float32)


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
def test_a_graph_replays_with_other_inputs(gpu_runner: Runner, op: str, method: str) -> None:
    (A, G), others = _inputs(gpu_runner), [_inputs(gpu_runner, seed) for seed in (1, 2, 3)]
    expected = [CALLS[op](gpu_runner, *pair, method) for pair in others]
    CALLS[op](gpu_runner, A, G, method)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = CALLS[op](gpu_runner, A, G, method)
    for _ in range(2):
        for pair, right in zip(others, expected, strict=True):
            A.copy_(pair[0])
            G.copy_(pair[1])
            result.fill_(7)
            graph.replay()
            assert torch.equal(result, right)


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
def test_a_call_does_not_wait(gpu_runner: Runner, op: str, method: str) -> None:
    A, G = _inputs(gpu_runner)
    expected = CALLS[op](gpu_runner, A, G, method)
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(LONG)
        asleep = torch.cuda.Event()
        asleep.record()
        result = CALLS[op](gpu_runner, A, G, method)
        assert not asleep.query(), "the call waited for what was on its stream before it"
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.equal(result, expected)


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
def test_the_current_stream_is_the_one(gpu_runner: Runner, op: str, method: str) -> None:
    """Its inputs are made there, behind something long: any other stream would read them too early."""
    (A, G), (right_A, right_G) = _inputs(gpu_runner), _inputs(gpu_runner, 1)
    expected = CALLS[op](gpu_runner, right_A, right_G, method)
    CALLS[op](gpu_runner, A, G, method)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(LONG // 5)
        A.copy_(right_A)
        G.copy_(right_G)
        result = CALLS[op](gpu_runner, A, G, method)
    stream.synchronize()
    assert torch.equal(result, expected)


@pytest.mark.parametrize(("op", "method"), WITH_METHODS)
def test_two_streams_at_once(gpu_runner: Runner, op: str, method: str) -> None:
    """From two threads, each with inputs and memory of its own."""
    pairs = [_inputs(gpu_runner, seed) for seed in (1, 2)]
    expected = [CALLS[op](gpu_runner, *pair, method) for pair in pairs]
    torch.cuda.synchronize()
    wrong: list[str] = []

    def call(number: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            results = [CALLS[op](gpu_runner, *pairs[number], method) for _ in range(30)]
            torch.cuda.current_stream().synchronize()
        wrong.extend(f"stream {number}" for result in results if not torch.equal(result, expected[number]))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_device_than_the_current_one(gpu_runner: Runner) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device only")
    A, G = (tensor.to("cuda:1") for tensor in _inputs(gpu_runner))
    with torch.cuda.device(0):
        found = ops.fused_cam(A, G, "respond", backend=gpu_runner.backend)
        assert torch.cuda.current_device() == 0
    assert found.device == A.device
    assert torch.equal(found.cpu(), ops.fused_cam(A.to("cuda:0"), G.to("cuda:0"), "respond").cpu())


@pytest.mark.gpu
def test_tensors_of_two_kinds_of_device_are_refused() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    A = torch.ones(1, 2, 3, 3)
    with pytest.raises(ValueError, match="gradients is on cpu"):
        ops.fused_cam(A.cuda(), A, "respond")
    with pytest.raises(ValueError, match="cpu"):
        ops.fused_cam(A.cuda(), A.cuda(), "respond", out=torch.empty(1, 3, 3))


@pytest.mark.gpu
def test_without_a_name_a_kernel_runs() -> None:
    """Never the reference, and the same bits as by its name."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    A, G = torch.rand(2, 8, 9, 9, device="cuda"), torch.randn(2, 8, 9, 9, device="cuda")
    for op in CALLS:
        status = ops.backends(op, "cuda")
        first = next(name for name, text in status.items() if text == "ok")
        assert first in ("cuda", "triton")
    found = ops.fused_cam(A, G, "respond")
    first = next(name for name, text in ops.backends("fused_cam", "cuda").items() if text == "ok")
    assert torch.equal(found, ops.fused_cam(A, G, "respond", backend=first))
