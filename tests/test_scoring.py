"""Scores without a graph: the model and its mode stay as they were, in every mode and on several threads."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.progress import Bar
from camfast.scoring import Scorer, derived_seed


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4)).eval()


def _fixed_values(model: nn.Module, inputs: Tensor, changed: Tensor, target: object) -> Tensor:
    scorer = Scorer(model, batch=2, target=target)
    fixed = scorer.fix(inputs)
    rows = torch.arange(len(inputs))
    with Bar(len(inputs), "", shown=False) as bar:
        return scorer.values(lambda numbers: changed[numbers], rows, fixed, bar)


def test_a_target_is_fixed_by_the_unchanged_inputs() -> None:
    model, inputs, changed = _model(), torch.randn(5, 1, 8), torch.randn(5, 1, 8)
    before, after = model(inputs), model(changed)
    classes = before.argmax(1)
    assert not torch.equal(classes, after.argmax(1))
    found = _fixed_values(model, inputs, changed, "predicted")
    assert torch.allclose(found[:, 0], after.gather(1, classes[:, None])[:, 0], atol=1e-6)
    assert torch.allclose(_fixed_values(model, inputs, changed, "all"), after, atol=1e-6)
    assert torch.allclose(_fixed_values(model, inputs, changed, [3, 1]), after[:, [3, 1]], atol=1e-6)
    units = [camfast.Unit("0", (2, 5)), camfast.Unit(model[1], (0, 0))]  # the ReLU behind leaves "0" as it is
    expected = torch.stack([model[0](changed)[:, 2, 5], model[:2](changed)[:, 0, 0]], 1)
    assert torch.allclose(_fixed_values(model, inputs, changed, units), expected, atol=1e-6)


@pytest.mark.parametrize("target", ["predicted", 2, torch.tensor([3, 0, 1])])
def test_batches_of_known_classes_ask_nothing_of_the_device(target: object, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = _model(), torch.randn(3, 1, 8)
    scorer = Scorer(model, batch=2, target=target)
    fixed = scorer.fix(inputs)

    def waits(tensor: Tensor) -> int:
        raise AssertionError(f"a number of {tensor} is asked for")

    for name in ("__index__", "__int__", "__bool__", "item", "tolist"):
        monkeypatch.setattr(Tensor, name, waits)
    with Bar(3, "", shown=False) as bar:
        found = scorer.values(lambda numbers: inputs[numbers], torch.arange(3), fixed, bar)
    monkeypatch.undo()
    assert torch.allclose(found, fixed.reference, atol=1e-6)


def test_a_unit_in_front_of_an_in_place_relu() -> None:
    model = nn.Sequential(nn.Conv1d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten()).eval()
    inputs = torch.randn(6, 1, 8)
    found = _fixed_values(model, inputs, inputs, camfast.Unit("0", (1, 1)))
    assert torch.allclose(found[:, 0], model[0](inputs)[:, 1, 1], atol=1e-6)
    assert float(found.min()) < 0


def test_no_graph_no_hook_no_gradient_and_no_statistics() -> None:
    model = nn.Sequential(nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.Flatten()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(camfast.TrainingModeWarning, match="BatchNorm1d"):
        scorer = Scorer(model, target=camfast.Unit("0", (0, 0)))
    found = scorer(torch.randn(4, 1, 8))
    assert not found.scores.requires_grad
    assert not found.units["0"].requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(not module._forward_hooks for module in model.modules())
    with pytest.raises(RuntimeError):
        scorer(torch.randn(4, 2, 8))
    assert all(not module._forward_hooks for module in model.modules())


def test_wrapped_models_and_outputs_that_must_be_found() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _model()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.inner(x)}

    model, inputs = Wrapped().eval(), torch.randn(3, 1, 8)
    expected = model.inner(inputs)
    scorer = Scorer(nn.DataParallel(model), lambda result: result["logits"])
    assert torch.allclose(scorer(inputs).scores, expected)
    with pytest.raises(camfast.CaptureError, match="the model returned dict, not a tensor: pass output="):
        Scorer(model)(inputs)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, found function"):
        Scorer(lambda x: x)  # type: ignore[arg-type]


def test_inside_inference_mode_and_on_threads() -> None:
    model, inputs = _model(), torch.randn(4, 1, 8)
    target = camfast.Unit("1", (0, 3))
    expected = camfast.occlusion(model, inputs, target, window=2)
    with torch.inference_mode():
        assert torch.equal(camfast.occlusion(model, inputs, target, window=2), expected)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: camfast.occlusion(model, inputs, target, window=2), range(12)):
            assert torch.equal(found, expected)


def test_seeds_are_unlike() -> None:
    seeds = {derived_seed(seed, place, draw) for seed in range(5) for place in range(20) for draw in range(20)}
    assert len(seeds) == 2000
    assert min(seeds) > 10**6
    assert max(seeds) < 2**63
