"""Artefacts are where their masks say and nowhere else, and shares are what a hand computes."""

import numpy as np
import pytest
import torch
from torch import nn

from studies import planted_evidence
from studies.common import planted, planted_maps, planted_results
from studies.common.planted import ARTEFACTS, BRIGHTNESS, CLASSES, SIDE

MIDDLE = (SIDE - 1) / 2


def _generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_artefacts_lie_beside_the_particle(kind):
    for seed in range(20):
        mask = ARTEFACTS[kind](_generator(seed))
        assert mask.shape == (SIDE,) * 3
        distances = np.linalg.norm(np.argwhere(mask) - MIDDLE, axis=1)
        assert distances.min() > planted.PARTICLE_RADIUS


def test_artefacts_have_their_forms():
    assert ARTEFACTS["corner"](_generator()).sum() == 125
    assert ARTEFACTS["corner"](_generator())[0, 0, 0]
    stripe = np.argwhere(ARTEFACTS["stripe"](_generator(3)))
    assert np.ptp(stripe, axis=0).tolist() == [2, 2, SIDE - 1]
    assert len(stripe) == 9 * SIDE
    ball = np.argwhere(ARTEFACTS["bead"](_generator(4)))
    # a ball of radius 3 holds 113 voxels, as its centre lies on the grid or between
    assert len(ball) == pytest.approx(4 / 3 * np.pi * 27, rel=0.15)
    assert (np.ptp(ball, axis=0) <= 6).all()
    assert (np.abs(ball.mean(0) - planted.BEAD_PLACE) < 2.5).all()


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_planting_changes_what_the_mask_holds_and_nothing_else(kind):
    clean = torch.randn(4, 1, SIDE, SIDE, SIDE)
    before = clean.clone()
    found = planted.plant(clean, torch.arange(4), kind, _generator())
    present = torch.tensor([True, False, True, False])
    changed = (found.marked(present) - before)[:, 0]
    expected = BRIGHTNESS * (found.masks & present[:, None, None, None])
    # adding 8 to numbers of order 1 in float32 and taking them away again
    torch.testing.assert_close(changed, expected.float(), atol=1e-5, rtol=0)
    assert torch.equal(clean, before)
    assert torch.equal(found[present].masks, found.masks[::2])


def test_presence_goes_with_the_class_or_says_nothing():
    classes = torch.arange(4).repeat(5000)
    favoured = planted.presence(classes, 2, _generator())
    rates = [float(favoured[classes == one].double().mean()) for one in range(4)]
    # 5,000 draws scatter by at most 0.007
    assert rates == pytest.approx([0.05, 0.05, 0.95, 0.05], abs=0.02)
    even = planted.presence(classes, None, _generator())
    rates = [float(even[classes == one].double().mean()) for one in range(4)]
    assert rates == pytest.approx([float(favoured.double().mean())] * 4, abs=0.03)


def test_masks_grow_by_voxels():
    masks = torch.zeros(1, 9, 9, 9, dtype=torch.bool)
    masks[0, 4, 4, 0] = True
    assert int(planted_maps.grown(masks, 0).sum()) == 1
    assert int(planted_maps.grown(masks, 2).sum()) == 5 * 5 * 3


def test_peaks_are_found_inside_and_constant_maps_have_none():
    maps = torch.zeros(3, 4, 4, 4)
    maps[0, 1, 2, 3], maps[1, 0, 0, 0] = 5.0, 1.0
    masks = torch.zeros(3, 4, 4, 4, dtype=torch.bool)
    masks[:, 1, 2, 3] = masks[2, 0, 0, 0] = True
    assert planted_maps.peak_inside(maps, masks).tolist() == [True, False, False]


def test_the_best_share_is_that_of_the_best_cell():
    masks = torch.zeros(2, SIDE, SIDE, SIDE, dtype=torch.bool)
    masks[0], masks[1, :8, :8, :8] = True, True
    found = planted_maps.best_share(masks, 8)
    assert float(found[0]) == pytest.approx(1.0)
    # one axis: a cell at the border is 1 for 4 voxels, then falls: (15 + ... + 1)/16 over 8, of which 4 lie inside
    inside, outside = 4 + (15 + 13 + 11 + 9) / 16, (7 + 5 + 3 + 1) / 16
    assert float(found[1]) == pytest.approx((inside / (inside + outside)) ** 3, rel=1e-5)


class _Bright(nn.Module):
    """Class 0 where the corner is bright, else class 1."""

    def forward(self, volumes):
        corner = volumes[:, 0, :5, :5, :5].mean((1, 2, 3))
        return torch.stack([corner - 3, torch.zeros_like(corner), torch.full_like(corner, -9.0)], 1)


