"""The element-wise combination: L = Σ_k G_k ⊙ A_k, rectified inside or not."""

from torch import Tensor

from camfast.ops.checks import as_flag, check_pair
from camfast.ops.forms import RECTIFY, Rectify
from camfast.ops.registry import Op, ResultShape


def product_sum(
    activations: Tensor,
    gradients: Tensor,
    *,
    rectify: Rectify = "none",
    relu: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Multiply activations and gradients element by element, and add over the channels.

    ::

        rectify="none"       L = Σ_k G_k ⊙ A_k          (HiResCAM, Extended-CAM)
        rectify="gradients"  L = Σ_k relu(G_k) ⊙ A_k    (LayerCAM)
        rectify="product"    L = Σ_k relu(G_k ⊙ A_k)    (element-wise Grad-CAM)

    Parameters
    ----------
    activations
        A, (N, C, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    gradients
        G = ∂y/∂A, (N, C, *S), or (T, N, C, *S) for T targets; dtype and device of A.
    rectify
        What is rectified before the sum over channels.
    relu
        Set negative values of the map to 0.
    out
        Tensor to write into, each map contiguous.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        L, (N, *S) or (N, T, *S); float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    References
    ----------
    Draelos and Carin 2020 (HiResCAM); Jiang et al. 2021 (LayerCAM); Kim et al. 2020 (Extended-CAM).

    Examples
    --------
    >>> A, G = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[1.0, -1.0], [1.0, 1.0]]])
    >>> camfast.ops.product_sum(A, G)
    tensor([[4., 2.]])
    """
    return _op(activations, gradients, rectify, as_flag("relu", relu), out=out, backend=backend)


def _check(activations: Tensor, gradients: Tensor, rectify: str, relu: bool) -> ResultShape:  # noqa: ARG001
    if rectify not in RECTIFY:
        raise ValueError(f"rectify must be one of {', '.join(RECTIFY)}, found {rectify!r}")
    pair = check_pair(activations, gradients)
    return ResultShape(pair.lead, pair.spatial)


_op = Op("product_sum", "Tensor activations, Tensor gradients, str rectify, bool relu", _check)
