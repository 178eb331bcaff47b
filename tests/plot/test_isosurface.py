"""Surfaces in space lie where the values are, closed at the box, and each says its value."""

import sys

import numpy as np
import pytest
import torch

from camfast import plot
from camfast.errors import InputError

SHAPE = (20, 24, 28)


def distances(centre, shape=SHAPE):
    """Distance of every voxel's centre from a point, (z, y, x) in voxels."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return np.linalg.norm(places - np.array(centre), axis=-1)


@pytest.fixture
def ball():
    """Falls off linearly: 10 at the centre, 0 at a distance of 10 voxels, negative beyond."""
    return (10 - distances((9.0, 11.0, 14.0))).astype(np.float32)


def triangles(figure):
    """Corners (n, 3, 3) as x, y, z of everything drawn, and the colours (n, 4)."""
    (collection,) = figure.axes[0].collections
    faces = getattr(collection, "_faces", None)  # matplotlib has no public way to ask, and two private ones
    corners = np.asarray(collection._vec[:3].T if faces is None else faces)
    return corners.reshape(-1, 3, 3), np.asarray(collection._facecolor3d)


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_surface_lies_where_the_level_is(ball, sign):
    figure = plot.isosurface(torch.from_numpy(sign * ball), level=sign * 5.0, voxel_angstrom=(10.0, 20.0, 30.0))
    corners = triangles(figure)[0].reshape(-1, 3)
    centres = corners[:, ::-1] / (10.0, 20.0, 30.0) - 0.5  # voxel 0 reaches from 0 to 1
    radii = np.linalg.norm(centres - (9.0, 11.0, 14.0), axis=1)
    # linear interpolation between voxels of a cone is off by at most its curvature, 1/(8 r)
    np.testing.assert_allclose(radii, 5.0, atol=0.05)
    assert labels(figure) == ["density, 5" if sign > 0 else "density, −5"]
    spans = figure.legends[0].get_title().get_text()
    assert spans == "what is drawn spans 30 × 20 × 10 nm (x, y, z)"


def test_contours_have_the_colour_of_their_sign(ball):
    near, far = 6 - distances((9.0, 8.0, 8.0)), distances((9.0, 14.0, 20.0)) - 4
    cam = np.where(near > 0, near, np.where(far < 0, far, 0)).astype(np.float32)  # up to +6 and down to −4
    figure = plot.isosurface(ball, cam, level=2.0, cam_levels=(0.25, 0.5))
    assert labels(figure) == ["density, 2", "map, +1.5", "map, +3", "map, −1.5", "map, −3"]
    corners, colors = triangles(figure)
    red, blue = colors[:, 0] > 2 * colors[:, 2], colors[:, 2] > 2 * colors[:, 0]
    assert red.sum() > 100
    assert blue.sum() > 50
    for chosen, centre, reach in ((red, (9.0, 8.0, 8.0), 6), (blue, (9.0, 14.0, 20.0), 4)):
        places = corners[chosen].reshape(-1, 3)[:, ::-1] - 0.5
        assert np.linalg.norm(places - centre, axis=1).max() < reach
    assert len(np.unique(colors[red][:, 3])) == 2  # the higher level is the denser one


def test_a_map_of_one_sign_has_contours_of_one_sign(ball):
    assert labels(plot.isosurface(ball, np.maximum(ball, 0), level=2.0)) == ["density, 2", "map, +5"]
    assert len(labels(plot.isosurface(ball, np.zeros_like(ball), level=2.0))) == 1


def test_surfaces_are_closed_at_the_faces_of_the_box():
    slab = np.zeros((10, 10, 10), np.float32)
    slab[:, :, 4:6] = 1.0  # runs through the box
    corners, _ = triangles(plot.isosurface(slab, level=0.5))
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    assert corners.reshape(-1, 3)[:, 2].min() == 0.0
    assert corners.reshape(-1, 3)[:, 2].max() == 10.0
    _, counts = np.unique(edges.round(6).reshape(len(edges), -1), axis=0, return_counts=True)
    assert (counts % 2 == 0).all()  # every edge belongs to two triangles


def test_otsu_finds_the_particle():
    rng = np.random.default_rng(0)
    volume = (distances((10.0, 10.0, 10.0), (20, 20, 20)) < 5) + 0.05 * rng.normal(size=(20, 20, 20))
    (label,) = labels(plot.isosurface(volume))
    assert 0.1 < float(label.split()[-1]) < 0.9  # any value there parts 0 and 1 with noise of 0.05


def test_large_surfaces_are_thinned(monkeypatch):
    volume = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    whole = len(triangles(plot.isosurface(volume, level=0.5))[0])
    monkeypatch.setattr(sys.modules["camfast.plot.isosurface"], "MOST_TRIANGLES", whole // 2)
    assert len(triangles(plot.isosurface(volume, level=0.5))[0]) <= whole // 2


def test_a_rerun_gives_the_same_bytes(ball, tmp_path):
    for name in ("a.png", "b.png"):
        plot.save(plot.isosurface(ball, ball, level=5.0, dark=True), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"level": 11.0}, "level is 11.0, and the density lies between"),
        ({"volume": np.ones((4, 4, 4))}, "level is None, and the density lies between 1 and 1"),
        ({"volume": np.ones((4, 4))}, r"the volume has the shape \(4, 4\), expected \(z, y, x\)"),
        ({"volume": np.full((4, 4, 4), np.nan)}, "the volume holds NaN or infinite values"),
        ({"cam": np.ones((4, 4, 4))}, r"the volume has the shape \(20, 24, 28\) and the map \(4, 4, 4\)"),
        ({"cam_levels": (0.5, 1.0)}, r"cam_levels are \(0.5, 1.0\)"),
    ],
)
def test_what_does_not_fit_is_refused(ball, changes, says):
    with pytest.raises(InputError, match=says):
        plot.isosurface(**{"volume": ball, **changes})


@pytest.mark.parametrize("view", [(20.0, -60.0), (0.0, -90.0), (90.0, 0.0)])
@pytest.mark.parametrize("shape", [(12, 12, 12), (8, 8, 40), (40, 8, 8)])
def test_surfaces_fill_the_panel_and_none_is_cut(shape, view):
    volume = np.zeros(shape, np.float32)
    volume[1:-1, 1:-1, 1:-1] = 1
    figure = plot.isosurface(volume, level=0.5, view=view)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (surface,) = axes.collections
    corners = np.concatenate([path.vertices for path in surface.get_paths()])
    seen = np.abs(2 * axes.transAxes.inverted().transform(axes.transData.transform(corners)) - 1).max()
    assert seen == pytest.approx(0.95, abs=0.04)  # found in a few steps
