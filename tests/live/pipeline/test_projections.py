"""Where a volume's projections stand."""

import torch

from camfast.live.pipeline.projections import canvas_size, places, projections


def test_a_voxel_is_seen_from_three_sides() -> None:
    volume = torch.zeros(3, 4, 5)
    volume[2, 1, 4] = 7.0
    canvas = torch.zeros(canvas_size(volume.shape))
    for place, projection in zip(places(canvas, volume.shape), projections(volume), strict=True):
        place.copy_(projection)
    found = {tuple(index) for index in canvas.nonzero().tolist()}
    assert found == {(1, 4), (1, 5 + 2), (4 + 2, 4)}
    assert canvas.max() == 7.0


def test_nan_is_not_hidden_behind_a_maximum() -> None:
    volume = torch.ones(2, 3, 4)
    volume[1, 2, 3] = torch.nan
    for projection in projections(volume):
        assert projection.isnan().sum() == 1
