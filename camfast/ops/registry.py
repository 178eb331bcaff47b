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
    """Shape of an op's result: samples and targets, then the axes that are contiguous."""

    lead: tuple[int, ...]
    rest: tuple[int, ...]


class Op:
    """An op of `camfast.ops`, registered as ``torch.ops.camfast.<name>``.

    Parameters
    ----------
    name
        The op, also the name of its functions in `camfast.ops.native` and `camfast.ops.reference`.
    schema
        Its arguments in torch's schema language, tensors first, without ``backend``, which every op has.
    check
        Takes those arguments, raises for what doesn't fit, and returns the shape of the result.
    """

    def __init__(self, name: str, schema: str, check: Callable[..., ResultShape]) -> None:
        self.name = name
        self.check = check
        self._formula: Callable[..., Tensor] = getattr(reference, name)
        _LIBRARY.define(f"{name}({schema}, *, str? backend=None) -> Tensor")  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, self._kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        qualified = f"camfast::{name}"
        torch.library.register_fake(qualified, self._fake, lib=_LIBRARY)
        torch.library.register_autograd(qualified, self._backward, setup_context=self._setup_context, lib=_LIBRARY)

    def __call__(self, *arguments: Any, out: Tensor | None, backend: str | None) -> Tensor:
        """Run the op on whatever kind of tensors it is given."""
        shape = self.check(*arguments)
        tensors = _tensors(arguments)
        if is_plain(*tensors) and (out is None or is_plain(out)):
            check_out(out, shape.lead, shape.rest, tensors)
            return self._run(arguments, out, backend)
        if out is not None:
            raise ValueError(
                "out= can't be used where autograd records or torch traces the call: leave it out, or detach the inputs"
            )
        result: Tensor = getattr(torch.ops.camfast, self.name)(*arguments, backend=backend)
        return result

    def _run(self, arguments: tuple[Any, ...], out: Tensor | None, backend: str | None) -> Tensor:
        result: Tensor = dispatch.run(self.name, arguments, out, backend)
        return result

    def _kernel(self, *arguments: Any, backend: str | None = None) -> Tensor:
        self.check(*arguments)
        return self._run(arguments, None, backend)

    def _fake(self, *arguments: Any, backend: str | None = None) -> Tensor:  # noqa: ARG002 (part of the schema)
        shape = self.check(*arguments)
        reads: Tensor = arguments[0]
        return reads.new_empty((*shape.lead, *shape.rest), dtype=map_dtype(reads.dtype))

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
