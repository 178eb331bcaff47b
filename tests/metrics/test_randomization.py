"""Model-parameter randomisation: which layers are drawn anew, what is left of a map, and nothing left in the model."""

import copy
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import camfast
from camfast.metrics import randomization_check
from camfast.scoring import derived_seed


class _Network(nn.Module):
    """Layers are registered in another order than they run, one has no reset, one never runs."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        convolution, norm = [(nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d)][
            rank - 1
        ]
        self.head = nn.Linear(6, 3)
        self.second = convolution(4, 6, 3, padding=1)
        self.first = convolution(1, 4, 3, padding=1)
        self.norm = norm(4)
        self.gain = _Gain()
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.gain(self.norm(self.first(x)).relu())).relu()
        return self.head(x.flatten(2).mean(2))


class _Gain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.reshape(-1, *(1,) * (x.ndim - 2))


def _explain(model: nn.Module, inputs: Any) -> Tensor:
    return camfast.cam(model, inputs, "second", torch.zeros(len(inputs), dtype=torch.long), relu=False, size="grid")


@pytest.mark.parametrize("shape", [(12,), (6, 5), (4, 3, 5)], ids=str)
def test_every_layer_seed_and_mode(shape: tuple[int, ...]) -> None:
    model, inputs = _Network(len(shape)).eval(), torch.randn(3, 1, *shape)
    found = randomization_check(model, inputs, _explain, seeds=4)
    assert found.layers == ("head", "second", "gain", "norm", "first")
    assert found.seeds == (0, 1, 2, 3)
    for similarity in found.modes.values():
        for measure in similarity:
            assert measure.shape == (5, 4, 3)
    # by hand: the second layer down in a cascade is drawn after the head, with its own seed
    by_hand = copy.deepcopy(model)
    with torch.random.fork_rng():
        for place, name in enumerate(("head", "second")):
            torch.manual_seed(derived_seed(2, place))
            getattr(by_hand, name).reset_parameters()
    for n, (before, after) in enumerate(zip(_explain(model, inputs), _explain(by_hand, inputs), strict=True)):
        expected = stats.spearmanr(before.flatten(), after.flatten()).statistic
        assert abs(float(found.modes["cascading"].spearman[1, 2, n]) - expected) < 1e-9
        expected = stats.spearmanr(before.abs().flatten(), after.abs().flatten()).statistic
        assert abs(float(found.modes["cascading"].spearman_absolute[1, 2, n]) - expected) < 1e-9
    # the first layer of a cascade is randomised alone
    assert torch.equal(found.modes["cascading"].spearman[0], found.modes["independent"].spearman[0])
    assert not torch.equal(found.modes["cascading"].spearman[1], found.modes["independent"].spearman[1])


def test_what_is_above_or_below_a_map_matters_to_it() -> None:
    model, inputs = _Network(1).eval(), torch.randn(3, 1, 30)
    found = randomization_check(
        model, inputs, lambda model, x: camfast.cam(model, x, "first", 0, relu=False, size="grid"), seeds=2
    )
    assert float(found.modes["independent"].spearman[found.layers.index("first")].abs().max()) < 0.999
    edges = randomization_check(model, inputs, lambda _, x: (x[:, 0] - x[:, 0].roll(1, 1)).abs(), seeds=2)
    for measure in (*edges.modes["cascading"], *edges.modes["independent"]):
        assert torch.allclose(measure, torch.ones_like(measure))  # an edge detector never fails to ignore a model


def test_the_model_and_the_generators_stay_as_they_were() -> None:
    model, inputs = _Network(1).train(), torch.randn(3, 1, 12)
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    randomization_check(model, inputs, lambda model, x: model.second(model.first(x)).sum(1), seeds=2)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert model.training


def test_a_seed_starts_from_the_trained_network() -> None:
    model, inputs = _Network(1).eval(), torch.randn(2, 1, 12)
    both = randomization_check(model, inputs, _explain, seeds=[7, 8])
    later = randomization_check(model, inputs, _explain, seeds=[8])
    for mode in ("cascading", "independent"):
        assert torch.equal(both.modes[mode].spearman[:, 1], later.modes[mode].spearman[:, 0])


def test_parameters_without_a_reset_keep_their_mean_and_spread() -> None:
    model = nn.Sequential(_Gain())
    nn.init.normal_(model[0].weight, 5, 2)  # type: ignore[arg-type]
    model[0].weight = nn.Parameter(torch.randn(4000) * 2 + 5)  # type: ignore[assignment]
    seen = []

    def explain(model: nn.Module, x: Tensor) -> Tensor:
        seen.append(model[0].weight.detach().clone())  # type: ignore[index]
        return x

    randomization_check(model, torch.rand(1, 4000), explain, modes=["cascading"], seeds=1, layers=["0"])
    assert float(torch.corrcoef(torch.stack(seen))[0, 1].abs()) < 0.1
    assert abs(float(seen[1].mean()) - 5) < 0.2
    assert abs(float(seen[1].std()) - 2) < 0.2


def test_parameters_that_a_reset_leaves_are_drawn_too() -> None:
    class Scaled(nn.Linear):
        """Resets what it has from Linear alone."""

        def __init__(self) -> None:
            super().__init__(30, 30)
            self.scale = nn.Parameter(torch.randn(30) + 3)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale

    seen = []

    def explain(model: nn.Module, x: Tensor) -> Tensor:
        seen.append(copy.deepcopy(model.state_dict()))
        return x

    randomization_check(nn.Sequential(Scaled()), torch.rand(1, 30), explain, modes=["cascading"], seeds=1)
    trained, randomised = seen
    for name in ("0.weight", "0.bias", "0.scale"):
        assert not torch.isclose(trained[name], randomised[name]).any(), name
    assert abs(float(randomised["0.scale"].mean()) - 3) < 1  # five standard errors


def test_generators_of_other_devices_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # what torch.manual_seed does there
    randomization_check(nn.Sequential(nn.Linear(6, 6)), torch.rand(2, 6), lambda model, x: model(x), seeds=1)
    assert not seeded


def test_a_layer_takes_with_it_what_it_contains_but_not_what_is_listed() -> None:
    class Positioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.randn(1, 4, 12))
            self.inner = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) + self.place

    def explain(model: nn.Module, x: Tensor) -> Tensor:
        state = model.state_dict()
        changed.append({key for key, value in state.items() if not torch.equal(value, trained[key])})
        return model(x).sum(1).detach()

    model, inputs = Positioned().eval(), torch.randn(2, 1, 12)
    trained = copy.deepcopy(model.state_dict())
    first, last = {"inner.0.weight", "inner.0.bias"}, {"inner.2.weight", "inner.2.bias"}
    for layers, expected in (
        (None, [last, first, {"place"}]),
        (["inner"], [first | last]),
        ("inner", [first | last]),
        (model.inner, [first | last]),
        (["inner", "inner.0"], [last, first]),
        ([""], [first | last | {"place"}]),
    ):
        changed: list[set[str]] = []
        found = randomization_check(model, inputs, explain, layers=layers, modes=["independent"], seeds=1)
        assert changed[1:] == expected
    assert "(the model's own)" in str(found)


def test_maps_without_a_rank_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    model, inputs = _Network(1).eval(), torch.randn(3, 1, 12)

    def explain(model: nn.Module, x: Tensor) -> Tensor:
        trained = torch.equal(model.head.weight, original)  # type: ignore[arg-type]
        return x[:, 0] if trained else torch.zeros_like(x[:, 0])

    original = model.head.weight.detach().clone()
    found = randomization_check(model, inputs, explain, seeds=2, modes=["independent"], progress=True)
    assert found.modes["independent"].undefined.tolist() == [6, 0, 0, 0, 0]
    lines = str(found).splitlines()
    assert lines[0] == "mean ± spread over 2 seeds, 3 samples; 1: the map doesn't change"
    assert lines[1] == "independent"
    assert lines[3].split() == ["head", "nan", "±", "nan", "nan", "±", "nan", "nan", "±", "nan", "6"]
    assert lines[4].split()[:4] == ["second", "1.000", "±", "0.000"]
    assert "randomisation: 100%" in capsys.readouterr().err


def test_what_does_not_fit_is_named() -> None:
    model, inputs = _Network(1).eval(), torch.randn(3, 1, 12)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("modes must be some of cascading, independent, found 'both'", {"modes": "both"}),
        ("seeds must be how many or which, at least one; found 0", {"seeds": 0}),
        ("the model has no layer 'heads'; did you mean 'head'", {"layers": ["heads"]}),
        ("explain must return one map a sample.*found tuple", {"explain": lambda _, x: (x,)}),
        (r"explain must return one map a sample.*found \(3,\)", {"explain": lambda _, x: x[:, 0, 0]}),
    ]
    for message, change in cases:
        with pytest.raises(ValueError, match=message):
            randomization_check(**{"model": model, "inputs": inputs, "explain": _explain, **change})
    for explain in ("gradcam", camfast.Explainer(model, "head")):
        with pytest.raises(
            TypeError, match=f"explain must be a function .* found {type(explain).__name__}: lambda model"
        ):
            randomization_check(model, inputs, explain)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layers must have parameters to randomise, found no layer that has"):
        randomization_check(nn.Sequential(nn.ReLU()), inputs, lambda _, x: x[:, 0])
