"""Pages about peers run beside them, as a reader has them installed."""

import pytest

from bench.jobs import NotInstalledError
from bench.peers import PEERS, import_pytorch_grad_cam


@pytest.fixture(autouse=True)
def _peers(request: pytest.FixtureRequest) -> None:
    """Import what a page can't on a machine without torchvision, or skip it and say how to get the peers."""
    if request.node.get_closest_marker("parity") is None:
        return
    for peer in PEERS:
        try:
            peer.require()
        except NotInstalledError as error:
            pytest.skip(str(error))
    import_pytorch_grad_cam()
