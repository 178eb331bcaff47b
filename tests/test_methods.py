"""The methods through the engine: the oracle's values, and the flags."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.methods import COMPONENTS, WITHOUT_GRADIENTS, get
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, images, sequential

METHODS = [name for name in camfast.methods() if name != "cam"]  # cam: tests/test_linear_head.py
WEIGHTED = ("gradcam", "gradcam++", "xgradcam", "respond", "eigencam", "eigengradcam")
SIGNED_BY_DEFAULT = ("respond", "extended", "elementwise", "eigencam", "eigengradcam")
SIGNED: dict[str, Any] = {"relu": False, "size": "grid"}


def _network(rank: int, *, seed: int) -> nn.Sequential:
    """Activations are positive, so that no weight is ill-conditioned."""
    torch.manual_seed(seed)
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    trunk = nn.Sequential(convolution(2, 6, 3, padding=1), nn.Softplus())
    tail = nn.Sequential(nn.Flatten(), nn.LazyLinear(7), nn.Tanh(), nn.Linear(7, 4))
    model = nn.Sequential(trunk, convolution(6, 5, 3, 2), tail).double()
    model(_inputs(rank))
    return model


def _inputs(rank: int) -> Tensor:
    return torch.randn(3, 2, *(9, 7, 6)[:rank], dtype=torch.float64)


def _sums(grid: Tensor, lead: int = 1) -> Tensor:
    return grid.flatten(lead).sum(-1)


def test_what_is_known_of_each_method() -> None:
    relu = {"gradcam", "gradcam++", "xgradcam", "hirescam", "layercam"}
    rectified = {"hirescam": "none", "elementwise": "product", "layercam": "gradients", "extended": "none"}
    assert camfast.methods() == (
        "cam", "gradcam", "gradcam++", "xgradcam", "respond", "hirescam", "elementwise", "layercam", "extended",
        "eigencam", "eigengradcam",
    )  # fmt: skip
    for name in camfast.methods():
        form = get(name)
        assert form.relu is (name in relu)
        assert form.rectify == rectified.get(name)
        assert form.upsample == ("gaussian" if name == "extended" else "linear")
    assert set(COMPONENTS) == {"eigencam", "eigengradcam"}
    assert set(WITHOUT_GRADIENTS) == {"cam", "eigencam"}
    with pytest.raises(ValueError, match=r"^method must be one of cam, gradcam, .*, eigengradcam; found 'grad'$"):
        get("grad")


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_against_the_oracle(rank: int, method: str) -> None:
    model, x = _network(rank, seed=rank), _inputs(rank)
    expected = oracle.grid(model, x, "0", 2, method)
    for target in (2, "all"):
        result = camfast.Explainer(model, "0", method, **SIGNED)(x, target)
        grid = result.grid if target == 2 else result.grid[:, 2]
        assert oracle.relative_error(grid, expected) < 1e-9
        y = model(x).detach()
        assert torch.equal(result.scores, y)
        assert torch.allclose(
            result.residual, (y if target == "all" else y[:, 2]) - _sums(result.grid, y.ndim - (target == 2))
        )
        assert not result.empty.any()
        assert result.ill_conditioned.shape == (3,)
        assert (result.weights is not None) == (method in WEIGHTED)
    default = camfast.cam(model, x, "0", 2, method=method, size="grid")
    rectified = method not in SIGNED_BY_DEFAULT
    assert oracle.relative_error(default, expected.relu() if rectified else expected) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_channel_adds_nothing(method: str) -> None:
    model, x = sequential(), images()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0
    result = camfast.Explainer(model, "1", method, **SIGNED)(x, "all")
    if method in ("respond", "xgradcam"):
        assert result.weights[:, :, 1].eq(0).all()
        assert result.weights[:, :, 0].ne(0).all()
    for target in range(5):
        A, G, _ = oracle.activations_and_gradients(model, x, "1", target)
        alive = [0, 2, 3]
        expected = oracle.combine(A[:, alive], G[:, alive], method)
        assert oracle.relative_error(result.maps[:, target], expected) < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["activations", "gradients"])
@pytest.mark.parametrize("target", [1, "all"])
def test_what_is_not_finite_stays_in_its_sample_and_shows(method: str, bad: float, where: str, target: Any) -> None:
    if method == "eigencam" and where == "gradients":
        return  # which it never asks for
    place = torch.zeros(3, CHANNELS, 8, 8, dtype=torch.bool)
    place[1, 2, 3, 4] = True
    spoil = Apply(
        lambda a: (
            a.masked_fill(place, bad) if where == "activations" else a * torch.ones_like(a).masked_fill(place, bad)
        )
    )
    convolution, linear = nn.Conv2d(3, CHANNELS, 3, padding=1).double(), nn.Linear(CHANNELS * 64, 5).double()
    with torch.no_grad():
        linear.weight.abs_()  # a ReLU rightly makes 0 of negative infinity
    trunk, tail = [convolution, nn.Softplus()], [nn.Flatten(), linear]
    middle = [spoil, nn.Identity()] if where == "activations" else [nn.Identity(), spoil]
    x = images(3)
    found = camfast.Explainer(nn.Sequential(*trunk, *middle, *tail), "2", method, size="grid")(x, target)
    clean = camfast.Explainer(nn.Sequential(*trunk, nn.Identity(), *tail), "2", method, size="grid")(x, target)
    assert torch.equal(found.maps[[0, 2]], clean.maps[[0, 2]])
    assert clean.maps.isfinite().all()
    assert not found.maps[1].isfinite().flatten(-2).all(-1).any()
    assert not found.empty.any()


def test_empty_maps_are_flagged() -> None:
    model, x = sequential(), images(3)
    with torch.no_grad():
        model[2][3].weight[2] = 0
    result = camfast.Explainer(model, "1", "hirescam")(x, "all")
    assert result.empty.tolist() == [[False, False, True, False, False]] * 3
    single = camfast.Explainer(model, "1", "hirescam")(x, torch.tensor([2, 1, 2]))
    assert single.empty.tolist() == [True, False, True]
    assert (single.maps[0] == 0).all()
    assert single.residual[0] == model(x)[0, 2]


@pytest.mark.parametrize("method", ["respond", "xgradcam", "gradcam++", "gradcam", "hirescam"])
@pytest.mark.parametrize("target", [1, "all"])
def test_ill_conditioned_weights_are_flagged_and_warned_of_once(method: str, target: Any) -> None:
    def cancel(a: Tensor) -> Tensor:
        a = a.clone()
        a[1, 3] -= a[1, 3].mean()  # a channel that sums to 0
        return a

    model, x = sequential(Apply(cancel), nn.Identity()), images(3)
    explainer = camfast.Explainer(model, "2", method)
    flagged = method in ("respond", "xgradcam", "gradcam++")
    if not flagged:
        assert explainer(x, target).ill_conditioned.tolist() == [False] * 3  # and warnings are errors
        return
    with pytest.warns(
        camfast.IllConditionedWarning, match=r"layer '2': in 1 of 3 samples.*hirescam or gradcam"
    ) as caught:
        result = explainer(x, target)
    assert result.ill_conditioned.tolist() == [False, True, False]
    assert len(caught) == 1
    assert caught[0].filename == __file__
