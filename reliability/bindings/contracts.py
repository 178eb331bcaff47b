"""What each function of `camfast._C` is called with: right calls, and how much memory each address stands for."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from camfast.ops import native
from camfast.ops.bands import gaussian_band
from camfast.ops.forms import FusedCam, RunningMax

SPACE = 1 << 16
"""Bytes before and behind each array."""
FLOATS = 4
BYTES = {0: 4, 1: 8, 2: 2, 3: 2, 4: 1, 5: 2, 6: 4, 7: 8}

Extent = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Bytes of an element, sizes and strides."""
Given = Mapping[str, Any]


def _rows(*sizes: int) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(sizes[1:]):
        strides.insert(0, strides[0] * size)
    return tuple(strides)


def _packed(width: int, *sizes: int) -> Extent:
    return width, sizes, _rows(*sizes)


def _width(v: Given, name: str = "dtype") -> int:
    return BYTES.get(v[name], 8)


def _result(v: Given) -> int:
    return 8 if v["dtype"] == 1 else 4


def _pair(v: Given) -> dict[str, Extent]:
    n, c, p = v["n"], v["c"], v["p"]
    found: dict[str, Extent] = {"a": (_width(v), (n, c, p), (v["a_sn"], v["a_sc"], v["a_sp"]))}
    if "g" in v:
        found["g"] = _width(v), (v["t"], n, c, p), (v["g_st"], v["g_sn"], v["g_sc"], v["g_sp"])
    return found


def _output(v: Given, name: str, last: int) -> dict[str, Extent]:
    return {name: (_result(v), (v["n"], v["t"], last), (v[f"{name}_sn"], v[f"{name}_st"], 1))}


def _channel_weights(v: Given) -> dict[str, Extent]:
    return _pair(v) | _output(v, "out", v["c"]) | {"ill": _packed(1, v["n"], v["t"])}


def _weighted_sum(v: Given) -> dict[str, Extent]:
    return _pair(v) | _output(v, "out", v["p"]) | {"w": _packed(_result(v), v["n"], v["t"], v["c"])}


def _product_sum(v: Given) -> dict[str, Extent]:
    return _pair(v) | _output(v, "out", v["p"])


def _fused_cam(v: Given) -> dict[str, Extent]:
    maps = v["o0"] * v["o1"] * v["o2"] if v["upsample"] else 0
    return (
        _pair(v)
        | _output(v, "grid", v["p"])
        | _output(v, "maps", maps)
        | _output(v, "weights", v["c"])
        | {"ill": (1, (v["n"], v["t"]), (v["ill_sn"], v["ill_st"]))}
    )


def _upsample(v: Given) -> dict[str, Extent]:
    return {
        "grid": _packed(_width(v), v["m"], v["d0"], v["d1"], v["d2"]),
        "out": _packed(_result(v), v["m"], v["o0"], v["o1"], v["o2"]),
    }


def _overlay(v: Given) -> dict[str, Extent]:
    n, h, w = v["n"], v["h"], v["w"]
    return {
        "image": _packed(_width(v, "image_dtype"), n, h, w, v["channels"]),
        "heat": _packed(_width(v), n, v["d0"], v["d1"]),
        "table": _packed(1, 256, 3),
        "out": (1, (n, h, w, 3), (v["out_sn"], 3 * w, 3, 1)),
    }


def _running_max(v: Given) -> dict[str, Extent]:
    n, p = v["n"], v["p"]
    widths = {"values": _result(v), "index": 4, "candidate": _width(v), "values_out": _result(v), "index_out": 4}
    planes: dict[str, Extent] = {name: (width, (n, p), (v[f"{name}_sn"], 1)) for name, width in widths.items()}
    return planes | {"units": _packed(4, n)}


def _window_sum(v: Given) -> dict[str, Extent]:
    n, t, grid, window = v["n"], v["t"], (v["g0"], v["g1"], v["g2"]), (v["d0"], v["d1"], v["d2"])
    cells = window[0] * window[1] * window[2]
    return {
        "total": (8, (t, *grid), (v["total_st"], *_rows(*grid))),
        "out": (8, (t, *grid), (v["out_st"], *_rows(*grid))),
        "maps": (_width(v), (n, t, cells), (v["maps_sn"], v["maps_st"], 1)),
        "taper": _packed(8, *window),
        "origins": (_width(v, "origins_dtype"), (n, v["axes"]), (v["origins_sn"], v["origins_sa"])),
    }


def _resample(v: Given) -> dict[str, Extent]:
    y, x = (v["y_pixels"], v["y_taps"]), (v["x_pixels"], v["x_taps"])
    return {
        "image": _packed(_width(v), v["h"], v["w"], v["channels"]),
        "out": _packed(4, v["channels"], y[0], x[0]),
        "y_first": _packed(4, y[0]),
        "y_weights": _packed(4, *y),
        "x_first": _packed(4, x[0]),
        "x_weights": _packed(4, *x),
    }


def _row_sum(v: Given) -> dict[str, Extent]:
    j, i = v["j"], v["i"]
    return {
        "matrix": (_width(v), (j, i), (v["matrix_sj"], 1)),
        "factors": _packed(_result(v), j),
        "out": _packed(_result(v), i),
    }


