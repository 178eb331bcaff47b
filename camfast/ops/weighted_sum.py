"""The combination of channels by their weights: L = Σ_k w_k A_k."""

from torch import Tensor

from camfast.ops.checks import as_flag, check_activations, check_same_device, check_tensor
from camfast.ops.forms import map_dtype
from camfast.ops.registry import Op, ResultShape


def weighted_sum(
    activations: Tensor,
    weights: Tensor,
    *,
    relu: bool = False,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Combine the channels of activations by their weights: L[n, p] = Σ_k w[n, k] · A[n, k, p].

    Parameters
    ----------
    activations
        A, (N, C, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    weights
        w, (N, C), or (N, T, C) for T targets; float32 (float64 for float64 activations), device of A.
    relu
        Set negative values of the map to 0.
    out
        Tensor to write into, each map contiguous.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        L, (N, *S) or (N, T, *S), dtype of the weights.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    References
    ----------
    Zhou et al. 2016, eq. 2; Selvaraju et al. 2017, eq. 2.

    Examples
    --------
    >>> A = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> camfast.ops.weighted_sum(A, torch.tensor([[1.0, -1.0]]))
    tensor([[-2., -2.]])
    """
    return _op(activations, weights, as_flag("relu", relu), out=out, backend=backend)


def _check(activations: Tensor, weights: Tensor, relu: bool) -> ResultShape:  # noqa: ARG001 (every value is right)
    check_activations(activations)
    check_tensor("weights", weights)
    samples, channels = activations.shape[:2]
    if weights.ndim not in (2, 3) or weights.shape[0] != samples or weights.shape[-1] != channels:
        raise ValueError(
            f"weights must be ({samples}, {channels}) or ({samples}, T, {channels}) for activations of shape "
            f"{tuple(activations.shape)}, found {tuple(weights.shape)}"
        )
    if weights.dtype != map_dtype(activations.dtype):
        raise TypeError(
            f"weights must be {map_dtype(activations.dtype)} for activations of {activations.dtype}, "
            f"found {weights.dtype}"
        )
    check_same_device(activations, weights, "weights")
    return ResultShape(tuple(weights.shape[:-1]), tuple(activations.shape[2:]))


_op = Op("weighted_sum", "Tensor activations, Tensor weights, bool relu", _check)
