"""The frozen form: the explainer's results, from kept tensors, with graphs stood in for where there is no GPU."""

import dataclasses
import threading
import types

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import camfast
from camfast import frozen as frozen_module

METHODS = [name for name in camfast.methods() if name != "cam"]
TARGETS = {
    "predicted": "predicted",
    "one": 3,
    "each": torch.tensor([1, 4]),
    "all": "all",
    "list": [4, 0],
    "function": lambda scores: scores[:, 0] - scores[:, 1],
}


def _model():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(6 * 6 * 5, 16), nn.ReLU(), nn.Linear(16, 5),
    ).eval()  # fmt: skip


def _options(method):
    return {"upsample": "gaussian", "sigma": 2.0} if method != "extended" else {"sigma": 2.0}


def _assert_same(found, expected):
    for field in dataclasses.fields(expected):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(right, torch.Tensor):
            assert torch.equal(left, right), field.name
        else:
            assert left == right or callable(right), field.name


class _Replays:
    """In the place of a CUDA graph: runs what was captured again, with the target of the capture, into its tensors."""

    def __init__(self, explain, target):
        self.target, self._explain, self._result = target, explain, explain()

    def replay(self):
        again = self._explain()
        for field in dataclasses.fields(again):
            left, right = getattr(self._result, field.name), getattr(again, field.name)
            if isinstance(left, torch.Tensor) and left.data_ptr() != right.data_ptr():
                left.untyped_storage().copy_(right.untyped_storage())  # views and expanded tensors too
        return self._result


@pytest.fixture(params=["kept", "graph"])
def freeze(request, monkeypatch):
    """Freeze as on a CPU, or as on a GPU with a stand-in for the graph."""

    def make(explainer, example, target="predicted"):
        form = explainer.freeze(example, target)
        if request.param == "graph":
            monkeypatch.setattr(frozen_module, "Graph", _Replays)
            form._on_gpu = True
        return form

    return make


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_it_gives_what_the_explainer_gives(freeze, method, target):
    explainer = camfast.Explainer(_model(), "2", method, **_options(method))
    form = freeze(explainer, torch.zeros(2, 3, 12, 10))
    for _ in range(3):
        x = torch.randn(2, 3, 12, 10)
        _assert_same(form(x, target), explainer(x, target))


def test_targets_in_turn(freeze):
    explainer = camfast.Explainer(_model(), "2", "respond")
    form = freeze(explainer, torch.zeros(2, 3, 12, 10))
    for target in (0, torch.tensor([2, 1]), [3], "all", 4, [0, 1], "predicted", 0):
        x = torch.randn(2, 3, 12, 10)
        _assert_same(form(x, target), explainer(x, target))
    with pytest.raises(ValueError, match="out of range"):
        form(x, 5)


def test_a_region_of_a_segmenter(freeze):
    model = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ELU(), nn.Conv3d(4, 3, 1))
    explainer, region = camfast.Explainer(model, "1", "hirescam"), camfast.Region(2, "image")
    form = freeze(explainer, torch.zeros(1, 1, 6, 6, 6), region)
    x = torch.randn(1, 1, 6, 6, 6)
    _assert_same(form(x, region), explainer(x, region))


def test_several_layers_and_keyword_inputs(freeze):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = _model()

        def forward(self, image, scale=1.0):
            return self.inner(image) * scale

    explainer = camfast.Explainer(Model(), ["inner.0", "inner.2"], "respond", fuse="mean")
    form = freeze(explainer, {"image": torch.zeros(1, 3, 12, 10), "scale": 2.0}, 1)
    given = {"image": torch.randn(1, 3, 12, 10), "scale": 2.0}
    found, expected = form(given, 1), explainer(given, 1)
    assert torch.equal(found.maps, expected.maps)
    assert all(torch.equal(found.grid[name], expected.grid[name]) for name in expected.grid)
    found = form(types.MappingProxyType(given), 1)  # any mapping, as the explainer takes
    assert torch.equal(found.maps, expected.maps)
    with pytest.raises(ValueError, match=r"3\.0 where the frozen explainer has 2\.0"):
        form({"image": given["image"], "scale": 3.0}, 1)
    with pytest.raises(ValueError, match="as the example was"):
        form(given["image"], 1)


def test_weights_trained_in_place_are_followed(freeze):
    model = _model()
    explainer = camfast.Explainer(model, "2", "gradcam")
    x = torch.randn(1, 3, 12, 10)
    form = freeze(explainer, x)
    before = form(x, 1).maps.clone()
    with torch.no_grad():
        model[0].weight.mul_(1.5)
    assert not torch.equal(form(x, 1).maps, before)
    _assert_same(form(x, 1), explainer(x, 1))


