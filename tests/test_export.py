"""Files that hold a network and its explanation: run by other programs, they give what `Explainer` gives."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import camfast

# of the maximum: sums of float32 products in another order
CLOSE = 1e-5


class Volumes(nn.Module):
    """The shape of CNN-1: two dense layers behind a pooling, joined by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2))
        self.first, self.last = nn.Linear(4 * 64, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        y: Tensor = self.last(torch.relu(self.first(x.view(x.size(0), -1))))
        return y


def squeezed() -> nn.Sequential:
    """The head of SqueezeNet, its convolution padded."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 5, 1, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def _check(found: tuple[Tensor, Tensor], expected: camfast.Explanation) -> None:
    for one, other in zip(found, (expected.scores, expected.maps), strict=True):
        assert one.shape == other.shape
        assert float((one.detach() - other).abs().max()) < CLOSE * float(other.abs().max())


@pytest.mark.parametrize(
    ("method", "target", "options"),
    [
        ("respond", "all", {}),
        ("gradcam", 2, {"upsample": "gaussian", "sigma": 2.0}),
        ("hirescam", "predicted", {"relu": False, "size": "grid"}),
        ("layercam", [3, 1], {"size": (5, 7, 9)}),
        ("extended", 0, {"sigma": (1.0, 2.0, 3.0), "gain": "average"}),
    ],
)
def test_a_program_of_torch(tmp_path: Path, method, target, options) -> None:
    model, images = Volumes().eval(), torch.randn(5, 1, 8, 8, 8)
    path = camfast.export(model, "features", method, target, tmp_path / "net.pt2", example=images[:1], **options)
    program = torch.export.load(path)
    assert not [node for node in program.graph.nodes if "camfast" in str(node.target)]
    _check(program.module()(images), camfast.Explainer(model, "features", method, **options)(images, target))


@pytest.mark.parametrize("name", ["squeezed", "resnet20", "volumes"])
@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec:FutureWarning")  # torch's exporter, of its own pytrees
def test_onnx(tmp_path: Path, name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    gaussian = {"upsample": "gaussian", "sigma": 2.0}
    model, layer, images, method, options = {
        "squeezed": (squeezed(), "1", torch.randn(3, 3, 9, 7), "layercam", {}),
        "resnet20": (camfast.models.resnet20(), "layer3", torch.randn(3, 3, 32, 32), "gradcam", {}),
        "volumes": (Volumes(), "features", torch.randn(3, 1, 8, 8, 8), "respond", gaussian),
    }[name]  # fmt: skip
    model.eval()
    path = camfast.export(model, layer, method, "all", tmp_path / "net.onnx", example=images[:1], **options)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["camfast.method"] == method
    found = tuple(map(torch.from_numpy, session.run(None, {"inputs": images.numpy()})))
    _check(found, camfast.Explainer(model, layer, method, **options)(images, "all"))


class _Headed(nn.Module):
    """A head in functions behind the layer "trunk"."""

    def __init__(self, head) -> None:
        super().__init__()
        self.trunk, self.last, self.head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Linear(4, 5), head

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self, self.trunk(x))
        return y


class _Signed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def _pooled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


HEADS_REFUSED = {
    "sliced scores": (_Headed(lambda net, a: net.last(a.mean((2, 3)))[:, :3]), "getitem"),
    "one position": (_Headed(lambda net, a: net.last(a[:, :, 0, 0])), "getitem"),
    "branches": (_Headed(lambda net, a: net.last(a.mean((2, 3)) + a.mean((2, 3)))), "mean_1"),
    "window": (_pooled(nn.AvgPool2d(5)), r"\(AvgPool2d\)"),  # one window, which leaves a part of the grid out
    "wrapped": (_pooled(nn.Conv2d(5, 5, 1, padding=1, padding_mode="circular")), r"\(Conv2d\)"),
    "values": (_pooled(_Signed()), "can't trace it"),
}


@pytest.mark.parametrize("name", HEADS_REFUSED)
def test_heads_without_closed_form_are_refused_by_name(tmp_path: Path, name: str) -> None:
    model, step = HEADS_REFUSED[name]
    layer = "trunk" if isinstance(model, _Headed) else "0"
    with pytest.raises(camfast.SplitError, match=rf"the head can't be exported.*{step}"):
        camfast.export(model.eval(), layer, "respond", 1, tmp_path / "net.pt2", example=torch.randn(2, 3, 9, 7))
    assert list(tmp_path.iterdir()) == []


def test_a_fixed_batch_of_one(tmp_path: Path) -> None:
    model, image = squeezed().eval(), torch.randn(1, 3, 9, 7)
    path = camfast.export(model, "1", "gradcam", 2, tmp_path / "net.pt2", example=image, dynamic_batch=False)
    _check(torch.export.load(path).module()(image), camfast.Explainer(model, "1", "gradcam")(image, 2))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    images = torch.randn(2, 3, 9, 7)

    def write(model: nn.Module, method: str = "respond", target: object = 1, name: str = "net.pt2") -> None:
        camfast.export(model, "1", method, target, tmp_path / name, example=images)

    bent = nn.Sequential(*squeezed(), nn.Tanh()).eval()
    with pytest.raises(camfast.SplitError, match=r"linear layers.*\(Tanh\)"):
        write(bent)
    with pytest.raises(ValueError, match=r"must end in .onnx or .pt2, found 'net.txt'"):
        write(squeezed().eval(), name="net.txt")
    with pytest.raises(ValueError, match="maps of gradients"):
        write(squeezed().eval(), "eigencam")
    with pytest.raises(ValueError, match="training mode"):
        write(squeezed().train())
    with pytest.raises(TypeError, match="'predicted', 'all', a class or a list"):
        write(squeezed().eval(), target=lambda scores: scores[:, 0])
    with pytest.raises(ValueError, match="target=7 is out of range"):
        write(squeezed().eval(), target=7)
    assert list(tmp_path.iterdir()) == []
