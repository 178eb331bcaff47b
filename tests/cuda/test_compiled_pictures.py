"""The upsamplings, overlay and running_max as nvcc compiles them: nothing spilled, and 16 bytes at a time."""

import pytest

from tests.cuda.compiled import ARCHITECTURES, NVCC, Kernel, kernels

pytestmark = [
    pytest.mark.skipif(NVCC is None, reason="nvcc, which comes with the CUDA toolkit, is not there"),
    pytest.mark.parametrize("architecture", ARCHITECTURES),
]


def _named(found: list[Kernel], *parts: str) -> list[Kernel]:
    chosen = [kernel for kernel in found if all(part in kernel.name for part in parts)]
    assert chosen, f"no kernel is named after {parts}: {[kernel.name for kernel in found]}"
    return chosen


@pytest.mark.parametrize("source", ["separable.cu", "overlay.cu", "running_max.cu"])
def test_nothing_is_spilled(source: str, architecture: str) -> None:
    found = kernels(source, architecture)
    assert {kernel.name: kernel.spilled_bytes for kernel in found if kernel.spilled_bytes} == {}
    assert {kernel.name: kernel.stack_bytes for kernel in found if kernel.stack_bytes} == {}
    for kernel in found:
        assert not [name for name in kernel.instructions if name.startswith(("STL", "LDL"))], kernel.name


def test_aligned_maps_are_written_16_bytes_at_a_time(architecture: str) -> None:
    found = kernels("separable.cu", architecture)
    for walk in range(2):
        for kernel in _named(found, f"upsample_bands<float, (camfast::cuda::Walk){walk}, true>"):
            stores = [name for name in kernel.instructions if name.startswith("STG")]
            assert stores, kernel.name
            assert [name for name in stores if ".128" not in name] == [], kernel.name
            assert walk == 0 or kernel.registers <= 80  # three blocks of 256 threads to a multiprocessor


def test_a_group_of_pixels_is_summed_in_registers(architecture: str) -> None:
    """One read of a plane and two of the weights for 32 products."""
    for kernel in _named(kernels("separable.cu", architecture), "upsample_bands<float, (camfast::cuda::Walk)1, true>"):
        text = "".join("F" if name.startswith("FFMA") else "." for name in kernel.instructions)
        assert max(text[i : i + 40].count("F") for i in range(len(text))) >= 32, kernel.name


def test_pictures_are_written_16_bytes_at_a_time(architecture: str) -> None:
    for kernel in _named(kernels("overlay.cu", architecture), "QuadImage<float"):
        for access in ("STG", "LDG"):
            wide = [name for name in kernel.instructions if name.startswith(access) and ".128" in name]
            assert wide, (access, kernel.name)


def test_running_max_reads_and_writes_16_bytes_at_a_time(architecture: str) -> None:
    for kernel in _named(kernels("running_max.cu", architecture), "keep_larger<float, true>"):
        stores = [name for name in kernel.instructions if name.startswith("STG")]
        wide = [name for name in kernel.instructions if name.startswith("LDG") and ".128" in name]
        assert set(stores) == {"STG.E.128"}, kernel.name
        assert 2 * len(wide) == 3 * len(stores), kernel.name  # value, index and candidate; the unit comes alone
