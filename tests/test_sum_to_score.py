"""With one linear layer behind the activations, a Respond-CAM adds up to its score."""

import torch
from torch import nn

import camfast


def test_respond_adds_up_to_the_score_for_all_classes_in_one_call() -> None:
    trunk = camfast.models.cnn1(classes=23)
    children = dict(trunk.named_children())
    names = list(children)
    kept = names[: names.index("maxpool2") + 1]
    model = nn.Sequential(*(children[name] for name in kept), nn.Flatten(), nn.Linear(64_000, 23)).eval()
    windows = torch.randn(2, 1, 40, 40, 40)
    result = camfast.Explainer(model, str(len(kept) - 1), "respond", size="grid")(windows, "all")
    linear = model[-1]
    assert isinstance(linear, nn.Linear)
    assert result.grid.shape == (2, 23, 10, 10, 10)
    total = result.grid.double().sum((2, 3, 4)) + linear.bias.detach()
    assert torch.equal(result.scores, model(windows).detach())
    assert ((total - result.scores).norm() / result.scores.norm()) < 1e-4
    assert torch.allclose(
        result.residual, linear.bias.detach().expand(2, 23), atol=1e-4 * float(result.scores.abs().max())
    )
