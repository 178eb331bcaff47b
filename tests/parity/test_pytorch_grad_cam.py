"""Maps against those of pytorch-grad-cam, after the scaling that it can't be asked to leave out.

Its order: ReLU on the grid, scaling of each map to 0…1 on the grid, resizing by cv2, scaling to 0…1 again. camfast ends
with the raw map, resized from the raw grid; so its result goes through the peer's own scaling, twice:

- on the grid (the peer told that the target size is the grid's, where cv2 copies) both then have gone the same way;
- at the size of the input camfast resizes before the first scaling, the peer after it. Linear resizing commutes with
  scaling up to rounding, and up to the 1e-7 that the peer adds to the maximum, which the second scaling takes out.

`gradcam++` is compared on scores × 10⁴: the peer adds 1e-6 to the denominator of α, which outweighs small gradients.
Earlier layers need a larger factor: 4e-4 of that term are left on SqueezeNet's fire8, 3e-5 on ResNet-20's layer2.
"""

import itertools
from types import ModuleType

import numpy as np
import pytest
from torch import Tensor, nn

import camfast

pytestmark = pytest.mark.parity

PEERS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "elementwise": "GradCAMElementWise",
}
# The peer leaves the sign of a singular vector to LAPACK, and shows what is positive then.
COMPONENTS = {"eigencam": "EigenCAM", "eigengradcam": "EigenGradCAM"}
TOLERANCE = 1e-5


class _Scaled(nn.Module):
    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model = model
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.model(x)


def _model(network, method: str) -> tuple[nn.Module, nn.Module]:
    layer = network.model.get_submodule(network.layer)
    return (_Scaled(network.model, 1e4) if method == "gradcam++" else network.model), layer


def _peer_maps(peer: ModuleType, network, method: str, size: tuple[int, int]) -> np.ndarray:
    model, layer = _model(network, method)
    targets = [peer.utils.model_targets.ClassifierOutputTarget(index) for index in network.classes.tolist()]
    with getattr(peer, {**PEERS, **COMPONENTS}[method])(model, [layer]) as cam:
        cam.get_target_width_height = lambda _inputs: size[::-1]
        return cam(network.inputs, targets)


def _scaled(peer: ModuleType, maps: Tensor) -> np.ndarray:
    scale = peer.utils.image.scale_cam_image
    return scale(scale(maps.numpy()))


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.parametrize("at", ["grid", "input"])
def test_maps_agree(peer, network, method, at):
    model, layer = _model(network, method)
    explained = camfast.Explainer(model, layer, method)(network.inputs, network.classes)
    ours = explained.grid if at == "grid" else explained.maps
    size = tuple(ours.shape[1:])
    theirs = _peer_maps(peer, network, method, size)
    assert theirs.shape == ours.shape
    assert (theirs.max(axis=(1, 2)) > 0.99).all(), "a map of zeros agrees with anything"
    np.testing.assert_allclose(_scaled(peer, ours), theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("method", COMPONENTS)
def test_components_agree_up_to_their_sign(peer, network, method):
    model, layer = _model(network, method)
    explained = camfast.Explainer(model, layer, method, centre=True)(network.inputs, network.classes)
    theirs = _peer_maps(peer, network, method, tuple(explained.grid.shape[1:]))
    either = [_scaled(peer, (sign * explained.grid).relu()) for sign in (1, -1)]
    away = [np.abs(ours - theirs).max(axis=(1, 2)) for ours in either]
    assert (np.minimum(*away) < 10 * TOLERANCE).all()  # the peer's SVD is in float32
    assert (np.maximum(*away) > 0.1).all(), "a map that is its own negative agrees with anything"


def test_the_methods_can_be_told_apart(peer, network):
    """Agreement of six methods says little on a network where they all give the same map."""
    maps = {method: _peer_maps(peer, network, method, (16, 16)) for method in PEERS}
    alike = {(a, b) for a, b in itertools.combinations(PEERS, 2) if np.abs(maps[a] - maps[b]).max() < 100 * TOLERANCE}
    assert alike == network.alike
