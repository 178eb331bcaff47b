"""`channel_weights` and `weighted_sum` of the CUDA sources, on the emulated device, against the float64 reference."""

import pytest
import torch

from camfast.ops import cuda, reference
from camfast.ops.forms import FORMS, map_dtype
from tests.cuda.cases import TOLERANCE
from tests.cuda.conftest import Device
from tests.ops import cases

METHODS = [name for name, form in FORMS.items() if form.weighted]
# a warp for a row, a block for a row, a row for several blocks; rows that are no whole packets
SHAPES = ((3, 24, 8, 8), (1, 8, 40, 80), (1, 4, 200, 212), (2, 7, 7, 9))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "expanded"])
def test_weights_equal_the_reference(device: Device, method: str, dtype: torch.dtype, layout: str) -> None:
    seed = cases.seed(method, dtype, layout)
    device.schedule(seed)
    targets = None if seed % 2 else 5
    for shape in SHAPES if layout in ("contiguous", "channels_last") else SHAPES[-1:]:
        A = cases.activations(shape, dtype, layout)
        lead = () if targets is None else (targets,)
        G = cases.gradients((*lead, *shape), dtype, layout, targets=targets is not None)
        out = cases.poisoned((shape[0], *lead, shape[1]), map_dtype(dtype))
        assert cuda.channel_weights(A, G, method, out) is out
        expected = reference.channel_weights(A.double(), G.double(), method)
        assert cases.relative_error(out, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "expanded"])
@pytest.mark.parametrize("targets", [None, 5])
def test_weighted_sum_equals_the_reference(
    device: Device, dtype: torch.dtype, layout: str, targets: int | None
) -> None:
    device.schedule(cases.seed(dtype, layout, targets))
    for shape in ((3, 24, 8, 8), (1, 260, 8, 7), (2, 7, 7, 9)):
        A = cases.activations(shape, dtype, layout)
        lead = () if targets is None else (targets,)
        w = torch.randn(shape[0], *lead, shape[1], dtype=map_dtype(dtype))
        out = cases.poisoned((shape[0], *lead, *shape[2:]), map_dtype(dtype))
        assert cuda.weighted_sum(A, w, True, out) is out
        expected = reference.weighted_sum(A.double(), w.double(), True)
        assert cases.relative_error(out, expected) < TOLERANCE[dtype]
