"""What camfast says to a person who is about to be misled, or has made a common mistake."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast


def _model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(256, 5)
    )


def test_training_mode_is_said() -> None:
    images = torch.randn(2, 3, 8, 8)
    with pytest.warns(camfast.TrainingModeWarning, match=r"BatchNorm2d and Dropout .* call model.eval\(\) first"):
        camfast.cam(_model().train(), images, "2")
    for explain in (camfast.Explainer(_model().train(), "2"), lambda x: camfast.cam(_model().train(), x, "2")):
        with pytest.warns(camfast.TrainingModeWarning) as caught:
            explain(images)
        assert [warning.filename for warning in caught] == [__file__]
    camfast.cam(_model().eval(), images, "2")  # a warning would be an error here


def test_training_mode_is_wanted_where_a_graph_is_kept() -> None:
    maps = camfast.cam(_model().train(), torch.randn(2, 3, 8, 8), "2", create_graph=True)
    assert maps.requires_grad


def test_a_numpy_array_is_named() -> None:
    with pytest.raises(TypeError, match=r"inputs is a numpy array: pass torch.from_numpy\(inputs\)"):
        camfast.cam(_model().eval(), np.zeros((1, 3, 8, 8), np.float32), "2")


@pytest.mark.parametrize(
    "inputs", [torch.randn(8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)], ids=["axes", "dtype"]
)
def test_an_error_of_the_model_tells_what_it_was_run_on(inputs: torch.Tensor) -> None:
    with pytest.raises(RuntimeError) as caught:
        camfast.cam(_model().eval(), inputs, "2")
    name = str(inputs.dtype).removeprefix("torch.")
    assert f"camfast ran the model on inputs of {name} {tuple(inputs.shape)}" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (torch.randn(2, 1, 8, 8), "the first convolution, '0', takes (N, 3, *S), found (2, 1, 8, 8)"),
        (torch.randn(2, 3, 8), "the first convolution, '0', takes (N, C, *S) with 2 spatial axes, found (2, 3, 8)"),
        (torch.randn(2, 3, 9, 9), None),  # the linear layer's matter
    ],
)
def test_an_error_of_the_model_tells_what_it_takes(inputs: torch.Tensor, expected: str | None) -> None:
    with pytest.raises(RuntimeError) as caught:
        camfast.cam(_model().eval(), inputs, "2")
    assert caught.value.__notes__[1:] == ([] if expected is None else [expected])


@pytest.mark.parametrize("argument", ["output", "layer_output", "reshape"])
def test_a_function_is_asked_for(argument: str) -> None:
    with pytest.raises(TypeError, match=f"{argument} must be a function of what it is given, found 'logits'"):
        camfast.Explainer(_model(), "2", **{argument: "logits"})  # type: ignore[arg-type]


def test_a_component_is_a_whole_number() -> None:
    with pytest.raises(TypeError, match=r"component wants a whole number, .*found \(3, 3\)"):
        camfast.component((3, 3))  # type: ignore[arg-type]


def test_a_numpy_mask_is_a_mask() -> None:
    scores, mask = torch.randn(2, 3, 4, 5), np.zeros((4, 5), bool)
    mask[1:3, 2] = True
    expected = scores[:, 1, 1:3, 2].sum(1)
    assert torch.allclose(camfast.Region(1, mask).total(scores), expected)


def test_an_explanation_prints_shapes_not_tensors() -> None:
    result = camfast.Explainer(_model().eval(), ["0", "2"])(torch.randn(2, 3, 8, 8), "all")
    shown = repr(result)
    assert "maps={'0': float32 (2, 5, 8, 8), '2': float32 (2, 5, 8, 8)}" in shown
    assert "scores=float32 (2, 5)" in shown
    assert "tensor(" not in shown


def test_the_methods_are_explained_where_one_looks_for_them() -> None:
    explained = camfast.methods.__doc__ or ""
    for name in camfast.methods():
        assert f"        {name} " in explained