def test_results_are_overwritten_but_for_out(freeze):
    form = freeze(camfast.Explainer(_model(), "2", "respond"), torch.zeros(1, 3, 12, 10))
    first, second = torch.randn(2, 1, 3, 12, 10)
    out = torch.empty(1, 12, 10)
    kept = form(first, 1, out)
    assert kept.maps is out
    saved, shared = out.clone(), form(first, 1)
    assert form(second, 1).maps.data_ptr() == shared.maps.data_ptr()
    assert torch.equal(out, saved)
    with pytest.raises(ValueError, match="out must have the shape"):
        form(first, 1, torch.empty(1, 12, 11))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3, 12, 10), r"takes float32 \(1, 3, 12, 10\) on cpu, found float32 \(2, 3, 12, 10\)"),
        (torch.zeros(1, 3, 12, 10, dtype=torch.float64), "found float64"),
        ("image", "'image' where the frozen explainer has"),
    ],
)
def test_other_inputs_are_refused(freeze, given, message):
    form = freeze(camfast.Explainer(_model(), "2"), torch.zeros(1, 3, 12, 10))
    with pytest.raises(ValueError, match=message):
        form(given)


def test_what_cannot_be_frozen():
    model = _model()
    with pytest.raises(ValueError, match="create_graph"):
        camfast.Explainer(model, "2", create_graph=True).freeze(torch.zeros(1, 3, 12, 10))
    form = camfast.Explainer(model, "2").freeze(torch.zeros(1, 3, 12, 10))
    model[0].train()
    form(torch.zeros(1, 3, 12, 10))  # a part may be in another mode than the model
    model.training = True
    with pytest.raises(ValueError, match="in evaluation mode when its explainer was frozen"):
        form(torch.zeros(1, 3, 12, 10))


def test_the_example_and_the_inputs_are_left_alone(freeze):
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = _model()

        def forward(self, x):
            return self.inner(x.mul_(2))

    example, x = torch.randn(2, 1, 3, 12, 10)
    copies = example.clone(), x.clone()
    explainer = camfast.Explainer(InPlace(), "inner.2", "layercam")
    form = freeze(explainer, example)
    for _ in range(2):
        _assert_same(form(x), explainer(x))
    assert torch.equal(example, copies[0])
    assert torch.equal(x, copies[1])
    requires = x.clone().requires_grad_()
    assert torch.equal(form(requires).maps, explainer(x).maps)


def test_threads_take_turns(freeze):
    explainer = camfast.Explainer(_model(), "2", "respond")
    form = freeze(explainer, torch.zeros(1, 3, 12, 10))
    images = torch.randn(4, 1, 3, 12, 10)
    expected = [explainer(x, 1).maps for x in images]
    outs, errors = [[torch.empty(1, 12, 10) for _ in range(20)] for _ in images], []

    def work(number):
        try:
            for out in outs[number]:
                form(images[number], 1, out)
        except Exception as error:  # whatever it is, the test has to see it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(torch.equal(out, right) for own, right in zip(outs, expected, strict=True) for out in own)


def _allocated(function):
    """Bytes that torch allocates in a call, after one that isn't counted."""
    function()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    events = recorded.profiler.kineto_results.events()
    return sum(event.nbytes() for event in events if event.name() == "[memory]" and event.nbytes() > 0)


@pytest.mark.parametrize("target", [1, "all"], ids=["one", "all"])
@pytest.mark.parametrize("method", ["gradcam", "respond", "layercam", "extended"])
def test_nothing_but_the_model_allocates(method, target):
    """Beside the forward pass and the head's gradient there are a few numbers for each sample and target."""
    model, x = _model(), torch.randn(2, 3, 12, 10)
    size = (120, 100)  # maps far larger than anything the model makes
    form = camfast.Explainer(model, "2", method, size=size, **_options(method)).freeze(x)
    targets = 5 if target == "all" else 1

    def own():
        with torch.no_grad():
            A = model[:3](x.clone())
        A = A.requires_grad_()
        scores = model[3:](A)
        torch.autograd.grad(scores, A, torch.zeros(targets, *scores.shape), is_grads_batched=True)

    explainer = camfast.Explainer(model, "2", method, size=size, **_options(method))
    few = 1024 * len(x) * targets
    assert _allocated(lambda: form(x, target)) < _allocated(own) + few
    assert _allocated(lambda: explainer(x, target)) > _allocated(own) + few, "maps would be seen"


@pytest.mark.parametrize("modes", [(True, True), (True, False), (False, True)])
def test_made_and_called_inside_and_outside_of_inference_mode(modes):
    """What is made under inference_mode can't be written to outside of it."""
    made, called = modes
    model, x = _model(), torch.randn(2, 3, 12, 10)
    explainer = camfast.Explainer(model, "2", "respond")
    with torch.inference_mode(made):
        frozen = explainer.freeze(torch.randn(2, 3, 12, 10), 1)
    with torch.inference_mode(called):
        found = [frozen(x.clone(), target).maps.clone() for target in (3, torch.tensor([1, 4]))]
    assert torch.equal(found[0], explainer(x, 3).maps)
    assert torch.equal(found[1], explainer(x, torch.tensor([1, 4])).maps)
