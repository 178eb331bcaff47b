"""The parts of the study of segmentation, on small input with known answers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.models import unet
from studies import train_segmenters
from studies.common import segmentation_tables, tomograms
from studies.common.segments import (
    CELLS,
    GRAD,
    HIRES,
    METHODS,
    REGIONS,
    VOXELS,
    Case,
    Outcome,
    explain,
    lost,
    measure,
    regions_of,
)
from studies.common.tomograms import LABELS, Tomograms, dice


def _scores(classes: list[list[int]]) -> torch.Tensor:
    """An output (1, 3, H, W) whose argmax is given."""
    return nn.functional.one_hot(torch.tensor(classes), 3).movedim(-1, 0)[None].float()


def _case(**changes: object) -> Case:
    """An untrained U-Net and three images of 16², each explained for the class that it sees most of."""
    torch.manual_seed(0)
    network = unet(2, classes=3, width=4, depth=2).eval()
    inputs = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        classes = [int(found.bincount().argmax()) for found in network(inputs).argmax(1).flatten(1)]
    layers = ("encoder.1", "bottleneck", "decoder.0")
    settings = {"tested": layers[1:], "methods": (GRAD, HIRES), "part": 0.1, **changes}
    return Case("U-Net", network, inputs, classes, [0, 0, 1], layers, dict.fromkeys(layers, (2.0, 2.0)), **settings)


def test_dice_of_known_masks() -> None:
    predicted = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    true = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 0]])
    # class 0: 2·2 / (4 + 3), class 1: 2·3 / (4 + 5), class 2: in neither
    found = dice(predicted, true, 3).tolist()
    assert found[:2] == pytest.approx([4 / 7, 6 / 9])
    assert math.isnan(found[2])


def test_regions_of_a_class() -> None:
    scores = _scores([[1, 1, 1, 0, 0], [1, 1, 1, 0, 1], [1, 1, 1, 0, 0], [0, 0, 0, 2, 0]])
    found = regions_of(scores, 1)
    assert tuple(found) == REGIONS
    assert [int(found[name].where.sum()) for name in REGIONS] == [20, 10, 9, 1]
    assert found["point"].where[0].nonzero().tolist() == [[1, 1]]  # the middle of the square, its border being outside
    assert regions_of(scores, 2)["point"].where[0].nonzero().tolist() == [[3, 3]]
    assert tuple(regions_of(_scores([[1, 1, 0]]), 2)) == ("image",)


def test_maps_are_those_of_an_explainer() -> None:
    case = _case()
    seen = 0
    for region, heats in explain(case, 1):
        for heat in heats:
            sigma = case.sigma[heat.layer] if heat.method == "extended" else None
            explainer = camfast.Explainer(case.network, heat.layer, heat.method, sigma=sigma)
            expected = explainer(case.inputs[1:2], region)
            # the same kernels on gradients that were summed in another order
            assert torch.allclose(
                heat.parts.maps, expected.maps, rtol=1e-4, atol=1e-6 * float(expected.maps.abs().max())
            )
            seen += 1
    assert seen == len(REGIONS) * len(case.layers) * len(METHODS)


def test_what_a_region_loses_is_worked_out_by_hand() -> None:
    network = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 8, 8] = 1.0
    right, wrong = torch.zeros(2, 1, 16, 16)
    right[0, 8, 8], wrong[0, 0, 0] = 1.0, 1.0
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 8, 7:9] = True
    case = Case("one voxel", network, image, [1], [0], (), {}, (), part=1 / 256)
    found = lost(case, 0, camfast.Region(1, mask), {GRAD: right, HIRES: wrong}, None)
    # σ is 16/8 = 2 pixels; the weights of the blur, centred at 8, sum to 1 along each axis
    weights = np.exp(-((np.arange(16) - 8.0) ** 2) / 8)
    blurred = (1 / weights.sum()) ** 2
    assert found[GRAD] == pytest.approx(3 * (1 - blurred) / 2, rel=1e-5)
    assert found[HIRES] == pytest.approx(0, abs=1e-6)
    assert VOXELS in found
    assert CELLS in lost(case, 0, camfast.Region(1, mask), {GRAD: right}, (4, 4))


def test_an_outcome_has_a_number_for_each_sample() -> None:
    case = _case()
    outcome = measure(case)
    assert outcome.groups == [0, 0, 1]
    assert outcome.left_out == 0
    assert {len(values) for values in outcome.inside.values()} == {3}
    assert set(outcome.inside) == {
        (layer, region, method) for layer in case.layers for region in REGIONS for method in METHODS
    }
    expected = {
        (layer, region, method)
        for layer in case.tested
        for region in REGIONS
        for method in (GRAD, HIRES, VOXELS, CELLS)
    }
    assert set(outcome.drop) == expected
    whole = [share for key, values in outcome.inside.items() if key[1] == "image" for share in values]
    assert all(math.isnan(share) or share == pytest.approx(1) for share in whole)
    for table in (segmentation_tables.localisation, segmentation_tables.faithfulness, segmentation_tables.everything):
        assert all(len(row) == len(table(case, outcome).columns) for row in table(case, outcome).rows)
    assert segmentation_tables.figures(case, outcome)["tomograms"] == 2


def test_samples_of_a_tomogram_count_as_one() -> None:
    outcome = Outcome(groups=[0, 0, 1, 2])
    assert outcome.by_group([1.0, 3.0, math.nan, 5.0]).tolist() == pytest.approx([2.0, math.nan, 5.0], nan_ok=True)
    outcome.drop["a", "point", HIRES] = [4.0, 4.0, 5.0, 6.0]
    outcome.drop["a", "point", GRAD] = [1.0, 3.0, 3.0, 4.0]
    found = outcome.difference("drop", "a", "point", HIRES, GRAD)
    assert (found.estimate, found.count) == (2.0, 3)
    assert outcome.mean("drop", "a", "point", GRAD) == pytest.approx(3.0)
    case = _case(tested=("a",), changed=("point",))
    assert segmentation_tables.counted([(case, outcome)], "drop") == "more in 1, less in 0, undecided in 0 of 1"


def test_a_sweep_says_which_grids_are_too_small() -> None:
    case = _case()
    rows = segmentation_tables.sweep(case).rows
    assert {row[1] for row in rows} == {"16×16", "8×8", "4×4"}
    for _, grid, _, point, *_, shows in rows:
        side = int(grid.partition("×")[0])
        assert float(point) == pytest.approx((side / 16) ** 2, abs=1e-4)  # a pixel is a part of a cell
        assert (shows == "a point") is (side == 16)


def test_tomograms_know_the_class_of_each_voxel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tomograms, "WORK", tmp_path)
    found = tomograms.tomograms(2)
    again = tomograms.tomograms(2)  # from the file
    assert np.array_equal(found.classes, again.classes)
    clear = np.abs(found.densities - 0.5) > 1e-3  # float16 rounds what lies beside a half
    assert clear.mean() > 0.999
    assert np.array_equal((found.classes > 0)[clear], (found.densities > 0.5)[clear])
    assert np.unique(found.classes).tolist() == list(range(len(LABELS)))
    first, same, other = (found.images(np.array([1]), draw=draw) for draw in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    # particles are dark
    assert float(first[0, 0][found.labels(np.array([1]))[0] > 0].mean()) < -0.5


class _Bare(Tomograms):
    """Images that are the densities."""

    def images(self, indices: np.ndarray, draw: int = 0) -> torch.Tensor:  # noqa: ARG002
        return torch.from_numpy(self.densities[indices]).float()[:, None]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_batch_turns_images_and_classes_alike(dimensions: int) -> None:
    classes = np.random.default_rng(0).integers(0, 5, (4, 64, 64, 64)).astype(np.uint8)
    found = _Bare(classes.astype(np.float16), classes)
    whole = set()
    for step in range(8):
        images, true = train_segmenters.draw(found, dimensions, 0, step)
        assert images.shape[2:] == true.shape[1:] == (64,) * dimensions
        assert torch.equal(images[:, 0].long(), true)
        whole.add(true[0].flatten()[:64].numpy().tobytes())
    assert len(whole) > 2  # turns or planes of their own


def test_the_loss_by_hand() -> None:
    classes = torch.tensor([[[0, 0, 1, 1]]])
    certain = 100 * _scores([[0, 0, 1, 1]])[:, :2]
    assert float(train_segmenters.loss_of(certain, classes)) == pytest.approx(0, abs=1e-6)
    # nothing known: ln 2, and a soft Dice of (2·1 + 1) / (2 + 2 + 1)
    assert float(train_segmenters.loss_of(torch.zeros(1, 2, 1, 4), classes)) == pytest.approx(math.log(2) + 1 - 3 / 5)


def test_samples_without_the_class_are_left_out() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    outcome = measure(Case("flat", network, torch.randn(2, 1, 8, 8), [2, 2], [0, 1], (), {}, ()))
    assert (outcome.left_out, outcome.groups) == (2, [])