def test_usage_finds_what_the_artefact_alone_turns():
    clean = torch.zeros(6, 1, SIDE, SIDE, SIDE)
    found = planted.plant(clean, torch.tensor([0, 1, 1, 2, 0, 1]), "corner", _generator())
    numbers, turned = planted_results.usage(_Bright(), found, 0)
    # class 2 is never classified rightly, so that the artefact can't be the reason there
    assert turned.tolist() == [False, True, True, False, False, True]
    assert numbers["turned"] == 1.0
    assert numbers["accuracy without"] == 0.5
    assert numbers["favoured class found without"] == 0.0
    assert numbers["favoured class found with"] == 1.0
    assert numbers["favoured score"] == pytest.approx(BRIGHTNESS)


def _kind(planted_shares, control, chance):
    values = {("share", "planted"): [planted_shares], ("share", "control"): [control]}
    return planted_results.Kind(values={("m", "l"): values}, chance={("share", 0): [chance]})


def test_a_map_reveals_only_what_is_above_chance_and_the_control():
    few, many = np.full(30, 0.1), np.linspace(0.4, 0.6, 30)
    assert planted_results.reveals(_kind(many, few, few), ("m", "l"), 8, "share")
    assert not planted_results.reveals(_kind(many, many, few), ("m", "l"), 8, "share")
    assert not planted_results.reveals(_kind(few, few / 2, few), ("m", "l"), 8, "share")
    # too few volumes for an interval
    assert not planted_results.reveals(_kind(many[:9], few[:9], few[:9]), ("m", "l"), 8, "share")


def test_every_map_is_made_or_left_out_with_its_reason(monkeypatch):
    monkeypatch.setattr(planted_maps, "WINDOW", 16)  # 27 windows in place of 343
    volume, network = torch.randn(2, 1, SIDE, SIDE, SIDE), planted.untrained()
    maps, skipped = planted_results.applicable(planted_maps.known_maps(4), network, volume[:1])
    assert set(skipped) == {"cam"}
    assert "linear layer" in skipped["cam"]
    found = planted.plant(volume, torch.tensor([1, 2]), "bead", _generator())
    for made in maps:
        values, drawn = planted_results.measure(made, network, found, 0)
        assert drawn.shape == (2, SIDE, SIDE, SIDE), made
        assert all(((part >= 0) & (part <= 1)).all() for part in values.values()), made


def test_the_network_keeps_what_it_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(planted, "WORK", tmp_path)
    clean, classes = torch.randn(8, 1, SIDE, SIDE, SIDE), torch.arange(8) % len(CLASSES)
    first = planted.trained(("corner",), 1, 0, clean, classes, epochs=1)
    again = planted.trained(("corner",), 1, 0, clean, classes, epochs=1)
    assert len(list(tmp_path.iterdir())) == 1
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(next(first.parameters()), next(planted.untrained().parameters()))


def test_cells_of_tables_say_the_mean_the_interval_and_the_spread_over_seeds():
    values = np.full(6, 0.25)
    assert planted_evidence.figure(values, [values[:3], values[3:]], "planted") == "25.0 [25.0, 25.0] ± 0.0"
    assert planted_evidence.figure(values, [values], "control") == "25.0 [25.0, 25.0]"


def test_only_what_a_paired_interval_puts_below_is_below():
    noise = np.random.default_rng(0).normal(0, 0.1, 40)
    values = {
        ("first", "l"): 0.5 + noise,
        ("equal", "l"): 0.499 + noise[::-1],
        # far below in pairs, though the intervals of both overlap
        ("below", "l"): 0.48 + noise,
    }
    kind = planted_results.Kind(
        values={key: {("share", "planted"): [one[:20], one[20:]]} for key, one in values.items()},
        chance={("share", 0): [noise[:20], noise[20:]]},
    )
    maps = [planted_maps.Map(name, layer, 8, lambda *_: torch.zeros(0)) for name, layer in values]
    assert planted_results.best(kind, maps) == ["first (l)", "equal (l)"]


def test_an_order_holds_in_every_seed_or_not_at_all():
    kind = _kind(np.zeros(40), np.zeros(40), np.zeros(40))
    noise = np.random.default_rng(0).normal(0, 0.01, 20)
    assert planted_results.above(kind, [0.9 + noise, 0.3 + noise], [0.5 + noise, 0.2 - noise])
    # larger by far on average and outside of the paired interval, yet not in the second seed
    assert not planted_results.above(kind, [0.9 + noise, 0.3 + noise], [0.5 + noise, 0.31 + noise])


def test_numbers_of_seeds_are_kept():
    numbers = _kind(np.full(4, 0.5), np.full(4, 0.25), np.full(4, 0.1)).numbers()
    assert numbers["volumes"] == 4
    assert numbers["means_by_seed"] == {"m, l": {"share, planted": [0.5], "share, control": [0.25]}}
