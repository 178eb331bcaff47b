"""A small 3-D network whose layer has cells of 4 voxels."""

import pytest
from torch import nn

import camfast
from tests.scan.cases import small_network


@pytest.fixture(scope="session")
def network() -> nn.Module:
    return small_network()


@pytest.fixture
def explainer(network: nn.Module) -> camfast.Explainer:
    return camfast.Explainer(network, "5", "respond")
