"""The campaign of random networks in a short form, and that it notices what is planted."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count

import pytest
import torch
from torch import Tensor

import camfast
from camfast import gradients, guards
from camfast.recorder import Recorder
from reliability.models import campaign
from reliability.models.blocks import BLOCKS
from reliability.models.campaign import run, run_all
from reliability.models.formulas import expected, gaussian
from reliability.models.habits import HABITS
from reliability.models.networks import Drawn, draw
from tests import oracle

NETWORKS = 4


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_nothing_is_wrong_on_some_networks() -> None:
    tried = list(run_all(NETWORKS, 0))
    wrong = [(one.drawn.seed, bad.what, bad.detail) for one in tried for bad in one.wrong]
    assert wrong == []
    made = campaign.report(tried, "python -m reliability.models")
    rows = {row[0]: row for row in made.rows}
    assert set(camfast.methods()) < rows.keys()
    assert all(int(row[1]) == sum(map(int, row[2:])) for row in made.rows)


def test_a_seed_gives_the_same_network_and_the_same_outcomes() -> None:
    one, other = draw(3), draw(3)
    assert one.parts == other.parts
    assert all(torch.equal(a, b) for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True))
    assert run(4).outcomes == run(4).outcomes


def _first_with(part: str) -> int:
    """The first network in evaluation that has a kind of block."""
    return next(seed for seed in count() if part in (drawn := draw(seed)).parts and not drawn.network.training)


def _noticed(seeds: range) -> list[str]:
    return [f"{bad.what}: {bad.detail}" for seed in seeds for bad in run(seed).wrong]


def test_it_notices_gradients_that_are_a_little_off(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gradients._differentiate

    def a_little_off(*args: object) -> list[Tensor]:
        return [gradient * (1 + 1e-6) for gradient in right(*args)]  # type: ignore[arg-type]

    monkeypatch.setattr(gradients, "_differentiate", a_little_off)
    noticed = _noticed(range(1))
    assert any("grid" in one for one in noticed)
    assert any(one.startswith("saliency") for one in noticed)


def test_it_notices_the_wrong_call_of_a_shared_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Recorder.activations

    def the_first(self: Recorder) -> dict[str, Tensor]:
        found = right(self)
        return {name: self.taken[name][0][0] for name in found}

    seed = _first_with("Shared")
    assert run(seed).wrong == []
    monkeypatch.setattr(Recorder, "activations", the_first)
    monkeypatch.setattr("camfast.recorder.Recorder._take", _keeping_all(Recorder._take))
    assert run(seed).wrong != []


def _keeping_all(take: object) -> object:
    def keeping(self: Recorder, name: str, result: object) -> object:
        kept = list(self.taken.get(name, []))
        made = take(self, name, result)  # type: ignore[operator]
        if kept and self.options.call == -1:
            self.taken[name] = [*kept, *self.taken[name][-1:]]
        return made

    return keeping


def test_it_notices_a_network_that_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "_buffers", lambda _: nullcontext())
    seed = _first_with("Counting")
    assert any("touched" in detail for detail in _noticed(range(seed, seed + 1)))


def test_it_notices_an_error_that_is_not_due(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("this is a sentence of camfast that nobody has asked for")

    monkeypatch.setattr(camfast, "saliency", refuse)
    assert any(one.startswith("saliency") for one in _noticed(range(1)))


def test_the_formulas_agree_with_those_of_the_other_tests() -> None:
    A, G = torch.rand(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    for method in camfast.methods()[1:]:
        found = expected(A, G, method).grid
        for target in range(2):
            assert oracle.relative_error(found[:, target], oracle.combine(A, G[target], method)) < 1e-10, method


def test_a_spray_of_a_single_cell() -> None:
    grid = torch.zeros(1, 1, 5, dtype=torch.float64)
    grid[0, 0, 2] = 1
    found = gaussian(grid, (15,), 2.0, "spray")[0, 0]
    x = torch.arange(15, dtype=torch.float64)
    torch.testing.assert_close(found, torch.exp(-((x - 7) ** 2) / 8))
    assert gaussian(grid, (15,), 2.0, "mass").sum().item() == pytest.approx(1)


def test_every_kind_of_block_is_drawn() -> None:
    drawn: list[Drawn] = [draw(seed) for seed in range(70)]
    assert {kind.__name__ for kind in BLOCKS + HABITS} <= {part for one in drawn for part in one.parts}
    assert {one.network.training for one in drawn} == {True, False}
    assert {one.image.ndim for one in drawn} == {3, 4, 5}
