"""Simulated subtomograms: splits that don't mix and don't move, images and masks of what was simulated."""

import math

import numpy as np
import pytest
import torch

from studies import train_subtomograms as training
from studies.common import subtomograms
from studies.common.subtomograms import SIDE, Pool

CLASSES = 3
SPLITS = ("fit", "validation", "test")


def _pool(per_class, side=12):
    """Densities drawn at random, which need no real data."""
    densities = np.random.default_rng(0).random((per_class * CLASSES, side, side, side))
    return Pool(tuple("abc"), densities.astype(np.float16))


def test_splits_are_disjoint_complete_and_balanced():
    found = _pool(50, side=1)
    parts = {split: found.indices(split) for split in SPLITS}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(150))
    assert {split: len(part) for split, part in parts.items()} == {"fit": 96, "validation": 24, "test": 30}
    for part in parts.values():
        assert len(set(np.bincount(part % CLASSES).tolist())) == 1


@pytest.mark.parametrize("split", SPLITS)
def test_a_larger_pool_begins_with_the_splits_of_a_smaller_one(split):
    small, large = _pool(27, side=1), _pool(75, side=1)
    found = large.indices(split)
    np.testing.assert_array_equal(small.indices(split), found[found < len(small.densities)])


@pytest.mark.parametrize("snr", [math.inf, 0.5])
def test_images_are_standardised_and_a_new_draw_is_new_noise(snr):
    found, indices = _pool(2), np.array([4, 1])
    images = found.images(indices, snr)
    assert images.shape == (2, 1, 12, 12, 12)
    assert images.dtype == torch.float32
    # sums of 1,728 numbers of order 1 in float32
    torch.testing.assert_close(images.mean((1, 2, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((1, 2, 3, 4), correction=0), torch.ones(2), atol=1e-5, rtol=0)
    assert torch.equal(found.images(indices, snr), images)
    assert torch.equal(found.images(indices[::-1], snr).flip(0), images)  # an image doesn't depend on its batch
    other = found.images(indices, snr, draw=1)
    if math.isinf(snr):
        torch.testing.assert_close(other, images)
    else:
        r = torch.corrcoef(torch.stack([images[0].flatten(), other[0].flatten()]))[0, 1]
        assert 0.1 < float(r) < 0.9  # the same particle under other noise


def test_masks_and_classes_are_those_of_the_densities():
    found, indices = _pool(2), np.array([5, 0, 3])
    assert found.classes(indices).tolist() == [2, 0, 0]
    np.testing.assert_array_equal(found.masks(indices, 0.25).numpy(), found.densities[[5, 0, 3]] > 0.25)


def test_batches_are_all_images_in_their_order():
    found, indices = _pool(3), np.array([8, 2, 4, 0, 1])
    images, classes = zip(*subtomograms.batches(found, indices, 2, 1.0, 7), strict=True)
    assert [len(part) for part in images] == [2, 2, 1]
    assert torch.equal(torch.cat(images), found.images(indices, 1.0, 7))
    assert torch.equal(torch.cat(classes), found.classes(indices))


@pytest.mark.realdata
@pytest.mark.usefixtures("data_dir")
def test_densities_are_templates_inside_their_box():
    assert len(subtomograms.template_paths()) == 23
    density = subtomograms._density(24)
    assert density.shape == (SIDE, SIDE, SIDE)
    assert density.dtype == np.float16
    assert float(density.max()) == 1.0
    assert float(max(density[face].max() for face in (0, -1))) < 0.05  # none is cut
    np.testing.assert_array_equal(density, subtomograms._density(24))


def test_a_pool_is_the_start_of_a_larger_one(tmp_path, monkeypatch):
    monkeypatch.setattr(subtomograms, "WORK", tmp_path)
    monkeypatch.setattr(subtomograms, "template_paths", lambda: dict.fromkeys("abc"))
    made = _pool(4, side=2).densities
    np.save(tmp_path / "densities_4.npy", made)
    np.save(tmp_path / "densities_9.npy", _pool(9, side=2).densities[::-1])
    found = subtomograms.pool(3)
    assert found.labels == ("a", "b", "c")
    np.testing.assert_array_equal(found.densities, made[:9])


def test_noise_grows_to_its_level_in_the_first_half():
    levels = [training.snr_of(epoch, 8, 0.1) for epoch in range(8)]
    assert levels[0] == pytest.approx(10)
    assert levels[1] / levels[0] == pytest.approx(levels[2] / levels[1])  # by equal factors
    assert levels[4:] == pytest.approx([0.1] * 4)
    assert [training.snr_of(epoch, 4, math.inf) for epoch in range(4)] == [math.inf] * 4
    assert training.snr_of(0, 4, 20.0) == pytest.approx(20)


def test_augmentation_turns_and_shifts_and_nothing_else():
    images = torch.randn(8, 1, 6, 6, 6)
    changed = training.augment(images, np.random.default_rng(0))
    assert torch.equal(changed.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    ways = {
        (turn, shifts)
        for turn in training.TURNS
        for shifts in [(a, b, c) for a in range(-2, 3) for b in range(-2, 3) for c in range(-2, 3)]
    }
    for image, other in zip(images, changed, strict=True):
        assert any(torch.equal(image.flip(turn).roll(shifts, (1, 2, 3)), other) for turn, shifts in ways)
    assert not torch.equal(changed, images)


def test_weights_have_names_of_their_own_and_missing_ones_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "WORK", tmp_path)
    names = {
        training.weights_path(*which, **more).name
        for which in (("cnn1", 0.1), ("cnn2", 0.1), ("cnn2", math.inf))
        for more in ({}, {"per_class": 250}, {"augmented": True}, {"seed": 1})
    }
    assert len(names) == 12
    command = "python -m studies.train_subtomograms --network cnn2 --snr inf --per-class 250 --augment --seed 1"
    with pytest.raises(SystemExit, match=command):
        training.trained("cnn2", math.inf, per_class=250, augmented=True, seed=1)


def test_the_shallow_network_takes_a_subtomogram():
    assert training.build("shallow", 4).eval()(torch.randn(1, 1, SIDE, SIDE, SIDE)).shape == (1, 4)
