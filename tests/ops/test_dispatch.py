"""Which backend runs: the faster one that is there, the one asked for, or an error that says why not."""

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
import torch

import camfast
from bench import preference as written
from camfast.ops import dispatch, native, preference, reference

GPU = torch.device("cuda", 0)


class Fake(ModuleType):
    """A backend that loads or doesn't, and says which op it was asked for."""

    def __init__(self, name: str, failure: str | None = None) -> None:
        super().__init__(f"camfast.ops.{name}")
        self.failure = failure

    def load_failure(self) -> str | None:
        return self.failure

    def product_sum(self, *arguments: Any) -> tuple[Any, ...]:
        return (self.__name__, *arguments)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fake]:
    found = {name: Fake(name) for name in ("cuda", "triton")}
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr("camfast.ops." + name, module, raising=False)
    return found


def test_a_cpu_tensor_goes_to_the_cpu_kernels() -> None:
    assert dispatch.choose("fused_cam", torch.device("cpu"), None) is native
    assert dispatch.choose("fused_cam", torch.device("cpu"), "cpu") is native
    assert dispatch.choose("fused_cam", torch.device("cpu"), "torch") is reference


def test_a_gpu_tensor_goes_to_cuda_first(fakes: dict[str, Fake]) -> None:
    assert dispatch.choose("fused_cam", GPU, None) is fakes["cuda"]
    assert dispatch.choose("fused_cam", GPU, "triton") is fakes["triton"]
    assert dispatch.choose("fused_cam", GPU, "torch") is reference
    assert camfast.backends("fused_cam", GPU) == {
        "cpu": "runs on CPU tensors, not on cuda",
        "cuda": "ok",
        "triton": "ok",
        "torch": "ok",
    }


def test_triton_runs_where_the_extension_is_not_built(fakes: dict[str, Fake]) -> None:
    fakes["cuda"].failure = "camfast._C_cuda is not built"
    assert dispatch.choose("fused_cam", GPU, None) is fakes["triton"]
    with pytest.raises(camfast.BackendError, match=r"by cuda \(cuda: camfast._C_cuda is not built\)"):
        dispatch.choose("fused_cam", GPU, "cuda")


def test_no_kernel_is_an_error_with_every_reason(fakes: dict[str, Fake]) -> None:
    fakes["cuda"].failure, fakes["triton"].failure = "not built", "not installed"
    expected = r"by any kernel \(cpu: runs on CPU .*; cuda: not built; triton: not installed\); backend='torch'"
    with pytest.raises(camfast.BackendError, match=expected):
        dispatch.choose("fused_cam", GPU, None)


def test_a_backend_that_does_not_import_says_so(fakes: dict[str, Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "camfast.ops.triton", None)
    assert "camfast.ops.triton does not load (" in camfast.backends("fused_cam", GPU)["triton"]
    assert dispatch.choose("fused_cam", GPU, None) is fakes["cuda"]


def test_the_faster_one_runs_where_it_was_measured(fakes: dict[str, Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", {GPU: "NVIDIA Test"}.get)
    monkeypatch.setattr(preference, "MEASURED", {"NVIDIA Test": {"fused_cam": "triton", "product_sum": "cuda"}})
    assert dispatch.choose("fused_cam", GPU, None) is fakes["triton"]
    assert dispatch.choose("fused_cam", GPU, "cuda") is fakes["cuda"]
    assert dispatch.choose("product_sum", GPU, None) is fakes["cuda"]
    assert dispatch.choose("weighted_sum", GPU, None) is fakes["cuda"]
    assert list(camfast.backends("fused_cam", GPU)) == ["cpu", "triton", "cuda", "torch"]
    fakes["triton"].failure = "not installed"
    assert dispatch.choose("fused_cam", GPU, None) is fakes["cuda"]


def test_the_backend_gets_what_was_checked(fakes: dict[str, Fake]) -> None:
    run = dispatch.function("product_sum", GPU, None)
    assert run("A", "G", "none", True, "out") == ("camfast.ops.cuda", "A", "G", "none", True, "out")


@pytest.mark.parametrize("op", dispatch.OPS)
def test_without_a_gpu_the_gpu_backends_say_so(op: str) -> None:
    for name in ("cuda", "triton"):
        assert camfast.backends(op, "cpu")[name] == "runs on CUDA tensors, not on cpu"
        if not torch.cuda.is_available():
            assert camfast.backends(op, "cuda")[name] != "ok"


def test_the_table_is_written_from_results(tmp_path: Any) -> None:
    (tmp_path / "b.json").write_text('{"gpu": "NVIDIA B", "preference": {"overlay": "cuda", "fused_cam": "triton"}}')
    (tmp_path / "a.json").write_text('{"gpu": "NVIDIA A", "preference": {}}')
    measured = written.collect(tmp_path)
    assert measured == {"NVIDIA A": {}, "NVIDIA B": {"fused_cam": "triton", "overlay": "cuda"}}
    source = written.TABLE.read_text()
    for entries in (measured, {}, measured):
        source = written.rewrite(source, entries)
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        assert namespace["MEASURED"] == entries
    with pytest.raises(ValueError, match="must assign MEASURED once, found 0"):
        written.rewrite("", {})


def test_the_table_holds_what_the_results_say() -> None:
    assert written.collect(written.RESULTS) == preference.MEASURED
    assert importlib.import_module("camfast.ops.preference") is preference
