"""Many threads on one explainer, and on one model, get the bits that one thread gets."""

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import guards
from tests.capture.networks import CHANNELS, Apply, images, sequential

# what is tested holds in training mode too
pytestmark = pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning")

THREADS, CALLS = 8, 240


def _model() -> nn.Sequential:
    return sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()).eval()


def _in_threads(jobs: list[Callable[[], Tensor]]) -> list[Tensor]:
    barrier = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=barrier.wait) as pool:
        return list(pool.map(lambda job: job(), jobs))


@contextmanager
def _one_thread_an_operation() -> Iterator[None]:
    """Sums that several threads share may be in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _equal_bits(jobs: list[Callable[[], Tensor]]) -> None:
    with _one_thread_an_operation():
        alone = [job() for job in jobs]
        together = _in_threads(jobs)
    assert len({tuple(map(float, maps.flatten()[:4])) for maps in alone}) > 1
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


def test_one_explainer() -> None:
    explainer = camfast.Explainer(_model(), "1", "respond")
    inputs = [images() for _ in range(CALLS)]
    _equal_bits([lambda x=x: explainer(x, "all").maps for x in inputs])


def test_one_model_with_other_layers_targets_and_methods() -> None:
    model = _model().train()  # whose buffers every run would change
    before = {name: (value.clone(), value._version) for name, value in model.state_dict().items()}
    options = [
        (layer, target, method)
        for layer in ("0", "1", "2", "4", "3")  # the output of the last batch norm is changed in place
        for target in (2, "all", [0, 3], camfast.Unit("6.1", 5))
        for method in ("gradcam", "hirescam", "layercam", "elementwise", "eigencam", "eigengradcam")
    ]
    jobs = []
    for index in range(CALLS):
        layer, target, method = options[index % len(options)]
        x = images()

        def job(x: Tensor = x, layer: str = layer, target: object = target, method: str = method) -> Tensor:
            return camfast.cam(model, x, layer, target, method=method, relu=False)  # type: ignore[arg-type]

        jobs.append(job)
    _equal_bits(jobs)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name][0]), name
        assert value._version == before[name][1]
    assert not any(len(module._forward_hooks) for module in model.modules())
    assert not guards._buffers._users
    assert not guards._buffers._copied


def test_two_hundred_calls_of_each_thread_on_shared_explainers() -> None:
    """One model, explainers that all threads call at once, and everything that a call may differ in."""
    model = _model().float()
    gaussian = {"upsample": "gaussian", "sigma": (1.5, 2.5), "size": (11, 9)}
    shared = [
        camfast.Explainer(model, "1", "respond", relu=False, **gaussian),  # type: ignore[arg-type]
        camfast.Explainer(model, "2", "gradcam", relu=False),  # changed in place behind it
        camfast.Explainer(model, ["0", "4"], "layercam", fuse="mean"),
        camfast.Explainer(model, ("1", "5"), "hirescam", relu=False, fuse="max"),
        camfast.Explainer(model, "3", "xgradcam", relu=False, create_graph=True),
        camfast.Explainer(model, "4", "elementwise", size="grid"),
    ]
    targets = ("predicted", 2, "all", [0, 3], torch.tensor([1, 4]), camfast.Unit("6.1", 5), lambda s: s[:, :2] ** 2)
    jobs = []
    for index in range(THREADS * 200):
        x = images(1 + index % 2 if index % 7 != 4 else 2).float()  # two samples for two classes
        explainer, target = shared[index % len(shared)], targets[index % len(targets)]

        def job(x: Tensor = x, explainer: camfast.Explainer = explainer, target: object = target) -> Tensor:
            maps: Tensor = explainer(x, target).maps.detach()  # type: ignore[arg-type]
            return maps

        jobs.append(job)
    _equal_bits(jobs)
    assert not any(len(module._forward_hooks) for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_what_is_measured_on_first_use_is_measured_alike() -> None:
    """Eight threads ask at once for σ, and for the form of the pass that an in-place operation needs."""
    model, calibration, x = _model(), images(8), images()

    def explain(model: nn.Module) -> Callable[[], Tensor]:
        explainer = camfast.Explainer(
            model, "2", "respond", upsample="gaussian", sigma="auto", calibration=calibration
        )  # fmt: skip
        return lambda: explainer(x, 1).maps

    with _one_thread_an_operation():
        alone = explain(model)()
        for _ in range(4):
            together = _in_threads([explain(copy.deepcopy(model))] * THREADS)
            assert all(torch.equal(maps, alone) for maps in together)


def test_explanations_beside_predictions_and_a_failing_thread() -> None:
    model = _model()
    explainer = camfast.Explainer(model, "1")

    def fail(scores: Tensor) -> Tensor:
        raise ZeroDivisionError

    def failing(x: Tensor) -> Tensor:
        with pytest.raises(ZeroDivisionError):
            explainer(x, fail)
        return x[:, 0]

    def predict(x: Tensor) -> Tensor:
        scores: Tensor = model(x)
        assert scores.requires_grad
        return scores.detach()

    kinds = (lambda x: explainer(x, 1).maps, predict, failing)
    inputs = [images() for _ in range(CALLS)]
    _equal_bits([lambda x=x, kind=kinds[index % 3]: kind(x) for index, x in enumerate(inputs)])
    assert not any(len(module._forward_hooks) for module in model.modules())


def test_a_capture_hears_its_own_thread_only() -> None:
    model, x = _model(), images()
    other = images(3)
    with camfast.capture(model, "1") as captured:
        scores = model(x)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model, other).result()
            pool.submit(camfast.cam, model, other, "1").result()
    expected = camfast.cam(model, x, "1", 1)
    assert torch.allclose(captured.map(scores[:, 1]), expected)


def test_a_model_that_runs_the_layer_in_a_thread_of_its_own() -> None:
    def elsewhere(a: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(inner, a).result()

    inner = nn.ReLU()
    model = sequential(Apply(elsewhere))
    model[2].inner = inner
    with pytest.raises(camfast.CaptureError, match=r"never reached.*another thread"):
        camfast.cam(model, images(), "2.inner")


def test_compiled_parts_run_eagerly_until_the_last_thread_is_done() -> None:
    model = _model()
    model[4] = torch.compile(model[4], backend="eager")
    explainer = camfast.Explainer(model, "4")
    inputs = [images() for _ in range(64)]
    _equal_bits([lambda x=x: explainer(x, 1).maps for x in inputs])
    assert torch._dynamo.eval_frame._stance.stance == "default"
