"""A sweep's maps stand over the image cell by cell, with what is said of each layer below."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast import plot
from camfast.errors import InputError

CONVOLUTIONS, POOLS = {2: nn.Conv2d, 3: nn.Conv3d}, {2: nn.MaxPool2d, 3: nn.MaxPool3d}
SIZES = {2: (16, 23), 3: (12, 16, 20)}


def segmenter(rank):
    conv = CONVOLUTIONS[rank]
    return nn.Sequential(
        conv(1, 4, 3, padding=1), nn.ReLU(), POOLS[rank](4), nn.Upsample(size=SIZES[rank]), conv(4, 2, 1)
    )


def swept(rank, target, samples=2, relu=False, layers=("1", "2")):
    inputs = torch.rand(samples, 1, *SIZES[rank])
    found = camfast.layer_sweep(segmenter(rank), inputs, list(layers), target, method="hirescam", relu=relu)
    return inputs, found


def point(rank):
    return camfast.Region(1, (5,) * rank)


def test_every_cell_is_a_rectangle_of_the_image():
    inputs, found = swept(2, point(2))
    figure = plot.sweep(inputs[1, 0], found, sample=1, title="point")
    image, fine, coarse = figure.axes[:3]
    np.testing.assert_array_equal(image.images[0].get_array(), inputs[1, 0])
    for panel, layer in ((fine, found["1"]), (coarse, found["2"])):
        under, over = panel.images
        np.testing.assert_array_equal(under.get_array(), inputs[1, 0])
        np.testing.assert_array_equal(over.get_array(), layer.maps[1])
        assert over.get_extent() == [-0.5, 22.5, 15.5, -0.5]
        assert over.get_interpolation() == "nearest"
        limit = float(layer.maps[1].abs().max())
        low = -limit if layer.maps[1].min() < 0 else 0.0
        assert (over.norm.vmin, over.norm.vmax) == pytest.approx((low, limit))
        assert panel.get_xlim() == (-0.5, 22.5)
        assert panel.get_ylim() == (15.5, -0.5)
    assert [panel.get_title() for panel in (image, fine, coarse)] == [
        "image",
        "1\n16 × 23 cells of 1 px",
        "2\n4 × 5 cells of 4 × 4.6 px",
    ]
    assert figure.get_suptitle() == "point"


def test_what_is_said_of_a_region():
    inputs, found = swept(2, camfast.Region(1, (slice(4, 6), slice(5, 7))))
    figure = plot.sweep(inputs[0, 0], found)
    fine, coarse = figure.axes[1:3]
    ends, about = fine.get_xlabel().split("\n")
    assert about == f"4 cells, {100 * float(found['1'].inside[0]):.0f} % inside"
    largest = float(found["1"].maps[0].abs().max())
    assert float(ends.split(" to ")[1]) == pytest.approx(largest, rel=0.05)  # two digits
    # 4 pixels of 368 on 20 cells
    assert coarse.get_xlabel().split("\n")[1].startswith("0.22 cells: too small, ")
    assert [panel.spines["left"].get_visible() for panel in figure.axes[:3]] == [False, False, True]
    assert coarse.spines["left"].get_linestyle() == "--"
    assert "dashed frame: a cell is larger than the region" in figure.get_supxlabel()
    for panel in figure.axes[:3]:  # the box from 4 to 6 and 5 to 7, whose pixels reach half a pixel farther
        line = np.concatenate(panel.collections[0].get_paths()[0].to_polygons())
        np.testing.assert_allclose(line.min(0), [4.5, 3.5])
        np.testing.assert_allclose(line.max(0), [6.5, 5.5])


@pytest.mark.parametrize("dark", [False, True])
def test_empty_maps_and_classes(dark):
    _, found = swept(2, lambda scores: scores.mean((1, 2, 3)), relu=True)
    layer = found.layers[1]
    empty = dataclasses.replace(layer, maps=0 * layer.maps, empty=torch.tensor([True, True]))
    found = dataclasses.replace(found, layers=(found.layers[0], empty), failures={"9": "never reached"})
    figure = plot.sweep(np.zeros((16, 23)), found, dark=dark)
    assert figure.axes[2].get_xlabel() == "empty"
    assert "\n" not in figure.axes[1].get_xlabel()
    assert not any(panel.collections for panel in figure.axes[:3])  # no outline
    assert figure.get_supxlabel().splitlines() == [
        "hirescam, each map on a scale of its own, whose ends stand below it",
        "without a map: 9",
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("plane", [None, 0, 11, "max"])
def test_of_volumes_the_cells_that_the_slice_cuts(axis, plane):
    inputs, found = swept(3, point(3))
    panels = plot.sweep(inputs[0, 0], found, plane=plane, axis=axis, voxel_angstrom=(10.0, 10.0, 10.0)).axes
    volume, extent = inputs[0, 0].numpy(), SIZES[3][axis]
    for panel, layer in zip(panels[1:3], found.layers, strict=True):
        heat = layer.maps[0].numpy()
        if plane == "max":
            under = volume.mean(axis)
            expected = np.take_along_axis(heat, np.abs(heat).argmax(axis, keepdims=True), axis).squeeze(axis)
        else:
            z = extent // 2 if plane is None else plane
            under = volume.take(z, axis)
            expected = heat.take(z // (extent // layer.grid[axis]), axis)  # cells of 1 or 4 voxels
        turn = np.transpose if axis == 2 else np.asarray
        np.testing.assert_allclose(panel.images[0].get_array(), turn(under), atol=1e-6)  # the mean is float64 inside
        np.testing.assert_array_equal(panel.images[1].get_array(), turn(expected))
        cut = plane == "max" or z == 5
        assert len(panel.collections) == int(cut)
    titles = [" ".join(panel.get_title().split()) for panel in panels[1:3]]  # broken into lines in a narrow panel
    assert titles == ["1 12 × 16 × 20 cells of 1 voxel", "2 3 × 4 × 5 cells of 4 voxels"]
    assert len(panels[0].texts) == 1


def test_many_layers_are_wrapped_and_reruns_are_equal(tmp_path):
    model = nn.Sequential(*[nn.Conv2d(1, 1, 1) for _ in range(7)], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    image = torch.rand(1, 1, 8, 8)
    found = camfast.layer_sweep(model, image, list("0123456"), 0, relu=False)
    figures = [plot.sweep(image[0, 0], found) for _ in range(2)]
    assert [panel.get_title().partition("\n")[0] for panel in figures[0].axes[:8]] == ["image", *"0123456"]
    assert len(figures[0].axes) == 9  # and the bar
    for figure, name in zip(figures, ("a.png", "b.png"), strict=True):
        plot.save(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sample": 2}, "sample is 2, and the sweep has 2, counted from 0"),
        ({"image": np.zeros((23, 16))}, r"image has the shape \(23, 16\), and the sweep an input of \(16, 23\)"),
        ({"image": np.zeros((16, 23, 4))}, r"image has the shape \(16, 23, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(changes, says):
    inputs, found = swept(2, point(2))
    with pytest.raises(InputError, match=says):
        plot.sweep(**{"image": inputs[0, 0], "sweep": found, **changes})


def test_planes_and_ranks_that_are_not_there():
    inputs, found = swept(3, point(3), samples=1)
    with pytest.raises(InputError, match="plane is 12, expected None, 'max' or a slice from 0 to 11 along z"):
        plot.sweep(inputs[0, 0], found, plane=12)
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten())
    line = torch.rand(1, 1, 9)
    with pytest.raises(InputError, match=r"and the sweep an input of \(9,\) and the grids 1: \(7,\)"):
        plot.sweep(line[0, 0], camfast.layer_sweep(model, line, ["1"], 0))
