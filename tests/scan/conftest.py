"""A small 3-D network whose layer has cells of 4 voxels."""

import pytest
import torch
from torch import nn

import camfast


@pytest.fixture(scope="session")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Flatten(),
        nn.Linear(6 * 3 * 2 * 2, 5),
    ).eval()


@pytest.fixture
def explainer(network: nn.Module) -> camfast.Explainer:
    return camfast.Explainer(network, "5", "respond")
