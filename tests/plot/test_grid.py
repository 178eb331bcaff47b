"""Maps side by side: the right values in the right place, on scales that are said, of images and volumes."""

import numpy as np
import pytest
import torch

from camfast import plot
from camfast.errors import InputError

ROWS, COLUMNS = ["gradcam", "respond"], ["cat", "dog", "tree"]


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)


@pytest.fixture
def maps():
    """The first row positive, the second signed and ten times as large."""
    values = np.random.default_rng(1).normal(size=(2, 3, 8, 12)).astype(np.float32)
    return np.stack([np.abs(values[0]), 10 * values[1]])


def panels(figure, rows=2, columns=4):
    """Panels row by row; colour bars come behind them."""
    return np.array(figure.axes[: rows * columns]).reshape(rows, columns)


def test_every_map_stands_in_its_place_over_the_image(image, maps):
    axes = panels(plot.grid(image, torch.from_numpy(maps), rows=ROWS, columns=COLUMNS))
    for row in range(2):
        np.testing.assert_array_equal(axes[row, 0].images[0].get_array(), image)
        assert len(axes[row, 0].images) == 1
        for column in range(3):
            under, over = axes[row, column + 1].images
            np.testing.assert_array_equal(under.get_array(), image)
            np.testing.assert_array_equal(over.get_array(), maps[row, column])
    assert [one.get_title() for one in axes[0]] == ["image", *COLUMNS]
    assert [one.get_ylabel() for one in axes[:, 0]] == ROWS


def test_an_image_a_row_and_none_alone(image, maps):
    colour = np.random.default_rng(2).integers(0, 255, (8, 12, 3)).astype(np.uint8)
    figure = plot.grid([image, colour], list(maps), rows=ROWS, columns=COLUMNS, show_image=False, desaturate=0)
    axes = panels(figure, columns=3)
    np.testing.assert_array_equal(axes[0, 2].images[0].get_array(), image)
    np.testing.assert_array_equal(axes[1, 2].images[0].get_array(), colour)
    assert axes[0, 0].get_title() == "cat"


@pytest.mark.parametrize("scale", ["map", "row", "column", "shared"])
def test_scales_are_shared_as_said_and_centred_at_0(image, maps, scale):
    figure = plot.grid(image, maps, rows=ROWS, columns=COLUMNS, scale=scale)
    axes = panels(figure)
    for row in range(2):
        for column in range(3):
            sharing = {"map": maps[row, column], "row": maps[row], "column": maps[:, column], "shared": maps}[scale]
            norm = axes[row, column + 1].images[1].norm
            limit = float(np.abs(sharing).max())
            assert (norm.vmin, norm.vmax) == pytest.approx((-limit if sharing.min() < 0 else 0.0, limit))
            if sharing.min() < 0:
                assert norm(0.0) == 0.5
            below = axes[row, column + 1].get_xlabel()
            assert below == (f"{norm.vmin:.2g} to {norm.vmax:.2g}".replace("-", "−") if scale == "map" else "")
    said = {"map": "each map on a scale of its own, whose ends stand below it", "row": "one scale a row",
            "column": "one scale a column", "shared": "one scale for all maps"}  # fmt: skip
    assert figure.get_supxlabel() == f"class activation maps: {said[scale]}"
    bars = figure.axes[8:]
    assert len(bars) == {"map": 1, "row": 2, "column": 3, "shared": 1}[scale]
    if scale == "map":
        assert [label.get_text() for label in bars[0].get_yticklabels()] == ["−largest", "0", "largest"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_volumes_are_cut_or_projected(axis):
    rng = np.random.default_rng(3)
    volume, maps = rng.normal(size=(4, 5, 6)).astype(np.float32), rng.normal(size=(1, 2, 4, 5, 6)).astype(np.float32)

    def shown(values, along):
        return values if along < 2 else values.T

    for plane, index in ((None, (4, 5, 6)[axis] // 2), (1, 1)):
        axes = panels(plot.grid(volume, maps, rows=["a"], columns=["b", "c"], plane=plane, axis=axis), 1, 3)
        np.testing.assert_array_equal(axes[0, 0].images[0].get_array(), shown(volume.take(index, axis), axis))
        np.testing.assert_array_equal(axes[0, 2].images[1].get_array(), shown(maps[0, 1].take(index, axis), axis))
    axes = panels(plot.grid(volume, maps, rows=["a"], columns=["b", "c"], plane="max", axis=axis), 1, 3)
    np.testing.assert_allclose(axes[0, 0].images[0].get_array(), shown(volume.mean(axis), axis), atol=1e-6)
    high, low = maps[0, 1].max(axis), maps[0, 1].min(axis)
    np.testing.assert_array_equal(axes[0, 2].images[1].get_array(), shown(np.where(high > -low, high, low), axis))


def test_the_scale_bar_of_a_volume_has_the_voxels_of_its_panel():
    volume = np.random.default_rng(3).normal(size=(20, 20, 20))
    for axis, text in ((0, "20 nm"), (2, "2 nm")):  # x is 5 nm a voxel, and z, to the right seen along x, 1 nm
        figure = plot.grid(volume, volume[None, None], rows=["a"], columns=["b"], axis=axis,
                           voxel_angstrom=(10.0, 20.0, 50.0))  # fmt: skip
        assert [label.get_text() for label in figure.axes[0].texts] == [text]


def test_long_labels_are_broken_into_lines_and_none_is_cut(image, maps):
    rows = ["a label that is much longer than its row is high", "taken for\nanother"]
    figure = plot.grid(image, maps, rows=rows, columns=["Egyptian cat of the northern desert"] * 3, title="title")
    axes = panels(figure)
    assert axes[0, 0].get_ylabel().count("\n") >= 2
    assert axes[1, 0].get_ylabel() == "taken for\nanother"
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text


def test_nan_is_seen_and_leaves_the_scale_alone(image, maps):
    maps[0, 0, 3, 4] = np.nan
    drawn = panels(plot.grid(image, maps, rows=ROWS, columns=COLUMNS))[0, 1].images[1]
    colours = drawn.to_rgba(drawn.get_array())
    assert colours[3, 4].tolist() == [1, 0, 1, 1]  # magenta, opaque
    assert drawn.norm.vmax == pytest.approx(np.nanmax(maps[0, 0]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": ["one"]}, r"1 row and 3 column labels .* found rows of \[3, 3\] maps and 1 images"),
        ({"columns": []}, "2 row and 0 column labels"),
        ({"image": [np.zeros((8, 12))]}, "found rows of .* and 1 images"),
        ({"image": np.zeros((8, 11))}, r"image has the shape \(8, 11\) and its maps \[\(8, 12\)\]"),
        ({"scale": "rows"}, "scale is 'rows', expected one of map, row, column, shared"),
    ],
)
def test_what_does_not_fit_is_refused(image, maps, changes, says):
    with pytest.raises(InputError, match=says):
        plot.grid(**{"image": image, "maps": maps, "rows": ROWS, "columns": COLUMNS, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"plane": 4}, "plane is 4, expected None, 'max' or a slice from 0 to 3 along z"), ({"plane": "mean"}, "'mean'"),
     ({"plane": True}, "True"), ({"axis": 3}, "axis is 3, expected 0, 1 or 2 for z, y or x")],
)  # fmt: skip
def test_planes_that_a_volume_does_not_have(changes, says):
    volume = np.zeros((4, 5, 6))
    with pytest.raises(InputError, match=says):
        plot.grid(volume, volume[None, None], rows=["a"], columns=["b"], **changes)
