"""One `Op` an operation: checked, known to torch, and run by the dispatcher.

Eager calls on plain tensors go straight to the dispatcher, which costs less than a call through ``torch.ops``. Inputs
that autograd records, fake tensors and tracing go through ``torch.ops.camfast``. Both ways run the same check.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from camfast.ops import dispatch, reference
from camfast.ops.checks import check_out, is_plain
from camfast.ops.forms import map_dtype

_LIBRARY = torch.library.Library("camfast", "DEF")  # type: ignore[no-untyped-call]


class ResultShape(NamedTuple):
    """Shape of a result: samples and targets, then the axes that are contiguous; dtype, None for that of maps."""

    lead: tuple[int, ...]
    rest: tuple[int, ...]
    dtype: torch.dtype | None = None


def _check_single_out(out: Tensor | None, shape: ResultShape, inputs: tuple[Tensor, ...]) -> None:
    check_out(out, shape.lead, shape.rest, inputs, dtype=shape.dtype)


class Op:
    """An op of `camfast.ops`, registered as ``torch.ops.camfast.<name>``.

    Parameters
    ----------
    name
        The op, also the name of its functions in `camfast.ops.native` and `camfast.ops.reference`.
    schema
        Its arguments in torch's schema language, tensors first, without ``backend``, which every op has.
    check
        Takes those arguments, raises for what doesn't fit, and returns the shape of the result, or of each.
    returns
        The named tuple of an op with several results; None for a tensor.
    check_out
        Checks the caller's output against the shape and the tensors that are read.
    differentiable
        Whether the op has a derivative; else inputs that autograd records are refused.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        check: Callable[..., Any],
        *,
        returns: Any = None,
        check_out: Callable[..., None] = _check_single_out,
        differentiable: bool = True,
    ) -> None:
        self.name = name
        self.check = check
        self._check_out = check_out
        self._returns = returns
        self._differentiable = differentiable
        self._formula: Callable[..., Tensor] = getattr(reference, name)
        self._is_tensor = [part.split()[0] == "Tensor" for part in schema.split(", ")]
        result = "Tensor" if returns is None else f"({', '.join(f'Tensor {field}' for field in returns._fields)})"
        _LIBRARY.define(f"{name}({schema}, *, str? backend=None) -> {result}")  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, self._kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        qualified = f"camfast::{name}"
        torch.library.register_fake(qualified, self._fake, lib=_LIBRARY)
        if differentiable:
            torch.library.register_autograd(qualified, self._backward, setup_context=self._setup_context, lib=_LIBRARY)

    def __call__(self, *arguments: Any, out: Tensor | None, backend: str | None) -> Tensor:
        """Run the op, which has one result, on whatever kind of tensors it is given."""
        result: Tensor = self.run(*arguments, out=out, backend=backend)
        return result

    def run(self, *arguments: Any, out: Any, backend: str | None) -> Any:
        """Run the op on whatever kind of tensors it is given."""
        shape = self.check(*arguments)
        tensors = _tensors(arguments)
        outputs = () if out is None else (out,) if isinstance(out, Tensor) else out
        if is_plain(*tensors, *outputs):
            if out is not None:
                self._check_out(out, shape, tensors)
            return dispatch.run(self.name, arguments, out, backend)
        if not self._differentiable and torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            raise ValueError(f"{self.name} has no derivative, and an input requires grad: detach it")
        if out is not None:
            raise ValueError(
                "out= can't be used where autograd records or torch traces the call: leave it out, or detach the inputs"
            )
        result = getattr(torch.ops.camfast, self.name)(*self._as_schema(arguments), backend=backend)
        return result if self._returns is None else self._returns(*result)

    def _as_schema(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numbers as tensors of no axis where the schema has tensors."""
        device = arguments[0].device
        return tuple(
            torch.tensor(value, device=device, dtype=torch.float32 if isinstance(value, float) else torch.int64)
            if is_tensor and not isinstance(value, Tensor)
            else value
            for value, is_tensor in zip(arguments, self._is_tensor, strict=True)
        )

    def _kernel(self, *arguments: Any, backend: str | None = None) -> Any:
        self.check(*arguments)
        return dispatch.run(self.name, arguments, None, backend)

    def _fake(self, *arguments: Any, backend: str | None = None) -> Any:  # noqa: ARG002 (part of the schema)
        shape = self.check(*arguments)
        reads: Tensor = arguments[0]

        def empty(shape: ResultShape) -> Tensor:
            return reads.new_empty((*shape.lead, *shape.rest), dtype=shape.dtype or map_dtype(reads.dtype))

        return empty(shape) if self._returns is None else tuple(empty(part) for part in shape)

    @staticmethod
    def _setup_context(
        ctx: Any,
        inputs: tuple[Any, ...],
        keyword_only_inputs: dict[str, Any],  # noqa: ARG004 (torch passes all of them by name)
        output: Tensor,  # noqa: ARG004
    ) -> None:
        tensors = _tensors(inputs)
        ctx.save_for_backward(*tensors)
        ctx.options = inputs[len(tensors) :]

    def _backward(self, ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Vector-Jacobian product through the formula of the reference."""
        create_graph = torch.is_grad_enabled()
        needed = ctx.needs_input_grad
        with torch.enable_grad():
            inputs = [t.view_as(t) if create_graph else t.detach() for t in ctx.saved_tensors]
            wanted = [
                t if t.requires_grad else t.requires_grad_() for t, need in zip(inputs, needed, strict=False) if need
            ]
            result = self._formula(*inputs, *ctx.options)
        gradients = iter(torch.autograd.grad(result, wanted, gradient, create_graph=create_graph, allow_unused=True))
        return tuple(next(gradients) if need else None for need in needed)


def _tensors(arguments: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(value for value in arguments if isinstance(value, Tensor))
