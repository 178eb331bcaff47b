"""One `Op` an operation: checked, known to torch, and run by the backend of its tensors.

Eager calls on plain tensors go straight to the backend. Inputs that autograd records, fake tensors and tracing go
through ``torch.ops.camfast``, those that `torch.func` differentiates to the reference. All ways run the same check; a
call like one that has passed it isn't checked again (`camfast.ops.plans`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_compiling

from camfast.ops import dispatch, native, reference
from camfast.ops.backward import DERIVATIVES
from camfast.ops.checks import check_out, has_tangents, is_differentiated, is_intercepted, is_plain
from camfast.ops.forms import map_dtype, tensors_of
from camfast.ops.plans import Plans, plan_of

_LIBRARY = torch.library.Library("camfast", "DEF")  # type: ignore[no-untyped-call]


class ResultShape(NamedTuple):
    """Shape of a result: samples and targets, then the axes that are contiguous; dtype, None for that of maps."""

    lead: tuple[int, ...]
    rest: tuple[int, ...]
    dtype: torch.dtype | None = None

    def empty(self, like: Tensor) -> Tensor:
        """A tensor of this shape on the device of another, whose dtype is that of the inputs."""
        return like.new_empty((*self.lead, *self.rest), dtype=self.dtype or map_dtype(like.dtype))


def _check_single_out(out: Tensor | None, shape: ResultShape, inputs: list[Tensor]) -> None:
    check_out(out, shape.lead, shape.rest, inputs, dtype=shape.dtype)


def _as_they_are(*arguments: Any) -> tuple[Any, ...]:
    return arguments


class Op:
    """An op of `camfast.ops`, registered as ``torch.ops.camfast.<name>``.

    Parameters
    ----------
    name
        The op, also the name of its function in each backend.
    schema
        Its arguments in torch's schema language, tensors first, without ``backend``, which every op has; of the last
        ones those that are floats may have a default.
    check
        Takes those arguments, raises for what doesn't fit, and returns the shape of the result, or of each; None in
        the place of one that these arguments don't have.
    prepare
        Makes those arguments of the ones that `run` is called with; its results depend on their values and on the
        tensors' sizes and dtypes only.
    returns
        The named tuple of an op with several results; None for a tensor.
    alias
        Names of a result and of the one that it is where it has no shape of its own.
    check_out
        Checks the caller's output against the shape and the tensors that are read.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        check: Callable[..., Any],
        *,
        prepare: Callable[..., tuple[Any, ...]] = _as_they_are,
        returns: Any = None,
        alias: tuple[str, str] | None = None,
        check_out: Callable[..., None] = _check_single_out,
    ) -> None:
        self.name = name
        self.check = check
        self._prepare = prepare
        self._check_out = check_out
        self._returns = returns
        self._alias = alias
        self._derivative = DERIVATIVES.get(name)  # without one, inputs that autograd records are refused
        parts = schema.split(", ")
        self._is_tensor = [part.split()[0] == "Tensor" for part in parts]
        self._defaults = tuple(float(part.partition("=")[2]) for part in parts if "=" in part)
        self._plans = Plans()
        result = "Tensor" if returns is None else f"({', '.join(f'Tensor {field}' for field in returns._fields)})"
        _LIBRARY.define(f"{name}({schema}, *, str? backend=None) -> {result}")  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, self._kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        qualified = f"camfast::{name}"
        torch.library.register_fake(qualified, self._fake, lib=_LIBRARY)
        if self._derivative is not None:
            torch.library.register_autograd(qualified, self._backward, setup_context=self._setup_context, lib=_LIBRARY)

    def __call__(self, *arguments: Any, out: Tensor | None, backend: str | None) -> Tensor:
        """Run the op, which has one result, on whatever kind of tensors it is given."""
        result: Tensor = self.run(*arguments, out=out, backend=backend)
        return result

    def run(self, *arguments: Any, out: Any, backend: str | None) -> Any:
        """Run the op on whatever kind of tensors it is given."""
        if not is_compiling():
            result = self._plans.attempt(arguments, out, backend)
            if result is not None:
                return result
        prepared = self._prepare(*arguments)
        shape = self.check(*prepared)
        tensors = tensors_of(prepared)
        if is_plain(*tensors, *tensors_of((out,))) and not (out is None and is_intercepted()):
            if out is not None:
                self._check_out(out, shape, tensors)
            return self._run(arguments, prepared, shape, out, backend)
        if self._derivative is None and torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            raise ValueError(f"{self.name} has no derivative, and an input requires grad: detach it")
        if has_tangents(*tensors):
            raise ValueError(
                f"{self.name} has no forward-mode derivative, and an input has a tangent: use reverse mode"
            )
        if out is not None:
            raise ValueError(
                "out= can't be used where autograd records or torch traces the call: leave it out, or detach the inputs"
            )
        dispatch.check_backend(backend)
        if is_differentiated(*tensors):  # torch.func wants a formula that it can look into
            return getattr(reference, self.name)(*prepared)
        result = getattr(torch.ops.camfast, self.name)(*self._as_schema(prepared), backend=backend)
        return self._named(result, shape)

    def _run(
        self, arguments: tuple[Any, ...], prepared: tuple[Any, ...], shape: Any, out: Any, backend: str | None
    ) -> Any:
        """Run a call that was checked, and keep how."""
        reads = prepared[0]
        function = dispatch.function(self.name, reads.device, backend)
        whole = out is not None and isinstance(function, native.Kernel)  # these leave out what isn't asked for
        written = out if whole else self._complete(shape, out, reads)
        function(*prepared, written)
        complete = None if written is out else functools.partial(self._complete, shape)
        self._plans.keep(plan_of(function, prepared, written, complete), arguments, out, backend)
        return written

    def _complete(self, shape: Any, out: Any, like: Tensor) -> Any:
        """Allocate the results, or those that the caller's output hasn't."""
        if self._returns is None:
            return shape.empty(like) if out is None else out
        given = (None,) * len(shape) if out is None else out
        parts = self._returns(
            *(
                part if part is not None or extent is None else extent.empty(like)
                for part, extent in zip(given, shape, strict=True)
            )
        )
        return self._aliased(parts)

    def _aliased(self, parts: Any) -> Any:
        """Put a result in the place of another that it also is."""
        if self._alias is None or getattr(parts, self._alias[0]) is not None:
            return parts
        name, same = self._alias
        return parts._replace(**{name: getattr(parts, same)})

    def _as_schema(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numbers as tensors of no axis where the schema has tensors."""
        device = arguments[0].device
        return tuple(
            torch.tensor(value, device=device, dtype=torch.float32 if isinstance(value, float) else torch.int64)
            if is_tensor and not isinstance(value, Tensor)
            else value
            for value, is_tensor in zip(arguments, self._is_tensor, strict=True)
        )

    def _filled(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments with those that torch leaves out: the last ones, where they are their defaults."""
        missing = len(self._is_tensor) - len(arguments)
        return (*arguments, *self._defaults[len(self._defaults) - missing :])

    def _kernel(self, *arguments: Any, backend: str | None = None) -> Any:
        arguments = self._filled(arguments)
        shape, reads = self.check(*arguments), arguments[0]
        written = self._complete(shape, None, reads)
        dispatch.function(self.name, reads.device, backend)(*arguments, written)
        return self._plain(written, shape, reads)

    def _fake(self, *arguments: Any, backend: str | None = None) -> Any:  # noqa: ARG002 (part of the schema)
        arguments = self._filled(arguments)
        shape, reads = self.check(*arguments), arguments[0]
        return self._plain(self._complete(shape, None, reads), shape, reads)

    def _plain(self, results: Any, shape: Any, like: Tensor) -> Any:
        """Results as the schema has them: empty tensors in the place of those without a shape of their own."""
        if self._returns is None:
            return results
        return tuple(
            like.new_empty(0) if extent is None else result for result, extent in zip(results, shape, strict=True)
        )

    def _named(self, results: Any, shape: Any) -> Any:
        """Undo `_plain`."""
        if self._returns is None:
            return results
        parts = (None if extent is None else result for result, extent in zip(results, shape, strict=True))
        return self._aliased(self._returns(*parts))

    def _setup_context(
        self,
        ctx: Any,
        inputs: tuple[Any, ...],
        keyword_only_inputs: dict[str, Any],
        output: Any,
    ) -> None:
        ctx.arguments, ctx.backend = len(inputs), keyword_only_inputs["backend"]
        assert self._derivative is not None
        self._derivative.save(ctx, *inputs, output)

    def _backward(self, ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        assert self._derivative is not None
        found = self._derivative.gradients(ctx, *gradients)
        return (*found, *(None,) * (ctx.arguments - len(found)))
