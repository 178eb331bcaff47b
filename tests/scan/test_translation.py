"""What a trunk computes of pieces is what it computes of the whole volume; or it is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan.scanner import scan
from camfast.scan.windows.plan import plan_windows
from tests.scan.cases import cut_small, density

WINDOW, STRIDE = 16, 8
NEAR = 1e-5  # float32, convolutions of other sizes


class Both(nn.Module):
    """A block with a way around, which alone would step over voxels."""

    def __init__(self):
        super().__init__()
        self.through = nn.Conv3d(1, 3, 3, stride=2, padding=1)
        self.around = nn.Conv3d(1, 3, 1, stride=2)

    def forward(self, x):
        return self.through(x) + self.around(x)


class Attention(nn.Module):
    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        weights = torch.softmax(tokens @ tokens.transpose(1, 2), -1)
        return (weights @ tokens).transpose(1, 2).reshape(x.shape)


class PooledGate(nn.Module):
    def forward(self, x):
        return x * nn.functional.adaptive_avg_pool3d(x, 1).sigmoid()


def whitened(volume, plan, dtype):
    wide = volume.astype(np.float64)
    wide = (wide - wide.mean()) / wide.std()
    wide = np.pad(wide, [(0, p - n) for p, n in zip(plan.padded, volume.shape, strict=True)], mode="reflect")
    return torch.from_numpy(wide)[None, None].to(dtype)


def scanned(trunk, volume):
    """Scan with one linear layer behind the trunk; give the result, that layer, and a window's features."""
    dtype = next((p.dtype for p in trunk.parameters()), torch.float32)
    with torch.no_grad():
        features = trunk(torch.zeros(1, 1, WINDOW, WINDOW, WINDOW, dtype=dtype))
    torch.manual_seed(1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(features[0].numel(), 3)).to(dtype).eval()
    explainer = camfast.Explainer(nn.Sequential(*trunk, *head), str(len(trunk) - 1), "respond")
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "batch": 4, "progress": False}
    return scan(volume, explainer, trunk="shared", **options), head, features.shape[2:]


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv3d(1, 3, 1, stride=2), nn.ReLU(), nn.Conv3d(3, 3, 3, padding=1)],  # every other voxel is never seen
        [nn.Conv3d(1, 3, 3, stride=2, dilation=2, padding=2), nn.ReLU(), nn.Conv3d(3, 3, 3, padding=1)],
        [nn.Conv3d(1, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Conv3d(3, 3, 3, stride=2, padding=1)],
        [nn.ConstantPad3d((2, 0, 2, 0, 2, 0), 0.0), nn.Conv3d(1, 3, 3), nn.MaxPool3d(2)],  # looks back alone
        [nn.Conv3d(1, 3, 3, padding=1), nn.MaxPool3d((1, 2, 4)), nn.Conv3d(3, 3, (3, 1, 1), padding=(1, 0, 0))],
        [nn.Conv3d(1, 3, 5, padding=2, padding_mode="reflect"), nn.MaxPool3d(2)],
        [nn.AvgPool3d(3, stride=1, padding=1), nn.Conv3d(1, 3, 1), nn.AvgPool3d(2)],
        [nn.Conv3d(1, 3, 3, padding=1), nn.MaxPool3d(3, stride=2, padding=1)],
        [nn.Conv3d(1, 3, 3, padding=1), nn.BatchNorm3d(3), nn.LocalResponseNorm(2), nn.Dropout(0.5), nn.MaxPool3d(2)],
        [nn.Conv3d(1, 3, 3), nn.ReLU(), nn.MaxPool3d(2)],
        [Both(), nn.ReLU()],
        [nn.Conv3d(1, 2, (9, 1, 9), padding=(4, 0, 4)), nn.MaxPool3d(2), nn.Conv3d(2, 2, (9, 3, 1), padding=(4, 1, 0))],
        [nn.Conv3d(1, 3, 3, padding=1, dtype=torch.float64), nn.MaxPool3d(2)],
    ],
)
@pytest.mark.parametrize("tile", [100, 400])
def test_features_of_pieces_are_those_of_the_whole(monkeypatch, layers, tile):
    cut_small(monkeypatch.setattr, tile=tile)
    trunk, volume = nn.Sequential(*layers).eval(), density((31, 30, 37))
    result, head, cells = scanned(trunk, volume)
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    with torch.no_grad():
        features = trunk(whitened(volume, plan, next(head.parameters()).dtype))
        for index in np.ndindex(plan.counts):
            # a window of 16 voxels has 8 cells of 2, 4 of 4, or 7 of 2 where convolutions are valid
            first = [i * STRIDE // (-(-WINDOW // h) if h != 7 else 2) for i, h in zip(index, cells, strict=True)]
            own = tuple(slice(f, f + h) for f, h in zip(first, cells, strict=True))
            expected = head(features[(slice(None), slice(None), *own)])[0]
            torch.testing.assert_close(result.scores[index], expected.float(), rtol=NEAR, atol=NEAR)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([nn.Conv3d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.MaxPool3d(2)], "depends on every voxel along z"),
        ([nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4, track_running_stats=False)], "depends on every voxel"),
        ([nn.MaxPool3d(4), Attention()], "depends on every voxel along z, as with .*attention or global pooling"),
        ([nn.Conv3d(1, 4, 3, padding=1), PooledGate(), nn.MaxPool3d(2)], "depends on every voxel along z"),
        # the trunk is the same 4 voxels on, but not 2, a cell, and pieces begin at any cell
        ([nn.MaxPool3d(4), nn.ConvTranspose3d(1, 3, 2, stride=2)], "changes by .* when the window is moved"),
        ([nn.MaxPool3d(4), nn.Conv3d(1, 3, 3, padding=1), nn.Upsample(scale_factor=2)], "when the window is moved"),
    ],
)
def test_what_is_not_the_same_in_pieces_is_refused(layers, says):
    with pytest.raises(camfast.InputError, match=f"trunk='shared' cannot be used: .*{says}.*; use trunk='exact'"):
        scanned(nn.Sequential(*layers).eval(), density((31, 30, 37)))
