"""The peers as `bench.compare` runs them: the same maps as camfast's, by each peer's own way to a picture."""

import importlib.util

import pytest
import torch

from bench import contenders
from bench.contenders import Cell
from bench.jobs import CannotError, Job
from bench.networks import Network
from bench.peers import HOW_TO_INSTALL, PEERS, Peer, PytorchGradCam, import_pytorch_grad_cam
from tests.bench.tiny import tiny_network, tiny_segmenter

pytestmark = pytest.mark.parity


@pytest.fixture(params=PEERS, ids=lambda peer: peer.name)
def peer(request) -> Peer:
    found: Peer = request.param
    if found.version is None:
        pytest.skip(f"{found.name} is not installed: {HOW_TO_INSTALL}")
    return found


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "network", [tiny_network(2), tiny_network(3), tiny_segmenter(2), tiny_segmenter(3)], ids=lambda n: n.name
)
def test_peers_find_the_same_maps(peer: Peer, network: Network, batch: int) -> None:
    job = Cell(network, batch).job()
    maps = peer.maps(job)
    verify = contenders.check(job, network.sigma, (peer,))
    for _ in range(2):  # nothing of the first call stays in the second
        found = maps()
        verify(peer.name, found)
        assert not found.requires_grad
    _untouched(job)


def test_peers_explain_each_sample_by_its_own_class(peer: Peer) -> None:
    job = Cell(tiny_network(), 4).job(torch.tensor([3, 0, 4, 1]))
    singles = [Job(job.model, job.layer, job.inputs[i : i + 1], job.target[i : i + 1]) for i in range(4)]
    together = peer.maps(job)()
    # the same sums in batches of another size
    torch.testing.assert_close(together, torch.cat([peer.maps(one)() for one in singles]), rtol=1e-4, atol=1e-6)


def test_peers_find_the_same_maps_of_all_classes(peer: Peer) -> None:
    job = Cell(tiny_network(3), 2).job()
    contenders.check_all_classes(job, (peer,))(peer.name, peer.maps_of(job, range(5))())
    _untouched(job)


def test_peers_say_what_they_cannot(peer: Peer) -> None:
    bfloat16 = Cell(tiny_network(), 2, torch.bfloat16).job()
    line = Cell(tiny_network(1), 2).job()
    for job, unable in ((bfloat16, ("pytorch-grad-cam", "MONAI")), (line, ("pytorch-grad-cam",))):
        if peer.name in unable:
            with pytest.raises(CannotError, match=r"numpy|images and volumes"):
                peer.maps(job)
        else:
            contenders.check(job, 2.0, (peer,))(peer.name, peer.maps(job)())


def test_importing_pytorch_grad_cam_leaves_no_torchvision() -> None:
    if PytorchGradCam().version is None:
        pytest.skip(f"pytorch-grad-cam is not installed: {HOW_TO_INSTALL}")
    there = importlib.util.find_spec("torchvision") is not None
    assert callable(import_pytorch_grad_cam().GradCAM)
    assert (importlib.util.find_spec("torchvision") is not None) == there


def _untouched(job: Job) -> None:
    """No hook and no gradient in the caller's model."""
    for module in job.model.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
        assert not module._forward_pre_hooks
    assert all(parameter.grad is None for parameter in job.model.parameters())
