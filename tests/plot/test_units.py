"""An attentive response is drawn with who dominates it, in colours that its legend names."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from camfast import plot
from camfast.backprop import AttentiveResponse
from camfast.errors import InputError


def response(shape, *, maps=True, seed=0):
    """Four units' maps drawn at random, and what follows from them by hand."""
    own = torch.randn(2, 4, *shape, generator=torch.Generator().manual_seed(seed))
    units = torch.tensor([[7, 3, 0, 9], [1, 2, 3, 4]])
    values, place = own.max(1)
    unit = torch.stack([units[n][place[n]] for n in range(2)]).int()
    return AttentiveResponse(values, unit, units, own if maps else None, "conv", "deconvnet", "max", "sum")


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(9, 11)).astype(np.float32)


def test_values_and_units_stand_in_their_place(image):
    found = response((9, 11))
    figure = plot.units(image, found, sample=1, count=2, limit=3.0)
    panels = figure.axes
    titles = ["image", "response of 4 units", "dominant unit", "unit 1", "unit 2"]
    assert [panel.get_title() for panel in panels[:5]] == titles
    np.testing.assert_array_equal(panels[0].images[0].get_array(), image)
    for panel, values in zip((panels[1], panels[3], panels[4]), (found.values[1], *found.maps[1, :2]), strict=True):
        drawn = panel.images[1]
        np.testing.assert_array_equal(drawn.get_array(), values)
        assert (drawn.norm.vmin, drawn.norm.vmax, drawn.norm(0.0)) == (-3.0, 3.0, 0.5)  # centred at 0


@pytest.mark.parametrize("dark", [False, True])
def test_the_dominant_unit_has_its_colour_and_its_part(image, dark):
    found = response((9, 11))
    figure = plot.units(image, found, count=2, limit=2.0, dark=dark)
    colours = np.asarray(figure.axes[2].images[1].get_array())
    patches = figure.legends[0].get_patches()
    unit, answers = found.unit[0].numpy(), np.abs(found.values[0].numpy()) > 0.05 * 2.0
    expected = [(unit == 7) & answers, (unit == 3) & answers, ~np.isin(unit, (7, 3)) & answers]
    for patch, where in zip(patches, expected, strict=True):
        assert where.any()
        np.testing.assert_allclose(colours[where][:, :3], np.tile(to_rgb(patch.get_facecolor()), (where.sum(), 1)))
    assert (colours[~answers][:, 3] == 0).all()
    parts = [round(100 * where.sum() / answers.sum()) for where in expected]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [f"unit 7: {parts[0]} %", f"unit 3: {parts[1]} %", f"others: {parts[2]} %"]
    assert to_rgb(figure.axes[3].title.get_color()) == to_rgb(patches[0].get_facecolor())


@pytest.mark.parametrize("plane", [None, 1, "max"])
def test_of_volumes_a_slice_or_all_of_it(plane):
    found = response((5, 6, 7), maps=False)
    volume = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    panels = plot.units(volume, found, plane=plane, count=4).axes
    values, unit = found.values[0].numpy(), found.unit[0].numpy()
    if plane == "max":
        at = np.abs(values).argmax(0)[None]
        values, unit = (np.take_along_axis(one, at, 0)[0] for one in (values, unit))
    else:
        values, unit = (one[2 if plane is None else plane] for one in (values, unit))
    np.testing.assert_array_equal(panels[1].images[1].get_array(), values)
    limit = panels[1].images[1].norm.vmax
    assert limit == pytest.approx(np.percentile(np.abs(values), 99))
    colours = np.asarray(panels[2].images[1].get_array())
    for one in (7, 3, 0, 9):
        chosen = colours[(unit == one) & (np.abs(values) > 0.05 * limit)]
        assert len(np.unique(chosen, axis=0)) <= 1


def test_a_response_of_zeros_is_drawn_and_reruns_are_equal(image, tmp_path):
    found = response((9, 11))
    silent = AttentiveResponse(0 * found.values, found.unit, found.units, None, "conv", "deconvnet", "max", "sum")
    assert (plot.units(image, silent).axes[2].images[1].get_array()[..., 3] == 0).all()
    for name in ("a.png", "b.png"):
        plot.save(plot.units(image, found, dark=True), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sample": 2}, "sample is 2, and the response has 2, counted from 0"),
        ({"count": 9}, "count is 9, expected 1 to 8"),
        ({"image": np.ones((4, 4))}, r"image has the shape \(4, 4\) and the response \(9, 11\)"),
    ],
)
def test_what_does_not_fit_is_refused(image, changes, says):
    with pytest.raises(InputError, match=says):
        plot.units(**{"image": image, "response": response((9, 11)), **changes})
