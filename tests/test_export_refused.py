"""What is said where nothing can be written, and what is left where the written file is wrong."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.export import writing
from camfast.export.steps import chain


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


@pytest.mark.parametrize(
    ("example", "kind", "words"),
    [
        (torch.ones(1, 3, 6, 6, dtype=torch.float64), TypeError, r"must be a float32 tensor .*, found torch\.float64"),
        ([[1.0]], TypeError, r"must be a float32 tensor \(N, C, \*S_in\), found list"),
        (torch.ones(0, 3, 6, 6), ValueError, "example holds no sample: one at least is needed"),
    ],
)
def test_examples_that_are_none(tmp_path: Path, example: object, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        camfast.export(network(), "1", "gradcam", 1, tmp_path / "net.pt2", example=example)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_gives_something_else_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(program: object, path: Path, notes: dict[str, str], inputs: Tensor) -> tuple[Tensor, Tensor]:
        scores, maps = good(program, path, notes, inputs)
        assert path.exists()
        return scores, maps + 0.1 * maps.abs().max()

    good = writing._pt2
    monkeypatch.setattr(writing, "_pt2", wrong)
    with pytest.raises(
        camfast.SplitError, match=r"net\.pt2: what it returns as maps differs by .* that Explainer gives"
    ):
        camfast.export(network(), "1", "gradcam", 1, tmp_path / "net.pt2", example=torch.randn(2, 3, 6, 6))
    assert list(tmp_path.iterdir()) == []


def test_without_a_runtime_the_file_is_written_and_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's exporter pretends, as test_export.py has the real one, which takes seconds."""
    notes: dict[str, str] = {}
    model = SimpleNamespace(metadata_props=notes)
    written = SimpleNamespace(model=model, save=lambda path: path.write_bytes(b"a graph"))
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: written)
    for name, module in (("onnx", model), ("onnxscript", model), ("onnxruntime", None)):
        monkeypatch.setitem(sys.modules, name, module)
    path = camfast.export(network(), "1", "gradcam", 1, tmp_path / "net.onnx", example=torch.randn(2, 3, 6, 6))
    assert path.read_bytes() == b"a graph"
    assert (notes["camfast.method"], notes["camfast.layer"], notes["camfast.target"]) == ("gradcam", "1", "1")


class _Aside(nn.Module):
    """Returns what it had before its last step."""

    def forward(self, x: Tensor) -> Tensor:
        scores = x.flatten(1)
        torch.relu(scores)
        return scores


def test_heads_that_return_something_else() -> None:
    features = torch.randn(2, 4, 3, 3)
    with pytest.raises(camfast.SplitError, match="it doesn't return the output of its last step, relu"):
        chain(_Aside(), features)
    with pytest.raises(camfast.SplitError, match=r"it returns \(2, 4, 1, 1\), expected scores \(N, C\)"):
        chain(nn.AdaptiveAvgPool2d(1), features)
    with pytest.raises(camfast.SplitError, match=r"it returns \(2, 4, 3, 3\), expected scores \(N, C\)"):
        chain(nn.Identity(), features)
