"""What is measured: each op on its sizes, by camfast, by the reference's formula, by that compiled, and by peers."""

from collections.abc import Callable

import torch

from bench import map_ops, pictures, upsamplings
from bench.case import SIGMA, Case, Size, Spec
from camfast.ops.forms import FORMS

_LARGE: tuple[Size, ...] = ((1, 64, 96, 96, 96), (1, 32, 128, 128, 128))
_SMALL: tuple[Size, ...] = ((8, 64, 10, 10, 10), (4, 512, 14, 14))
_UPSAMPLINGS: tuple[tuple[Size, Size], ...] = (
    ((64, 10, 10, 10), (40, 40, 40)),
    ((1, 64, 64, 64), (256, 256, 256)),
    ((8, 14, 14), (224, 224)),
)
_METHODS = tuple(name for name in FORMS if name not in ("elementwise", "extended"))  # those two are hirescam's kernel

_SPECS: dict[str, tuple[Spec, ...]] = {
    "fused_cam": tuple(Spec("fused_cam", method, size) for method in _METHODS for size in (*_LARGE, *_SMALL)),
    "channel_weights": tuple(
        Spec("channel_weights", method, size) for method in ("gradcam", "respond") for size in (_LARGE[0], *_SMALL)
    ),
    "weighted_sum": tuple(Spec("weighted_sum", "", size) for size in (_LARGE[0], *_SMALL)),
    "product_sum": tuple(Spec("product_sum", "none", size) for size in (_LARGE[0], *_SMALL)),
    "linear_upsample": tuple(Spec("linear_upsample", "", size, to) for size, to in _UPSAMPLINGS),
    "gaussian_upsample": tuple(Spec("gaussian_upsample", f"σ {SIGMA:g}", size, to) for size, to in _UPSAMPLINGS),
    "overlay": (Spec("overlay", "uint16", (1, 14, 14), (2048, 2048)),),
    "running_max": (Spec("running_max", "", (1, 256, 256, 256)), Spec("running_max", "", (8, 224, 224))),
}
_BUILDERS: dict[str, Callable[[Spec, str], Case]] = {
    "channel_weights": map_ops.channel_weights,
    "weighted_sum": map_ops.weighted_sum,
    "product_sum": map_ops.product_sum,
    "fused_cam": map_ops.fused_cam,
    "linear_upsample": upsamplings.linear_upsample,
    "gaussian_upsample": upsamplings.gaussian_upsample,
    "overlay": pictures.overlay,
    "running_max": pictures.running_max,
}


def specs(op: str | None = None, *, quick: bool = False) -> list[Spec]:
    """List what is measured, of one op or of all; ``quick``: on a small size."""
    found = []
    for name in _SPECS if op is None else (op,):
        last = _SPECS[name][-1]
        found += [spec for spec in _SPECS[name] if not quick or (spec.size, spec.to) == (last.size, last.to)]
    return found


def build(spec: Spec, device: str = "cpu", seed: int = 0) -> Case:
    """Allocate the tensors of a spec."""
    torch.manual_seed(seed)
    return _BUILDERS[spec.op](spec, device)
