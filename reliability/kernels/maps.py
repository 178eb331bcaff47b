"""The ops on activations and gradients: a drawn call gives what `exact` says, on the backend that is named."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from torch import Tensor

from camfast import ops
from camfast.ops.forms import DTYPES, FORMS, RECTIFY, map_dtype
from reliability.kernels import exact
from reliability.kernels.hostile import Draw, spoilt
from reliability.kernels.judging import arithmetic, assert_exact, bits, values
from reliability.kernels.outputs import Output, same_by_teams
from reliability.kernels.pixels import axes_of, gaussian_options, place_rounding

WEIGHTED = [name for name, form in FORMS.items() if form.weighted]


def _pair(draw: Draw, room: int) -> tuple[Tensor, Tensor, bool]:
    """Activations (N, C, *S) and gradients, and whether these have an axis of targets."""
    dtype = draw.one_of("dtype", DTYPES)
    rank = draw("rank", st.integers(1, 3))
    targets = draw.one_of("targets", (None, 1, 2, 5))
    shape = draw.sizes("shape", rank + 2, room // (targets or 1))
    A = draw.tensor("activations", shape, dtype)
    G = draw.tensor("gradients", shape if targets is None else (targets, *shape), dtype)
    return A, G, targets is not None


def _by_position(A: Tensor, G: Tensor) -> tuple[exact.Array, exact.Array]:
    """A (N, C, P) and G (T, N, C, P) as numbers."""
    positions = int(np.prod(A.shape[2:]))
    return values(A).reshape(*A.shape[:2], positions), values(G).reshape(
        len(G) if G.ndim > A.ndim else 1, *A.shape[:2], positions
    )


def _with_targets(result: Tensor, has_targets: bool, positions: bool = True) -> Tensor:
    """(N, [T,] *S) as (N, T, P)."""
    result = result if has_targets else result.unsqueeze(1)
    return result.flatten(2) if positions and result.ndim > 2 else result


def channel_weights(draw: Draw, backend: str, room: int) -> None:
    A, G, has_targets = _pair(draw, room)
    method = draw.one_of("method", WEIGHTED)
    lead = (A.shape[0], len(G)) if has_targets else A.shape[:1]
    out = Output(draw, (*lead, A.shape[1]), len(lead), map_dtype(A.dtype))
    A = out.place(draw, A)
    found = out.call(lambda o: ops.channel_weights(A, G, method, out=o, backend=backend), [A, G], lambda r: [r])
    if found is None:
        return
    a, g = _by_position(A, G)
    expected = exact.channel_weights(a, g, method, arithmetic(backend, found.dtype, a.shape[-1]))
    assert_exact(_with_targets(found, has_targets), expected, _bad(A, G, has_targets), "weights")


def _bad(A: Tensor, G: Tensor, has_targets: bool) -> exact.Array:
    return spoilt(A, G if has_targets else G[None]).numpy()


def weighted_sum(draw: Draw, backend: str, room: int) -> None:
    dtype = draw.one_of("dtype", DTYPES)
    targets = draw.one_of("targets", (None, 1, 2, 5))
    shape = draw.sizes("shape", draw("rank", st.integers(1, 3)) + 2, room // (targets or 1))
    A = draw.tensor("activations", shape, dtype)
    lead = shape[:1] if targets is None else (shape[0], targets)
    w = draw.tensor("weights", (*lead, shape[1]), map_dtype(dtype))
    relu = draw.flag("relu")
    out = Output(draw, (*lead, *shape[2:]), len(lead), map_dtype(dtype))
    A = out.place(draw, A)
    found = out.call(lambda o: ops.weighted_sum(A, w, relu=relu, out=o, backend=backend), [A, w], lambda r: [r])
    if found is None:
        return
    weights = values(w).reshape(shape[0], targets or 1, shape[1]).astype(exact.LONG)
    positions = int(np.prod(shape[2:]))
    rules = arithmetic(backend, found.dtype, shape[1])
    given = exact.Exact(weights, np.zeros_like(weights))
    expected = exact.weighted_sum(values(A).reshape(*shape[:2], positions), given, rules)
    bad = spoilt(A).numpy() | ~np.isfinite(weights).all(-1)
    assert_exact(_with_targets(found, targets is not None), expected.relu() if relu else expected, bad, "grid")


def product_sum(draw: Draw, backend: str, room: int) -> None:
    A, G, has_targets = _pair(draw, room)
    rectify, relu = draw.one_of("rectify", RECTIFY), draw.flag("relu")
    lead = (A.shape[0], len(G)) if has_targets else A.shape[:1]
    out = Output(draw, (*lead, *A.shape[2:]), len(lead), map_dtype(A.dtype))
    A = out.place(draw, A)
    found = out.call(
        lambda o: ops.product_sum(A, G, rectify=rectify, relu=relu, out=o, backend=backend), [A, G], lambda r: [r]
    )
    if found is None:
        return
    a, g = _by_position(A, G)
    expected = exact.product_sum(a, g, rectify, arithmetic(backend, found.dtype, a.shape[1]))
    expected = expected.relu() if relu else expected
    assert_exact(_with_targets(found, has_targets), expected, _bad(A, G, has_targets), "grid")


def fused_cam(draw: Draw, backend: str, room: int) -> None:
    A, G, has_targets = _pair(draw, room)
    method = draw.one_of("method", list(FORMS))
    form = FORMS[method]
    relu = draw.one_of("relu", (None, False, True))
    spatial = A.shape[2:]
    size = None
    options: dict[str, Any] = {"upsample": "linear"}
    lead = (A.shape[0], len(G)) if has_targets else A.shape[:1]
    if all(spatial) and draw.flag("upsamples"):
        size = draw.sizes("size", len(spatial), max(1, room // max(1, int(np.prod(lead)))), empty=False)
        if draw.flag("gaussian"):
            options = {"upsample": "gaussian", **gaussian_options(draw, len(size))}
    out = Output(draw, (*lead, *(size or spatial)), len(lead), map_dtype(A.dtype))
    A = out.place(draw, A)
    asked = {"relu": relu, "size": size, "backend": backend, **options}
    if draw.teams:
        same_by_teams(draw.teams, lambda: bits(ops.fused_cam_parts(A, G, method, **asked)))
    found = out.call(lambda o: ops.fused_cam(A, G, method, out=o, **asked), [A, G], lambda r: [r])
    if found is None:
        return
    parts = ops.fused_cam_parts(A, G, method, **asked)
    a, g = _by_position(A, G)
    bad = _bad(A, G, has_targets)
    rules = arithmetic(backend, found.dtype, max(a.shape[1:]))
    if form.weighted:
        weights = exact.channel_weights(a, g, method, rules)
        assert_exact(_with_targets(parts.weights, has_targets), weights, bad, "weights")
        _check_flags(_with_targets(parts.ill_conditioned, has_targets, positions=False), a, g, method, rules, bad)
        grid = exact.weighted_sum(a, weights, rules)
    else:
        assert form.rectify is not None
        grid = exact.product_sum(a, g, form.rectify, rules)
    if form.relu if relu is None else relu:
        grid = grid.relu()
    assert_exact(_with_targets(parts.grid, has_targets), grid, bad, "grid")
    if size is not None:
        gaussian = options if options["upsample"] == "gaussian" else None
        shaped = exact.Exact(*(part.reshape(*part.shape[:2], *spatial) for part in grid))
        grid = exact.upsampled(
            shaped,
            axes_of(spatial, size, gaussian, place_rounding(backend, found.dtype)),
            arithmetic(backend, found.dtype, max(spatial)),
        )
        grid = exact.Exact(*(part.reshape(*part.shape[:2], int(np.prod(size))) for part in grid))
    for result, name in ((found, "map"), (parts.maps, "maps of the parts")):
        assert_exact(_with_targets(result, has_targets), grid, bad, name)


def _check_flags(
    found: Tensor, A: exact.Array, G: exact.Array, method: str, rules: exact.Arithmetic, bad: exact.Array
) -> None:
    """A flag where S is far below its threshold or a pole is near, none where neither is close to either."""
    with np.errstate(all="ignore"):
        S, magnitude = A.astype(exact.LONG).sum(-1)[:, None], np.abs(A.astype(exact.LONG)).sum(-1)[:, None]
        slack = rules.unit * magnitude + A.shape[-1] * rules.smallest
        surely = (np.abs(S) + slack < 1e-4 * (magnitude - slack)) & (magnitude > 0)
        maybe = (np.abs(S) - slack < 1e-4 * (magnitude + slack)) & (magnitude > 0)
        if method == "gradcam++":
            g = G.astype(exact.LONG).swapaxes(0, 1)
            pole = 2 + S[..., None] * g
            error = rules.unit * (2 + np.abs(S[..., None] * g)) + np.abs(g) * slack[..., None]
            surely = surely | ((g > 0) & (pole + error < 2e-4)).any(-1)
            maybe = maybe | ((g > 0) & (pole - error < 2e-4)).any(-1)
        if method == "gradcam":
            surely, maybe = np.zeros_like(surely), np.zeros_like(maybe)
    got = found.numpy()
    surely, maybe = (np.broadcast_to(flags.any(-1), got.shape) for flags in (surely, maybe))
    huge = np.broadcast_to((magnitude > rules.largest).any(-1), got.shape)
    wrong = ((surely & ~got) | (~maybe & got)) & ~bad & ~huge
    assert not wrong.any(), f"ill_conditioned{np.argwhere(wrong)[0].tolist()} is {got[wrong][0]}"
