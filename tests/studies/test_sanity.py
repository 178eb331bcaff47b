"""The study of randomisation: methods in one pass are each method alone, and expectations are compared as written."""

import pytest
import torch
from torch import nn

import camfast
from camfast.metrics import Similarity, randomization_check
from studies import sanity
from studies.common.sanity_pictures import draw_cascade, draw_curves


@pytest.fixture(scope="module")
def subject():
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    ).eval()  # fmt: skip
    return sanity.Subject("small", network, torch.rand(2, 2, 9, 9), "3", ("6", "2", "0"), ("6", "0"))


def test_every_method_has_an_expectation():
    assert set(sanity.EXPECTED) == {*camfast.methods(), *sanity.OF_INPUT} - {"extended"}
    assert all(reason for _, _, reason in sanity.EXPECTED.values())


def test_maps_of_all_methods_are_those_of_each_alone(subject):
    methods = ("gradcam", "layercam", "eigencam")
    together = sanity.of_layer(subject, methods)(subject.network, subject.inputs)
    for name, maps in zip(methods, together.chunk(3), strict=True):
        explainer = camfast.Explainer(subject.network, "3", name, relu=False, size="grid")
        torch.testing.assert_close(maps, explainer(subject.inputs, subject.classes).grid)
    of_input = sanity.of_input(subject)(subject.network, subject.inputs).chunk(4)
    for name, maps in zip(sanity.OF_INPUT[:3], of_input[:3], strict=True):
        alone = getattr(camfast, name)(subject.network, subject.inputs, subject.classes)
        torch.testing.assert_close(maps, alone.sum(1))


def test_extended_is_hirescam_on_the_grid(subject):
    one, other = sanity.of_layer(subject, ("hirescam", "extended"))(subject.network, subject.inputs).chunk(2)
    assert torch.equal(one, other)


def test_similarities_are_split_by_method(subject):
    methods = ("gradcam", "eigencam")
    whole = randomization_check(
        subject.network, subject.inputs, sanity.of_layer(subject, methods), layers=subject.cascade, seeds=2
    ).modes["cascading"]
    alone = randomization_check(
        subject.network, subject.inputs, sanity.of_layer(subject, methods[1:]), layers=subject.cascade, seeds=2
    ).modes["cascading"]
    torch.testing.assert_close(sanity.parts(whole, 2)[1].spearman, alone.spearman, equal_nan=True)


def test_the_check_finds_what_must_be(subject):
    found = sanity.check(subject, seeds=2)
    assert set(found) == set(sanity.EXPECTED)
    # activations of the layer don't know of the linear layer behind it
    torch.testing.assert_close(
        found["eigencam"]["cascading"].spearman[0], torch.ones(2, 2, dtype=torch.float64), rtol=0, atol=1e-12
    )
    # behind global average pooling the closed form is Grad-CAM, whatever the weights
    torch.testing.assert_close(
        found["cam"]["cascading"].spearman, found["gradcam"]["cascading"].spearman, equal_nan=True
    )
    assert found["gradcam"]["independent"].spearman.shape == (2, 2, 2)
    shown = sanity.table(subject, found)
    assert [row[0] for row in shown.rows] == list(sanity.EXPECTED)
    assert all(len(row) == len(shown.columns) for row in shown.rows)


def _similarity(*means):
    values = torch.tensor(means, dtype=torch.float64)[:, None, None].expand(-1, 2, 3)
    return Similarity(values, values, values)


def test_a_map_stays_from_the_threshold_on():
    assert sanity.verdict(_similarity(sanity.STAYS, 0.1), 0) == "stays"
    assert sanity.verdict(_similarity(sanity.STAYS - 1e-9, 0.1), 0) == "changes"
    assert sanity.verdict(_similarity(float("nan"), 0.9), 0) == sanity.EMPTY
    assert sanity.figures(_similarity(0.25, 0.5), 1) == ("0.50 ± 0.00",) * 3
    assert sanity.figures(_similarity(float("nan")), 0) == ("–",) * 3


def test_wrong_expectations_are_named(subject):
    found = {"eigencam": {"cascading": _similarity(0.2, 0.1)}, "gradcam": {"cascading": _similarity(0.0, 0.9)}}
    found["saliency"] = {"cascading": _similarity(float("nan"), 0.0)}  # no map isn't a wrong expectation
    text = sanity.wrong([(subject, found)])
    assert text.startswith("2 of 5 expectations were wrong")
    assert "eigencam on small, top random: expected *stays*, 0.20" in text
    assert "gradcam on small, all random: expected *changes*, 0.90" in text


def test_the_cascade_begins_with_the_trained_network(subject):
    rows = sanity.cascade(subject, 1)
    assert len(rows) == len(sanity.SHOWN)
    assert all(len(row) == 1 + len(subject.cascade) for row in rows)
    saliency = camfast.saliency(subject.network, subject.inputs[1:], subject.classes[1:]).sum(1)[0]
    torch.testing.assert_close(rows[sanity.SHOWN.index("saliency")][0], saliency.double(), check_dtype=False)
    assert all(heat.shape == (9, 9) for row in rows for heat in row)


def test_curves_start_where_the_network_is_trained():
    figure = draw_curves([("small", ("6", "0"), {"gradcam": _similarity(0.5, -0.1)})])
    line = figure.axes[0].get_lines()[0]
    assert line.get_ydata() == pytest.approx([1.0, 0.5, -0.1])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["trained", "6", "0"]


def test_the_cascade_is_drawn_on_scales_of_their_own():
    picture, heat = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy(), torch.linspace(-1, 2, 64).reshape(8, 8)
    figure = draw_cascade(picture, [[heat, 10 * heat], [heat * 0, -heat]], ["gradcam", "saliency"], ["trained", "6"])
    shown = [axes.get_images()[0] for axes in figure.axes if axes.get_images()][1:]
    highest = [one.get_clim()[1] for one in shown]
    assert highest[1] == pytest.approx(10 * highest[0])
    assert highest[2] == 1.0  # an empty map is white, not divided by 0
    assert [one.get_clim()[0] for one in shown] == [-value for value in highest]
