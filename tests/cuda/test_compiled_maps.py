"""The map kernels as nvcc compiles them: no register spilled to memory, 16 bytes a load where rows are packed."""

import pytest

from tests.cuda.compiled import ARCHITECTURES, NVCC, kernels

pytestmark = [
    pytest.mark.skipif(NVCC is None, reason="nvcc, which comes with the CUDA toolkit, is not there"),
    pytest.mark.parametrize("architecture", ARCHITECTURES),
]


@pytest.mark.parametrize(
    "source", ["product_sum.cu", "weighted_sum.cu", "channel_weights.cu", "held_cam.cu", "chunked_cam.cu"]
)
def test_nothing_spills_and_packets_are_one_load(source: str, architecture: str) -> None:
    found = kernels(source, architecture)
    assert {kernel.name: kernel.spilled_bytes for kernel in found if kernel.spilled_bytes} == {}
    assert {kernel.name: kernel.stack_bytes for kernel in found if kernel.stack_bytes} == {}
    packed = [kernel for kernel in found if "PackedAccess" in kernel.name]
    assert len(packed) >= 8
    for kernel in packed:
        assert len([name for name in kernel.instructions if name.startswith("LDG.E.128")]) >= 4, kernel.name
        assert not [name for name in kernel.instructions if name.startswith(("LDL", "STL"))], kernel.name