EXTENTS: dict[str, Callable[[Given], dict[str, Extent]]] = {
    "channel_weights": _channel_weights,
    "weighted_sum": _weighted_sum,
    "product_sum": _product_sum,
    "fused_cam": _fused_cam,
    "linear_upsample": _upsample,
    "gaussian_upsample": _upsample,
    "overlay": _overlay,
    "running_max": _running_max,
    "window_sum": _window_sum,
    "resample": _resample,
    "row_sum": _row_sum,
}
OPTIONAL = {"channel_weights": {"ill"}, "fused_cam": {"grid", "maps", "weights", "ill"}, "running_max": {"units"}}
CODES = {"method", "dtype", "rectify", "upsample", "gain", "image_dtype", "blend", "origins_dtype"}
OUTPUTS = {"out", "ill", "grid", "maps", "weights", "values_out", "index_out"}


def is_empty(extent: Extent) -> bool:
    return 0 in extent[1]


def fits(extent: Extent, written: bool) -> bool:
    """Whether an array's elements lie within `SPACE` around its first; one that is written must not meet itself."""
    width, sizes, strides = extent
    if any(size < 0 for size in sizes):
        return True  # refused before anything is read
    if is_empty(extent):
        return True
    reach = sum((size - 1) * abs(stride) for size, stride in zip(sizes, strides, strict=True))
    elements = 1
    for size in sizes:
        elements *= size
    del written
    return (reach + 1) * width <= SPACE and elements <= SPACE


class Calls:
    """Right calls of each function, with the rooms that their addresses point into."""

    def __init__(self) -> None:
        self._rooms: list[Tensor] = []
        self.names = {name: _parameters(name) for name in EXTENTS}
        self.right = {name: self._call(name, *arguments) for name, arguments in self._examples().items()}

    def _call(self, name: str, *arguments: Any) -> dict[str, Any]:
        listed = [*getattr(native, name)._listing(*arguments), 2]
        values = [value.data_ptr() if isinstance(value, Tensor) else 0 if value is None else value for value in listed]
        return dict(zip(self.names[name], values, strict=True))

    def _placed(self, tensor: Tensor) -> Tensor:
        room = torch.zeros(tensor.nbytes + 2 * SPACE, dtype=torch.uint8)
        self._rooms.append(room)
        return room[SPACE : SPACE + tensor.nbytes].view(tensor.dtype).view(tensor.shape).copy_(tensor)

    def _examples(self) -> dict[str, tuple[Any, ...]]:
        new = self._placed
        A, G = new(torch.rand(2, 3, 5)), new(torch.rand(4, 2, 3, 5))
        weights, grid, maps = new(torch.rand(2, 4, 3)), new(torch.rand(2, 4, 5)), new(torch.rand(2, 4, 9))
        flags = new(torch.zeros(2, 4, dtype=torch.bool))
        options = ([9], [2.0], "spray", [0.5], [1.5])
        values, index = new(torch.rand(3, 7)), new(torch.zeros(3, 7, dtype=torch.int32))
        pair = RunningMax(new(torch.rand(3, 7)), new(torch.zeros(3, 7, dtype=torch.int32)))
        total, taper = new(torch.rand(2, 6, 5, dtype=torch.float64)), new(torch.rand(3, 2, dtype=torch.float64))
        picture, heat = new(torch.zeros(2, 4, 5, 3, dtype=torch.uint8)), new(torch.rand(2, 3, 2))
        band = gaussian_band(5, 4, 1.0, 0.0, 1.0, "average", torch.float32, torch.device("cpu"))
        first, taps = new(band.first), new(band.weights.t().contiguous())
        return {
            "channel_weights": (A, G, "respond", weights),
            "weighted_sum": (A, weights, True, grid),
            "product_sum": (A, G, "none", False, grid),
            "fused_cam": (A, G, "respond", False, *options, FusedCam(grid, maps, weights, flags)),
            "linear_upsample": (grid, [9], maps),
            "gaussian_upsample": (grid, *options, maps),
            "overlay": (
                picture,
                heat,
                new(torch.zeros(256, 3, dtype=torch.uint8)),
                0.0,
                1.0,
                0.5,
                None,
                0.0,
                255.0,
                0.1,
                new(torch.zeros(2, 4, 5, 3, dtype=torch.uint8)),
            ),
            "running_max": (values, index, new(torch.rand(3, 7)), new(torch.arange(3, dtype=torch.int32)), pair),
            "window_sum": (
                total,
                new(torch.rand(4, 2, 3, 2)),
                new(torch.ones(4, 2, dtype=torch.int64)),
                taper,
                "mean",
                new(torch.rand(2, 6, 5, dtype=torch.float64)),
            ),
            "resample": (new(torch.rand(5, 5, 3)), first, taps, first, taps, new(torch.rand(3, 4, 4))),
            "row_sum": (new(torch.rand(6, 5)), new(torch.rand(6)), new(torch.rand(5))),
        }


def _parameters(name: str) -> list[str]:
    """Names of a function's arguments, from its docstring's first line."""
    line = (inspect.getdoc(getattr(native._kernels(), name)) or "").split("\n")[0]
    inside = line[line.index("(") + 1 : line.rindex(") ->")]
    return [part.split(":")[0].strip() for part in inside.split(", ") if ":" in part]
