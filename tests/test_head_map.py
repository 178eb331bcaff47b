"""Maps as functions of features: values, derivatives of both kinds, compiled losses and transforms."""

import pytest
import torch
from torch import nn

import camfast
from camfast.ops.forms import FORMS

DTYPE = torch.float64
SIZES = {1: (7,), 2: (5, 6), 3: (4, 3, 5)}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TARGETS = {
    "predicted": "predicted",
    "one": 2,
    "each": torch.tensor([2, 0]),
    "all": "all",
    "list": [1, 1, 0],
    "function": lambda scores: scores[:, 0] * scores[:, 1],
    "functions": lambda scores: scores[:, :2].exp(),
}


def _model(rank=2):
    """A smooth network: trunk, features, head."""
    convolution = CONVOLUTIONS[rank]
    cells = int(torch.tensor(SIZES[rank]).prod())
    trunk = nn.Sequential(convolution(2, 4, 3, padding=1), nn.Softplus())
    head = nn.Sequential(
        convolution(4, 3, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(3 * cells, 6),
        nn.Softplus(),
        nn.Linear(6, 3),
    )
    return nn.Sequential(trunk, head).to(DTYPE)


def _inputs(rank=2):
    return torch.randn(2, 2, *SIZES[rank], dtype=DTYPE)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("method", FORMS)
def test_values_are_the_explainers(method, target):
    options = {"sigma": 1.5} if method == "extended" else {}
    for rank in SIZES:
        model, x = _model(rank), _inputs(rank)
        size = tuple(2 * extent for extent in SIZES[rank])
        expected = camfast.cam(model, x, "0", target, method=method, size=size, **options)
        found = camfast.head_map(model[1], model[0](x), target, method, size=size, **options)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        with torch.no_grad():
            assert not camfast.head_map(model[1], model[0](x), target, method, **options).requires_grad or options


def test_a_region():
    head, region = nn.Conv2d(4, 3, 1).to(DTYPE), camfast.Region(1, (slice(0, 2), slice(1, 4)))
    model = nn.Sequential(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Softplus()), head).to(DTYPE)
    x = _inputs()
    found = camfast.head_map(head, model[0](x), [region, camfast.Region(0, "image")], "hirescam")
    expected = camfast.cam(model, x, "0", [region, camfast.Region(0, "image")], method="hirescam", size="grid")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def _gradients(loss, model, x):
    return torch.autograd.grad(loss, [x, *model.parameters()], materialize_grads=True)


@pytest.mark.parametrize("target", [1, "all", torch.tensor([2, 0])], ids=["one", "all", "each"])
@pytest.mark.parametrize("method", [name for name in FORMS if name != "extended"])
def test_its_gradient_is_that_of_the_whole_graph(method, target):
    """The explainer's with ``create_graph=True``, with respect to the input and all parameters."""
    model, x = _model(), _inputs().requires_grad_()
    whole = camfast.Explainer(model, "0", method, relu=False, size=(9, 8), create_graph=True)
    expected = _gradients(whole(x, target).maps.square().sum(), model, x)
    maps = camfast.head_map(model[1], model[0](x), target, method, relu=False, size=(9, 8))
    found = _gradients(maps.square().sum(), model, x)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", ["respond", "layercam", "gradcam++"])
def test_gradcheck(method):
    model = _model()
    features = model[0](_inputs()).detach().requires_grad_()
    torch.autograd.gradcheck(
        lambda A: camfast.head_map(model[1], A, [0, 2], method, relu=False, size=(7, 9)), features, atol=1e-6
    )


@pytest.mark.parametrize("target", [1, "all", torch.tensor([2, 0]), "predicted"], ids=["one", "all", "each", "best"])
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # inductor's imports
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_loss_compiles_into_one_graph(backend, target):
    torch._dynamo.reset()
    model, x = _model(), _inputs().requires_grad_()

    def loss(x):
        features = model[0](x)
        heat = camfast.head_map(model[1], features, target, "respond", size=(9, 8))
        return heat.square().mean() + model[1](features).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    value, expected = compiled(x), loss(x)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    for left, right in zip(_gradients(value, model, x), _gradients(expected, model, x), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-13)


