"""`camfast._C_cuda` by itself, on the emulated device: what its functions say to numbers that are none of theirs."""

from typing import Any

import pytest

from tests.cuda.conftest import Device

SIZES = {"t": 2, "n": 3, "c": 5, "p": 7}
STRIDES = {"a_sn": 35, "a_sc": 7, "a_sp": 1}
MORE = {"g_st": 105, "g_sn": 35, "g_sc": 7, "g_sp": 1}
WORKSPACES = {
    "channel_weights": {"method": 0, "dtype": 0, **SIZES, **STRIDES, **MORE},
    "fused_cam": {"method": 3, "dtype": 0, **SIZES, **STRIDES, **MORE, "device": 0},
    "product_sum": {"dtype": 0, **SIZES, **STRIDES, **MORE},
    "weighted_sum": {"dtype": 0, **SIZES, **STRIDES},
}


@pytest.mark.parametrize(
    "changes",
    [{"dtype": 8}, {"dtype": -1}, {"n": -1}, {"t": -1}, {"c": 2**62, "p": 0}, {"c": 2**40, "p": 2**40},
     {"t": 2**62, "n": 0}],
)  # fmt: skip
@pytest.mark.parametrize("name", WORKSPACES)
def test_nothing_is_wanted_for_what_is_refused(device: Device, name: str, changes: dict[str, Any]) -> None:
    workspace = getattr(device.kernels, f"{name}_workspace")
    wanted = workspace(**WORKSPACES[name])
    assert len(wanted) == 2
    assert min(wanted) >= 0
    assert workspace(**{**WORKSPACES[name], **changes}) == (0, 0)


@pytest.mark.parametrize("method", [-1, 7, 8, 2**31 - 1])
def test_nothing_is_wanted_for_methods_that_are_none(device: Device, method: int) -> None:
    for name in ("channel_weights", "fused_cam"):
        workspace = getattr(device.kernels, f"{name}_workspace")
        assert workspace(**{**WORKSPACES[name], "method": method}) == (0, 0)


def test_two_billion_empty_maps_take_no_time(device: Device) -> None:
    names = (
        "grid",
        "weights",
        "ill",
        "maps",
        "scratch",
        "scratch_bytes",
        "counters",
        "counter_count",
        "stream",
        "a",
        "g",
    )
    nothing = dict.fromkeys(names, 0)
    outputs = {f"{name}_{stride}": 1 for name in ("grid", "weights", "maps") for stride in ("sn", "st")}
    axis = {"first": 0, "weights": 0, "d": 1, "o": 1, "taps": 1}
    axes = {f"{name}{number}": value for number in range(3) for name, value in axis.items()}
    call = {**WORKSPACES["fused_cam"], **nothing, **outputs, **axes, "relu": True, "n": 2**31 - 1, "p": 0}
    before = device.launched()
    device.kernels.fused_cam(**call)
    assert device.launched() == before
