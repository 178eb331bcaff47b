"""Signed Grad-CAM maps against those of captum, which returns them raw on the layer's grid."""

import pytest
import torch

import camfast

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("relu", [False, True])
def test_gradcam_agrees(captum_attr, network, relu):
    layer = network.model.get_submodule(network.layer)
    inputs = network.inputs.clone().requires_grad_()  # captum warns otherwise
    theirs = captum_attr.LayerGradCam(network.model, layer).attribute(
        inputs, target=network.classes, relu_attributions=relu
    )
    ours = camfast.cam(network.model, network.inputs, layer, network.classes, relu=relu, size="grid")
    assert theirs.min() < 0 or relu
    torch.testing.assert_close(ours, theirs.detach()[:, 0], rtol=0, atol=1e-6 * float(theirs.detach().abs().max()))
