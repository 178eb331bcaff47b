"""From a model and inputs to maps in one call."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from camfast.engine import Explainer, Layer
from camfast.ops.forms import Centres, Gain, Upsample
from camfast.targets import Target


def cam(
    model: nn.Module,
    inputs: Any,
    layer: Layer,
    target: Target = "predicted",
    *,
    method: str = "gradcam",
    relu: bool | None = None,
    upsample: Upsample | None = None,
    size: Sequence[int] | Literal["grid"] | None = None,
    sigma: float | Sequence[float] | Literal["auto"] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    backend: str | None = None,
    **options: Any,
) -> Tensor:
    """Map the places that made a model decide: one call of an `Explainer`.

    Parameters
    ----------
    model, layer, method, relu, upsample, size, sigma, gain, centres, backend
        See `Explainer`.
    inputs, target
        See `Explainer.__call__`.
    options
        ``head``, ``centre``, ``calibration``, ``call``, ``output``, ``layer_output``, ``reshape``, ``create_graph`` of
        `Explainer`.

    Returns
    -------
    Tensor
        (N, *S_in), or (N, T, *S_in) for several targets; float32 (float64 for float64), raw values.

    Raises
    ------
    CaptureError
        If the layer isn't reached, or no gradient can flow to it.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Examples
    --------
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5))
    >>> camfast.cam(model, torch.ones(1, 3, 8, 8), "1", target=3).shape
    torch.Size([1, 8, 8])
    """
    explainer = Explainer(
        model, layer, method, relu=relu, upsample=upsample, size=size, sigma=sigma, gain=gain, centres=centres,
        backend=backend, **options,
    )  # fmt: skip
    maps: Tensor = explainer(inputs, target).maps
    return maps
