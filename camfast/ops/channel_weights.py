"""Channel weights w_k of the weighted methods: one reduction over activations and gradients."""

from torch import Tensor

from camfast.ops.checks import check_method, check_pair
from camfast.ops.registry import Op, ResultShape


def channel_weights(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    *,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Reduce activations and gradients to one weight a channel.

    With sums over the Z positions of the grid and S_k = Σ A_k::

        gradcam    w_k = Σ G_k / Z
        gradcam++  w_k = Σ α·G_k,  α = 1/(2 + S_k·G_k) where G_k > 0, else 0
        xgradcam   w_k = Σ G_k·A_k / (S_k + 1e-7)
        respond    w_k = Σ G_k·A_k / (S_k + Z·1e-10)

    Parameters
    ----------
    activations
        A, (N, C, *S) with one to three spatial axes; float64, float32, bfloat16 or float16.
    gradients
        G = ∂y/∂A, (N, C, *S), or (T, N, C, *S) for T targets; dtype and device of A.
    method
        One of the four above.
    out
        Tensor to write into, contiguous along C.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        (N, C), or (N, T, C) for gradients with targets; float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    References
    ----------
    Selvaraju et al. 2017 (Grad-CAM); Chattopadhay et al. 2018 (Grad-CAM++, without its positive factor e^y); Fu et al.
    2020 (XGrad-CAM); Zhao et al. 2018 (Respond-CAM).

    Examples
    --------
    >>> A, G = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[2.0, 1.0]]])
    >>> camfast.ops.channel_weights(A, G, "respond")
    tensor([[1.2500]])
    """
    return _op(activations, gradients, method, out=out, backend=backend)


def _check(activations: Tensor, gradients: Tensor, method: str) -> ResultShape:
    check_method(method, weighted=True)
    pair = check_pair(activations, gradients)
    return ResultShape(pair.lead, (pair.channels,))


_op = Op("channel_weights", "Tensor activations, Tensor gradients, str method", _check)