def test_transforms_of_torch_func():
    model = _model()
    features = model[0](_inputs()).detach()

    def loss(A):
        return camfast.head_map(model[1], A, "all", "respond").square().sum()

    leaf = features.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(features), expected, rtol=1e-10, atol=1e-13)
    jacobian = torch.func.jacrev(lambda A: camfast.head_map(model[1], A, 1, "hirescam").sum((1, 2)))(features)
    (row,) = torch.autograd.grad(camfast.head_map(model[1], leaf, 1, "hirescam")[1].sum(), leaf)
    torch.testing.assert_close(jacobian[1], row, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "eigencam"}, ValueError, "head_map makes maps of gradients: method must be one of gradcam"),
        ({"method": "nothing"}, ValueError, "found 'nothing'"),
        ({"target": 3}, ValueError, "out of range"),
        ({"target": torch.tensor([0, 3])}, ValueError, "out of range"),
        ({"target": camfast.Unit("0", 1)}, ValueError, "which camfast.cam and Explainer explain"),
        ({"upsample": "gaussian", "size": (9, 9)}, ValueError, "effective_receptive_field"),
    ],
)
def test_bad_input(arguments, error, message):
    model = _model()
    with pytest.raises(error, match=message):
        camfast.head_map(model[1], model[0](_inputs()), **arguments)


@pytest.mark.parametrize("begin", [nn.ReLU(inplace=True), nn.Hardtanh(inplace=True)], ids=["relu", "hardtanh"])
@pytest.mark.parametrize("target", [1, "all"])
def test_a_head_that_begins_by_writing_into_its_features(begin, target):
    head = nn.Sequential(begin, nn.Flatten(), nn.Linear(4 * 30, 3)).to(DTYPE)
    apart = nn.Sequential(type(begin)(), *head[1:])
    features = torch.randn(2, 4, 5, 6, dtype=DTYPE)
    before = features.clone()
    found = camfast.head_map(head, features, target, "hirescam")
    assert torch.equal(features, before)
    torch.testing.assert_close(found, camfast.head_map(apart, features, target, "hirescam"))


def test_a_component_of_what_the_head_predicts():
    head = nn.Conv2d(4, 3, 1).to(DTYPE)
    features = torch.randn(2, 4, 5, 6, dtype=DTYPE)
    region = camfast.Region(1, camfast.component(0))
    mask = region.mask(head(features))
    found = camfast.head_map(head, features, region, "hirescam")
    torch.testing.assert_close(found, camfast.head_map(head, features, camfast.Region(1, mask), "hirescam"))


def test_a_component_under_vmap_is_refused():
    scores = torch.randn(2, 1, 3, 5, 6)
    with pytest.raises(ValueError, match=r"can't be looked at under torch\.func\.vmap"):
        torch.vmap(camfast.Region(1, camfast.component(0)).mask)(scores)


def test_a_head_that_changes_its_buffers_is_refused():
    head = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 30, 3)).to(DTYPE)
    features = torch.randn(2, 4, 5, 6, dtype=DTYPE)
    for some in (head, nn.Sequential(nn.ReLU(inplace=True), *head)):
        with pytest.raises(camfast.CaptureError, match=r"head\.eval\(\)"):
            camfast.head_map(some, features, 1)
    assert camfast.head_map(head.eval(), features, 1).shape == (2, 5, 6)


def test_a_checkpoint_in_the_head_is_refused():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(4, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(36, 3)).to(DTYPE)

        def forward(self, features):
            return torch.utils.checkpoint.checkpoint(self.body, features, use_reentrant=False)

    with pytest.raises(camfast.CaptureError, match="the head has a checkpoint"):
        camfast.head_map(Head(), torch.randn(2, 4, 5, 6, dtype=DTYPE), 1)
