"""How much is done at a time: less where there is less memory, the same each time, and described before it is done."""

import numpy as np
import pytest
import torch

import camfast
from camfast.scan.describing import describe
from camfast.scan.preparing import Asked, planned, trunk_of
from camfast.scan.volumes import Volume
from camfast.scan.windows.density import Density
from camfast.scan.windows.footprint import operations, peak_bytes
from camfast.scan.windows.sizes import budget, bytes_of, choose
from tests.scan.cases import STRIDE, WINDOW, density


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (None, None),
        (4096, 4096),
        ("4096", 4096),
        ("1K", 1024),
        ("1.5G", 3 << 29),
        ("800 MB", 800 << 20),
        ("2GiB", 2 << 30),
    ],
)
def test_amounts_of_memory(amount, expected):
    assert bytes_of(amount) == expected


@pytest.mark.parametrize("amount", [0, -1, "0M", "much", "4X", "", "G"])
def test_what_is_no_amount(amount):
    with pytest.raises(camfast.InputError, match="expected an amount such as"):
        bytes_of(amount)


def test_too_little_names_what_would_do():
    with pytest.raises(camfast.InputError, match=r"max_memory is 1M, and Python, torch and the network take \d+M"):
        budget(1 << 20)


def source(explainer, trunk, **changes):
    asked = Asked(density((120, 96, 96)), explainer, window=WINDOW, stride=STRIDE, target="all", trunk=trunk, **changes)
    plan = planned(asked)
    return trunk_of(plan, Density(plan.source, "volume")), plan


@pytest.mark.parametrize("trunk", ["exact", "shared"])
def test_less_memory_takes_less_at_a_time_and_the_same_each_time(explainer, trunk):
    found, plan = source(explainer, trunk)
    sizes = [choose(found, plan.lattice, plan.first, None, memory << 20, None) for memory in (4, 64, 2048)]
    assert sizes[0].batch <= sizes[1].batch <= sizes[2].batch
    assert sizes[0].brick < sizes[2].brick
    assert sizes[0].tile <= sizes[1].tile <= sizes[2].tile
    assert (sizes[0].block, sizes[2].block) == (128, 256)
    assert sizes[1] == choose(found, plan.lattice, plan.first, None, 64 << 20, None)
    assert choose(found, plan.lattice, plan.first, 5, 64 << 20, None).batch == 5


def test_a_pass_that_does_not_fit_is_refused(explainer):
    found, plan = source(explainer, "exact")
    with pytest.raises(camfast.InputError, match="a pass of 500 windows do not fit into max_memory 300M"):
        choose(found, plan.lattice, plan.first, 500, 1 << 20, 300 << 20)


def test_bricks_of_slow_networks_have_fewer_windows(explainer, monkeypatch):
    from camfast.scan.windows import sizes

    found, plan = source(explainer, "exact")
    whole = choose(found, plan.lattice, plan.first, 4, 2 << 30, None)
    monkeypatch.setattr(sizes, "_OPERATIONS", (1e8, 1e8))
    assert choose(found, plan.lattice, plan.first, 4, 2 << 30, None).brick < whole.brick


def test_most_bytes_alive_at_once():
    def run():
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b.view(10, 100) * 2  # as many as before: two of 4000 bytes
        return c + 1

    assert peak_bytes(run) == 3 * 4000 or peak_bytes(run) == 2 * 4000
    assert peak_bytes(lambda: torch.zeros(1000).view(-1)) == 4000


def test_operations_are_counted():
    x, w = torch.ones(4, 8), torch.ones(8, 16)
    assert operations(lambda: x @ w) == 2 * 4 * 8 * 16


def test_the_description_is_what_is_done(explainer, network):
    volume = Volume(np.zeros((28, 24, 32), np.int16))
    asked = {"window": WINDOW, "stride": STRIDE, "target": [1, 2], "batch": 4}
    exact = describe(Asked(volume, explainer, **asked))
    assert (exact["windows"], exact["passes"], exact["targets"]) == (60, 15, 2)
    d, h, w = WINDOW
    first, second = 2 * 27 * 1 * 4 * d * h * w, 2 * 27 * 4 * 6 * (d * h * w) // 8
    head = 2 * 72 * 5
    assert exact["flop"] == 60 * (first + second + head)
    shared = describe(Asked(volume, explainer, trunk="shared", **asked))
    padded = np.prod(shared["padded"]) / np.prod(WINDOW)
    assert shared["flop"] == pytest.approx(padded * (first + second) + 60 * head)
    assert exact["seconds"] > 0
    assert exact["memory_bytes"] > 0


def test_a_volume_of_any_size_is_scanned_within_its_memory(explainer):
    """The limit is below what the whole coarse grid and all passes would take at once; the bits don't depend on it."""
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "batch": 4, "progress": False}
    volume = density((64, 48, 48))
    limited = camfast.scan(volume, explainer, max_memory="3G", **options)
    assert torch.equal(limited.cam, camfast.scan(volume, explainer, **options).cam)
