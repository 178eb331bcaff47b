"""A program of a user: it runs where the wheel is installed, and `mypy --strict` has nothing to say about it."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import camfast
from camfast import live, metrics, models, ops, simulate
from camfast.scan import ScanResult, Volume, read_volume, write_volumes


class Network(nn.Module):
    """Two convolutions, and a class for each of three."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Score images (N, 3, H, W)."""
        scores: Tensor = self.head(self.features(images).mean((2, 3)))
        return scores


def explain(model: nn.Module, images: Tensor) -> Tensor:
    """Maps in one call, again and again, in a step of one's own, and frozen."""
    heat: Tensor = camfast.cam(model, images, "features", target=1, method="respond")
    explainer = camfast.Explainer(model, "features.1", "hirescam", relu=False)
    explained: camfast.Explanation = explainer(images, target="all")
    assert explained.maps.shape == (2, 3, 8, 8)
    frozen: camfast.Frozen = explainer.freeze(images)
    assert torch.equal(frozen(images, target="all").maps, explained.maps)
    with camfast.capture(model, "features") as captured:
        scores = model(images)
    assert torch.allclose(captured.map(scores[:, 1], method="respond"), heat, atol=1e-6)
    region = camfast.Region(1, camfast.predicted(threshold=0.5))
    unit = camfast.Unit("head", 2)
    assert camfast.cam(model, images, "features", target=unit).shape == heat.shape
    assert camfast.saliency(model, images).shape == images.shape
    assert camfast.attentive_response(model, images, "features.1", units=2).values.shape == (2, 8, 8)
    assert isinstance(region, camfast.Region)
    assert "respond" in camfast.methods()
    return heat


def measure(model: nn.Module, images: Tensor) -> float:
    """What a map is worth, and a map without gradients."""
    explained = camfast.Explainer(model, "features", "hirescam", relu=False)(images, target="all")
    grid, scores = explained.grid, explained.scores
    assert isinstance(grid, Tensor)
    l1, _ = metrics.sum_to_score(grid, scores)
    assert camfast.occlusion(model, images, 1, window=4, stride=4).shape == (2, 8, 8)
    return float(l1.mean())


def kernels(activations: Tensor, gradients: Tensor) -> Tensor:
    """The kernels as functions, into an output that exists."""
    out = torch.empty(2, 8, 8)
    ops.fused_cam(activations, gradients, "respond", size=(8, 8), out=out)
    smooth = ops.gaussian_upsample(ops.product_sum(activations, gradients), (8, 8), 2.0, gain="mass")
    names: dict[str, str] = camfast.backends("fused_cam", "cpu")
    assert names["cpu"]
    picture = ops.overlay(torch.rand(2, 8, 8), smooth, low=0.0, high=1.0)
    assert picture.dtype == torch.uint8
    return out


def scan(folder: Path) -> ScanResult:
    """A tomogram, in memory and in a file."""
    network: nn.Module = models.cnn2(classes=2, width=2, hidden=4, side=16).eval()
    explainer = camfast.Explainer(network, "maxpool2", "respond")
    found: ScanResult = camfast.scan(
        torch.randn(24, 24, 24), explainer, window=(16, 16, 16), stride=(8, 8, 8), target=1, progress=False
    )
    volume: Volume = read_volume(np.asarray(found.cam))
    write_volumes(folder / "map.mrc", [volume.data], volume)
    assert read_volume(folder / "map.mrc").shape == (24, 24, 24)
    explained: camfast.Explanation = explainer(torch.randn(1, 1, 16, 16, 16), target=1)
    camfast.save_maps(folder / "maps.safetensors", explained, explainer, volume="simulated")
    assert camfast.read_provenance(folder / "maps.safetensors")["method"] == "respond"
    assert camfast.provenance(explainer, 1)["layer"] == "maxpool2"
    return found


def overlay(model: nn.Module) -> Tensor:
    """One frame of a camera, as the live page shows it."""
    preprocess = models.Preprocess(size=(8, 8))
    pipeline = live.Overlay(
        camfast.Explainer(model, "features"), frame_shape=(16, 16), dtype="uint16", preprocess=preprocess
    )
    rgb, scores = pipeline(np.ones((16, 16), np.uint16))
    assert scores.shape[-1] == 3
    return torch.as_tensor(rgb)


def main() -> None:
    """All of it."""
    torch.manual_seed(0)
    model, images = Network().eval(), torch.rand(2, 3, 8, 8)
    assert explain(model, images).isfinite().all()
    assert measure(model, images) >= 0
    assert kernels(torch.rand(2, 4, 4, 4), torch.rand(2, 4, 4, 4)).shape == (2, 8, 8)
    with tempfile.TemporaryDirectory() as folder:
        assert scan(Path(folder)).cam.shape == (24, 24, 24)
    assert overlay(model).shape == (16, 16, 3)
    assert callable(simulate.tomogram)
    try:
        camfast.cam(model, images, "featurez")
    except (ValueError, camfast.CamfastError) as error:
        print(error)


if __name__ == "__main__":
    main()
