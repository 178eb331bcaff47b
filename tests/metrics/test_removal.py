"""What a region loses without a map's voxels: against sums by hand, and with the region held where it was."""

import math

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.metrics import region_drop

SHAPES = [(9,), (5, 4), (3, 4, 5)]


def _segmenter(rank: int, classes: int = 3) -> nn.Module:
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    return (
        nn.Sequential(convolution(2, 4, 3, padding=1), nn.ReLU(), convolution(4, classes, 1))
        .double()
        .eval()
        .requires_grad_(False)
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_region_stays_where_it_was(shape: tuple[int, ...]) -> None:
    model, inputs, maps = _segmenter(len(shape)), torch.randn(3, 2, *shape).double(), torch.randn(3, *shape).double()
    before = model(inputs)
    probabilities = before.softmax(1)[:, 1]
    threshold = float(probabilities.quantile(0.4))
    mask = probabilities > threshold
    assert mask.flatten(1).any(1).all()
    assert not mask.all()
    region = camfast.Region(1, camfast.predicted(threshold))
    found = region_drop(model, inputs, region, maps, share=0.3, draws=2, batch=2)
    voxels = round(0.3 * math.prod(shape))
    for n in range(3):
        changed = inputs[n].flatten(1).clone()
        for p in sorted(range(changed.shape[1]), key=lambda p: -float(maps[n].flatten()[p]))[:voxels]:
            changed[:, p] = inputs[n].flatten(1).mean(1)
        after = model(changed.reshape(1, 2, *shape))[0, 1][mask[n]].sum()
        assert abs(float(found.by_map[n]) - float(after)) < 1e-9
        assert abs(float(found.full[n]) - float(before[n, 1][mask[n]].sum())) < 1e-9
    assert found.voxels == voxels
    assert torch.allclose(found.drop, found.full - found.by_map)


def test_predicted_positions_do_not_move_with_the_prediction() -> None:
    model = nn.Conv1d(1, 2, 1, bias=False).double()
    model.weight.data.copy_(torch.tensor([[[0.0]], [[1.0]]]))
    inputs = torch.tensor([[[3.0, 2.0, -1.0, -4.0]]]).double()
    maps = torch.tensor([[9.0, 1.0, 0.0, 0.0]])
    found = region_drop(model, inputs, camfast.Region(1, "predicted"), maps, share=0.25, baseline=-7.0, draws=0)
    # the first voxel is class 0 once it is replaced, and counts all the same: 3 + 2 before, −7 + 2 after
    assert found.full.tolist() == [5.0]
    assert found.by_map.tolist() == [-5.0]
    assert found.relative.tolist() == [200.0]
    assert found.random.shape == (1, 0)
    assert found.random_drop.isnan().all()


def test_random_voxels_are_as_many_and_differ_between_draws_and_samples() -> None:
    model = nn.Conv1d(1, 1, 1, bias=False).double()
    nn.init.ones_(model.weight)
    inputs = torch.tensor([2.0**p for p in range(12)]).double().expand(3, 1, 12)
    found = region_drop(model, inputs, camfast.Region(0, "image"), torch.rand(3, 12), baseline="zero", share=0.5)
    removed = (found.full[:, None] - found.random).long()  # each bit is a voxel
    assert {bin(number).count("1") for number in removed.flatten().tolist()} == {6}
    assert len(set(removed.flatten().tolist())) > 25
    again = region_drop(model, inputs[1:], camfast.Region(0, "image"), torch.rand(2, 12), baseline="zero", share=0.5)
    assert torch.equal(again.random[0], found.random[0])  # by place in the batch and seed, whatever the map


def test_a_map_that_knows_beats_chance() -> None:
    model = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1, bias=False)).double()
    nn.init.ones_(model[0].weight)  # type: ignore[arg-type]
    inputs = 0.1 * torch.rand(2, 1, 6, 6, 6).double()
    inputs[:, :, 2:4, 2:4, 2:4] += 5
    found = region_drop(model, inputs, camfast.Region(0, (3, 3, 3)), inputs[:, 0], share=8 / 216, baseline="blur")
    assert (found.drop > 2 * found.random_drop).all()
    assert "8 largest voxels" in str(found)
    assert "10 draws" in str(found)


def test_several_maps_share_the_random_voxels() -> None:
    model, inputs, maps = _segmenter(2), torch.randn(2, 2, 6, 5).double(), torch.randn(2, 3, 6, 5).double()
    region = camfast.Region(0, "image")
    found = region_drop(model, inputs, region, maps, draws=4)
    assert found.drop.shape == found.relative.shape == (2, 3)
    for m in range(3):
        single = region_drop(model, inputs, region, maps[:, m], draws=4)
        assert torch.allclose(single.drop, found.drop[:, m], atol=1e-12)
        assert torch.allclose(single.random, found.random, atol=1e-12)
    assert str(found).count(" / ") == 2


def test_random_voxels_may_lie_as_close_together_as_those_of_a_grid() -> None:
    class Edges(nn.Module):
        """How many neighbours differ."""

        def forward(self, x: Tensor) -> Tensor:
            return (x[:, :, 1:] != x[:, :, :-1]).sum(2).to(x.dtype)

    inputs, maps = torch.ones(3, 1, 60).double(), torch.rand(3, 60)
    voxelwise = region_drop(Edges(), inputs, 0, maps, baseline="zero", share=0.3)
    together = region_drop(Edges(), inputs, 0, maps, baseline="zero", share=0.3, cells=6)
    assert float(together.random.mean()) < 0.4 * float(voxelwise.random.mean())
    with pytest.raises(ValueError, match=r"cells must be a whole number of at least 1, or 1, .*found \(2, 2\)"):
        region_drop(Edges(), inputs, 0, maps, cells=(2, 2))


def test_nan_stays_with_its_sample_and_the_bar_counts(capsys: pytest.CaptureFixture[str]) -> None:
    model, inputs, maps = _segmenter(1), torch.randn(2, 2, 9).double(), torch.rand(2, 9)
    maps[0, 3] = torch.nan
    found = region_drop(model, inputs, camfast.Region(0, "image"), maps, progress=True)
    assert found.drop.isnan().tolist() == [True, False]
    assert not found.random_drop.isnan().any()
    assert "region drop: 100%" in capsys.readouterr().err


def test_what_does_not_fit_is_named() -> None:
    model, inputs, maps = _segmenter(1), torch.randn(2, 2, 9).double(), torch.rand(2, 9)
    with pytest.raises(ValueError, match="share must be a part of the voxels, above 0 and up to 1, found 10"):
        region_drop(model, inputs, camfast.Region(0, "image"), maps, share=10)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 0, found -1"):
        region_drop(model, inputs, camfast.Region(0, "image"), maps, draws=-1)
    with pytest.raises(ValueError, match="is empty in sample 0"):
        region_drop(model, inputs, camfast.Region(0, torch.zeros(9, dtype=torch.bool)), maps)
    with pytest.raises(ValueError, match=r"explain camfast\.Region"):
        region_drop(model, inputs, "predicted", maps)
