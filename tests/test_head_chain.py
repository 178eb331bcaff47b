"""Gradients through the head's linear layers against plain autograd, and the heads that have to be left to it."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

import camfast
from camfast import head_chain
from camfast.head_chain import class_rows

CLASSES = 5


def _pointwise(padding=0, pool=None):
    return nn.Sequential(
        nn.Conv2d(4, CLASSES, 1, padding=padding), nn.ReLU(), pool or nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


class _Mean(nn.Module):
    """A pointwise head in functions rather than modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, CLASSES, 1, bias=False)

    def forward(self, x):
        return torch.relu(self.conv(x)).mean((2, 3))


HEADS = {
    "linear behind pooling": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)),
    "linear without bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4 * 42, CLASSES, bias=False)),
    "two layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(168, 9), nn.ReLU(), nn.Linear(9, CLASSES)),
    "three layers": lambda: nn.Sequential(
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 9), nn.ELU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, CLASSES)
    ),
    "pointwise": _pointwise,
    "pointwise with padding": lambda: _pointwise(padding=2),
    "pointwise, average over windows": lambda: _pointwise(pool=nn.AvgPool2d((6, 7))),
    "pointwise, functions": _Mean,
    "convolution before a linear layer": lambda: nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    ),
}
# What mixes classes behind the last linear layer, or doesn't end in one.
OTHERS = {
    "softmax": lambda: nn.Sequential(nn.Flatten(), nn.Linear(168, CLASSES), nn.Softmax(1)),
    "batch norm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(168, CLASSES), nn.BatchNorm1d(CLASSES)),
    "three by three": lambda: nn.Sequential(nn.Conv2d(4, CLASSES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "grouped": lambda: nn.Sequential(nn.Conv2d(4, 8, 1, groups=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "strided": lambda: nn.Sequential(nn.Conv2d(4, CLASSES, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "mean over classes": lambda: nn.Sequential(nn.Conv2d(4, CLASSES, 1), _Function(lambda x: x.mean(1).flatten(1))),
    "flattened positions": lambda: nn.Sequential(nn.Conv2d(4, 1, 1), nn.Flatten()),
}


class _Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _model(head):
    torch.manual_seed(3)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(OrderedDict(trunk=trunk, head=head())).double().eval()


def _gradients(model, inputs, classes):
    """∂score/∂A by plain autograd, (T, N, C, *S)."""
    A = model.trunk(inputs).detach().requires_grad_()
    scores = model.head(A)
    rows = [scores.gather(1, column[:, None]).sum() for column in classes.T]
    return torch.stack([torch.autograd.grad(row, A, retain_graph=True)[0] for row in rows])


def _found(model, inputs, classes, frozen=False):
    model.requires_grad_(not frozen)
    A = model.trunk(inputs).detach().requires_grad_()
    return A, class_rows(model.head(A), classes, [A], keep=True)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_rows_continue_to_autograds_gradients(name, frozen):
    model, inputs = _model(HEADS[name]), torch.randn(3, 2, 6, 7, dtype=torch.float64)
    classes = torch.tensor([[0, 4], [2, 2], [3, 1]])
    A, rows = _found(model, inputs, classes, frozen)
    assert rows is not None, "this head is one that is known"
    for target, expected in enumerate(_gradients(model, inputs, classes)):
        row = rows.of(slice(target, target + 1))[0]
        (found,) = head_chain.differentiate(row, rows.linear.before, [A], keep=True)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OTHERS)
def test_other_heads_are_left_to_autograd(name):
    model, inputs = _model(OTHERS[name]), torch.randn(3, 2, 6, 7, dtype=torch.float64)
    _, rows = _found(model, inputs, torch.zeros(3, 1, dtype=torch.long))
    assert rows is None
    expected = camfast.cam(_hidden(model), inputs, "trunk", [0, 1], method="hirescam", size="grid")
    found = camfast.cam(model, inputs, "trunk", [0, 1], method="hirescam", size="grid")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def _hidden(model):
    """The same model, whose head ends in an operation that no chain is followed through."""
    twin = nn.Sequential(OrderedDict(trunk=model.trunk, head=nn.Sequential(model.head, _Function(lambda x: x * 1.0))))
    return twin.eval()


@pytest.mark.parametrize("target", [2, "all", [4, 0, 0], torch.tensor([1, 3, 1])], ids=["one", "all", "list", "each"])
@pytest.mark.parametrize("name", HEADS)
def test_maps_do_not_depend_on_how_the_head_is_written(name, target):
    model, inputs = _model(HEADS[name]), torch.randn(3, 2, 6, 7, dtype=torch.float64)
    explain = {"layer": "trunk", "target": target, "method": "layercam", "relu": False}
    torch.testing.assert_close(
        camfast.cam(model, inputs, **explain), camfast.cam(_hidden(model), inputs, **explain), rtol=1e-12, atol=1e-14
    )


def test_layers_inside_the_chain_are_explained():
    """The last linear layer lies behind one of the layers and in front of others: rows can't be taken for all."""
    model, inputs = _model(_pointwise), torch.randn(2, 2, 6, 7, dtype=torch.float64)
    result = camfast.Explainer(model, ["trunk", "head.0", "head.1"], "hirescam", size="grid")(inputs, 1)
    for layer, same in (("trunk", "trunk"), ("head.0", "head.0.0"), ("head.1", "head.0.1")):
        alone = camfast.cam(_hidden(model), inputs, same, 1, method="hirescam", size="grid")
        torch.testing.assert_close(result.grid[layer], alone, rtol=1e-12, atol=1e-14)


def test_hooks_of_the_caller_still_change_the_gradient():
    model, inputs = _model(HEADS["two layers"]), torch.randn(2, 2, 6, 7, dtype=torch.float64)
    plain = camfast.cam(model, inputs, "trunk", 0, method="hirescam", size="grid")
    handle = model.head[2].register_full_backward_hook(lambda _, given, __: tuple(3 * g for g in given))
    tripled = camfast.cam(model, inputs, "trunk", 0, method="hirescam", size="grid")
    handle.remove()
    torch.testing.assert_close(tripled, 3 * plain)

    def double(_module, _arguments, scores):
        scores.register_hook(lambda gradient: 2 * gradient)

    handle = model.register_forward_hook(double)
    doubled = camfast.cam(model, inputs, "trunk", 0, method="hirescam", size="grid")
    handle.remove()
    torch.testing.assert_close(doubled, 2 * plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_units_that_are_off_are_passed_over(dtype, monkeypatch):
    """One sample and a large dense layer: the rows of units that are on, in whichever way they are summed."""
    monkeypatch.setattr(head_chain, "_MANY_WEIGHTS", 1)
    torch.manual_seed(0)
    head = nn.Sequential(nn.Flatten(), nn.Linear(168, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))
    model = _model(lambda: head).to(dtype)
    inputs = torch.randn(1, 2, 6, 7, dtype=dtype)
    found = camfast.cam(model, inputs, "trunk", 3, method="hirescam", size="grid")
    expected = camfast.cam(_hidden(model.double()), inputs.double(), "trunk", 3, method="hirescam", size="grid")
    tolerance = 1e-5 if dtype is torch.float32 else 1e-12  # sums of 64 and 32 products in the type of the model
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_a_head_without_any_unit_on_gives_zeros():
    head = nn.Sequential(nn.Flatten(), nn.Linear(168, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    model = _model(lambda: head).float()
    with torch.no_grad():
        head[1].bias.fill_(-1e3)
    assert not camfast.cam(model, torch.randn(1, 2, 6, 7), "trunk", 3, method="hirescam").any()


@pytest.mark.parametrize("flat", [False, True], ids=["mean", "flatten"])
def test_one_sample_of_several_tokens(monkeypatch, flat):
    """A dense layer that the positions of one sample share, in front of the linear head."""
    monkeypatch.setattr(head_chain, "_MANY_WEIGHTS", 1)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.fc = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 12)
            self.head = nn.Linear(12 * 9 if flat else 12, CLASSES)

        def forward(self, x):
            features = self.fc(self.norm(self.stem(x))).relu()
            return self.head(features.flatten(1) if flat else features.mean(1))

    model, x = Tokens().double(), torch.randn(2, 9, 8, dtype=torch.float64)
    explain = {"layer": "norm", "target": 1, "method": "hirescam", "reshape": lambda t: t.transpose(1, 2)}
    together = camfast.cam(model, x, size="grid", **explain)
    alone = torch.cat([camfast.cam(model, sample[None], size="grid", **explain) for sample in x])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-14)
