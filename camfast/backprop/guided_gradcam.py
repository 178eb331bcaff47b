"""Guided Grad-CAM: the detail of guided backpropagation where a coarse map says that the class is."""

from typing import Any

from torch import Tensor, nn

from camfast import layers
from camfast.backprop.saliency import input_map
from camfast.engine import Explainer, Layer
from camfast.recorder import Extract
from camfast.targets import Target


def guided_gradcam(
    model: nn.Module,
    inputs: Any,
    layer: Layer,
    target: Target = "predicted",
    *,
    method: str = "gradcam",
    output: Extract | None = None,
    **options: Any,
) -> Tensor:
    """Multiply guided backpropagation by a coarse map of where the class is.

    ::

        M[n, c, p] = guided[n, c, p] · U[n, p]        U: relu(coarse map) on its grid, brought to the input's pixels

    Parameters
    ----------
    model, inputs, target, output
        See `camfast.saliency`.
    layer
        Dotted name or module of the coarse map.
    method
        A name of `camfast.methods`; ``"gradcam"`` is the paper's.
    options
        ``upsample``, ``sigma``, ``gain``, ``centres``, ``head``, ``centre``, ``calibration``, ``backend``, ``call``,
        ``layer_output``, ``reshape`` of `camfast.Explainer`.

    Returns
    -------
    Tensor
        (N, C, *S_in), shaped like the input, or (N, T, C, *S_in) for several targets; float32 (float64 for float64).

    Raises
    ------
    CaptureError
        If the layer isn't reached, or no gradient can flow to it or to the input.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Warns
    -----
    ActivationRuleWarning
        As `camfast.guided_backprop`.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM, section 3.2.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> camfast.guided_gradcam(model, torch.ones(4, 1, 8), "1", target=3).shape
    torch.Size([4, 1, 8])
    """
    fixed = {"relu", "size", "create_graph", "fuse"} & set(options)
    if fixed:
        raise TypeError(f"guided_gradcam sets {' and '.join(sorted(fixed))} itself: leave it out")
    name, _ = layers.find(layers.unwrap(model), layer)
    coarse = Explainer(model, name, method, relu=True, output=output, **options)(inputs, target)
    chosen = coarse.targets if isinstance(target, str) and target == "predicted" else target
    fine = input_map(model, inputs, chosen, output, "guided", options.get("layer_output"))
    maps: Tensor = coarse.maps
    axes_before_channels = coarse.residual.ndim  # samples, and targets where there are several
    return fine * maps.unsqueeze(axes_before_channels)
