"""Sums of the rows whose factors aren't 0, against float64."""

import pytest
import torch

from camfast.ops import native


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 7, 63, 257, 25088])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 63, 257])
def test_it_is_its_formula(rows, columns, dtype):
    matrix = torch.randn(rows, columns + 5, dtype=dtype)[:, 2:-3]
    factors = torch.randn(rows, dtype=dtype).relu()
    expected = factors.double() @ matrix.double()
    size = factors.double().abs() @ matrix.double().abs()
    found, before = [], torch.get_num_threads()
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        found.append(native.row_sum(matrix, factors, torch.full((columns,), torch.nan, dtype=dtype)))
    torch.set_num_threads(before)
    # eight terms are summed in the type of the matrix, the rest in float64
    tolerance = 8 * torch.finfo(dtype).eps
    assert ((found[0].double() - expected).abs() <= tolerance * size).all()
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_rows_that_are_off_are_not_read_and_others_show_nan():
    matrix, factors = torch.ones(20, 300), torch.zeros(20)
    matrix[3], matrix[5, 7] = torch.nan, torch.inf
    factors[0], factors[1], factors[3] = 2, -0.0, -0.0
    assert torch.equal(native.row_sum(matrix, factors, torch.empty(300)), torch.full((300,), 2.0))
    factors[5] = -1
    assert torch.equal(native.row_sum(matrix, factors, torch.empty(300)).isinf().nonzero()[:, 0], torch.tensor([7]))
    factors[2] = torch.nan
    assert native.row_sum(matrix, factors, torch.empty(300)).isnan().all()


def test_no_row_at_all_gives_zeros():
    assert not native.row_sum(torch.full((9, 40), torch.nan), torch.zeros(9), torch.full((40,), torch.nan)).any()
