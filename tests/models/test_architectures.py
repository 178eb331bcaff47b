import pytest
import torch

from camfast import models


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _shape_at(module, layer, inputs):
    shapes = []
    handle = module.get_submodule(layer).register_forward_hook(lambda *args: shapes.append(tuple(args[2].shape)))
    try:
        module(inputs)
    finally:
        handle.remove()
    return shapes[0]


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        (models.cnn1, 33_237_559),
        (models.cnn2, 4_565_559),
        (models.resnet20, 269_722),
        (models.squeezenet1_0, 1_248_424),
    ],
)
def test_parameters_are_those_of_the_papers(factory, parameters):
    with torch.device("meta"):
        assert _count(factory()) == parameters


@pytest.mark.parametrize(("factory", "cells"), [(models.cnn1, 8), (models.cnn2, 4)])
def test_maxpool2_is_the_grid_of_the_window(factory, cells):
    module = factory(classes=5, width=2, hidden=7, side=32)
    inputs = torch.randn(3, 1, 32, 32, 32)
    assert module(inputs).shape == (3, 5)
    assert _shape_at(module, "maxpool2", inputs) == (3, 4, cells, cells, cells)


def test_cnn2_is_cnn1_behind_an_average_pool():
    first, second = models.cnn1(3, 2, 5, 16), models.cnn2(3, 2, 5, 32)
    second.load_state_dict(first.state_dict())
    inputs = torch.randn(2, 1, 32, 32, 32)
    torch.testing.assert_close(second(inputs), first(torch.nn.functional.avg_pool3d(inputs, 2)))


@pytest.mark.parametrize(("factory", "side"), [(models.cnn1, 30), (models.cnn1, 0), (models.cnn2, 36)])
def test_a_side_that_the_pools_would_cut_is_refused(factory, side):
    with pytest.raises(ValueError, match=f"side must be a positive multiple of . *, not {side}|not {side}"):
        factory(side=side)


def test_resnet20_shortcut_subsamples_and_pads_with_zero_channels():
    block = models.resnet20().layer2[0].eval()
    torch.nn.init.zeros_(block.conv2.weight)
    inputs = torch.randn(2, 16, 6, 6)
    out = block(inputs)
    assert torch.equal(out[:, 8:24], inputs[:, :, ::2, ::2].relu())
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_fire9_is_the_rectified_joined_expansion():
    module = models.squeezenet1_0().eval()
    assert _shape_at(module, "fire9", torch.randn(1, 3, 227, 227)) == (1, 512, 13, 13)
    fire = module.fire9
    squeezed = fire.squeeze1x1(torch.randn(1, 512, 5, 5)).relu()
    expected = torch.cat([fire.expand1x1(squeezed).relu(), fire.expand3x3(squeezed).relu()], 1)
    fire.squeeze1x1 = torch.nn.Identity()
    torch.testing.assert_close(fire(squeezed), expected)


def test_meshnet_keeps_the_size_and_sees_63_voxels():
    module = models.meshnet(channels=2, classes=4).double()
    inputs = torch.randn(1, 1, 5, 7, 6, dtype=torch.float64)
    assert module(inputs).shape == (1, 4, 5, 7, 6)
    line = torch.zeros(1, 1, 1, 1, 257, dtype=torch.float64, requires_grad=True)
    module(line)[0, :, 0, 0, 128].sum().backward()
    seen = line.grad[0, 0, 0, 0].nonzero().flatten() - 128
    reach = 1 + 2 + 4 + 8 + 16 + 8 + 4 + 2 + 1
    assert (seen.min(), seen.max()) == (-reach, reach)


def test_meshnet_takes_a_list_of_layers():
    layers = [
        {"op": "conv3d", "name": "first", "kernel": [3, 3, 3], "dilation": [2, 2, 2], "padding": "same"},
        {"op": "relu"},
        {"op": "conv3d", "name": "last", "kernel": [1, 1, 1], "dilation": [1, 1, 1], "padding": "same"},
    ]
    module = models.meshnet(channels=3, classes=2, layers=layers)
    assert [name for name, _ in module.named_children()] == ["first", "activation1", "last"]
    assert isinstance(module.activation1, torch.nn.ReLU)
    assert module.first.dilation == (2, 2, 2)
    with pytest.raises(ValueError, match="'pool'"):
        models.meshnet(layers=[*layers, {"op": "pool"}])
    with pytest.raises(ValueError, match="conv3d"):
        models.meshnet(layers=[{"op": "relu"}])
    with pytest.raises(ValueError, match="gelu"):
        models.meshnet(activation="gelu")


@pytest.mark.parametrize(("dimensions", "size"), [(2, (9, 17)), (2, (8, 8)), (3, (5, 9, 7))])
def test_unet_gives_scores_at_the_size_of_its_input(dimensions, size):
    module = models.unet(dimensions, channels=2, classes=3, width=2, depth=2)
    inputs = torch.randn(1, 2, *size)
    assert module(inputs).shape == (1, 3, *size)
    assert _shape_at(module, "bottleneck", inputs) == (1, 8, *(axis // 4 for axis in size))
    assert _shape_at(module, "decoder.1", inputs)[1] == 2


@pytest.mark.parametrize("arguments", [{"dimensions": 1}, {"depth": 0}, {"width": 0}, {"classes": 0}])
def test_unet_refuses_what_it_cannot_be(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        models.unet(**arguments)
