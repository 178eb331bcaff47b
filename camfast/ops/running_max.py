"""The running maximum over units, with the unit that it came from."""

from torch import Tensor, int32

from camfast.ops.checks import check_dense, check_out, check_same_device, check_tensor, same_elements
from camfast.ops.forms import INDEX_DTYPES, RunningMax, map_dtype
from camfast.ops.registry import Op, ResultShape


def running_max(
    values: Tensor,
    index: Tensor,
    candidate: Tensor,
    unit: int | Tensor,
    *,
    out: tuple[Tensor, Tensor] | None = None,
    backend: str | None = None,
) -> RunningMax:
    """Keep the larger of a maximum and a unit's map, and which unit it was.

    ::

        D(x) = max_f R_f(x),  f(x) = argmax_f R_f(x)        one f after the other

    Where the candidate is greater it takes the place of the value, and the unit that of the index; where both are
    equal the earlier unit stays. A NaN of the candidate takes the place of any number, and stays.

    Parameters
    ----------
    values
        D so far, (N, *S); float32 (float64 for candidates of float64). Start with −∞, or with the first unit's map.
    index
        f so far, (N, *S), int32.
    candidate
        R_f of the next unit, (N, *S); float64, float32, bfloat16 or float16.
    unit
        f, a number of 32 bits, or one a sample as an integer tensor (N,), int32 or int64.
    out
        Two tensors to write into, (values, index), each sample contiguous: ``out=(values, index)`` updates in place.
    backend
        See `camfast.backends`.

    Returns
    -------
    RunningMax
        ``values`` and ``index``, (N, *S). They have no derivative.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    References
    ----------
    Kumar et al. 2018 (attentive response maps).

    Examples
    --------
    >>> values, index = torch.tensor([[1.0, 5.0]]), torch.tensor([[0, 0]], dtype=torch.int32)
    >>> camfast.ops.running_max(values, index, torch.tensor([[2.0, 5.0]]), 7)
    RunningMax(values=tensor([[2., 5.]]), index=tensor([[7, 0]], dtype=torch.int32))
    """
    if out is not None and (isinstance(out, Tensor) or [isinstance(tensor, Tensor) for tensor in out] != [True, True]):
        raise TypeError("out must be two tensors, (values, index)")
    written = None if out is None else RunningMax(*out)
    result: RunningMax = _op.run(values, index, candidate, unit, out=written, backend=backend)
    return result


def _check(values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor) -> tuple[ResultShape, ResultShape]:
    check_tensor("candidate", candidate)
    check_tensor("values", values)
    if candidate.ndim < 1:
        raise ValueError("candidate must be (N, *S), found a tensor of no axis")
    if values.dtype != map_dtype(candidate.dtype):
        raise TypeError(
            f"values must be {map_dtype(candidate.dtype)} for candidates of {candidate.dtype}, found {values.dtype}"
        )
    if not isinstance(index, Tensor) or index.dtype != int32:
        raise TypeError(f"index must be an int32 tensor, found {getattr(index, 'dtype', type(index).__name__)}")
    check_dense("index", index)
    for name, tensor in (("values", values), ("index", index)):
        if tensor.shape != candidate.shape:
            raise ValueError(
                f"{name} must have the shape of candidate, {tuple(candidate.shape)}, found {tuple(tensor.shape)}"
            )
        check_same_device(candidate, tensor, name)
    _check_unit(candidate, unit)
    lead, rest = (candidate.shape[0],), tuple(candidate.shape[1:])
    return ResultShape(lead, rest), ResultShape(lead, rest, int32)


def _check_unit(candidate: Tensor, unit: int | Tensor) -> None:
    if isinstance(unit, Tensor):
        check_dense("unit", unit)
        if unit.dtype not in INDEX_DTYPES:
            raise TypeError(f"unit must be a number or an int32 or int64 tensor, found {unit.dtype}")
        if unit.ndim and unit.shape != candidate.shape[:1]:
            raise ValueError(
                f"unit must be one number, or one a sample, {tuple(candidate.shape[:1])}; found {tuple(unit.shape)}"
            )
        check_same_device(candidate, unit, "unit")
    elif not -(2**31) <= unit < 2**31:
        raise ValueError(f"unit must be a number of 32 bits, found {unit}")


def _check_out(out: RunningMax, shapes: tuple[ResultShape, ResultShape], inputs: tuple[Tensor, ...]) -> None:
    """Every output apart from every input and from each other, but for those that are updated in place."""
    for position, (name, target, shape) in enumerate(zip(("out[0]", "out[1]"), out, shapes, strict=True)):
        check_dense(name, target)
        others = [tensor for i, tensor in enumerate(inputs) if i != position or not same_elements(target, tensor)]
        check_out(target, shape.lead, shape.rest, others, name, shape.dtype or inputs[0].dtype)
    check_out(out.index, shapes[1].lead, shapes[1].rest, (out.values,), "out[1]", int32)


_op = Op(
    "running_max",
    "Tensor values, Tensor index, Tensor candidate, Tensor unit",
    _check,
    returns=RunningMax,
    check_out=_check_out,
)
