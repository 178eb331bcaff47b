"""`camfast.ops` with arguments that are wrong: refused by a TypeError, a ValueError or a `camfast.CamfastError`."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import camfast
from camfast import ops

if TYPE_CHECKING:
    from reliability.bindings.child import Log


def _junk() -> tuple[Any, ...]:
    return (
        None,
        3,
        -1,
        2**70,
        0.5,
        float("nan"),
        float("inf"),
        "x",
        b"x",
        True,
        1j,
        object(),
        [],
        [1, 2],
        [[1.0]],
        (),
        {},
        (3,),
        (None,),
        ("a", "b"),
        (4, 4),
        (-1, 2),
        (0, 0),
        (2.5, 2.5),
        range(3),
        ...,
        np.zeros((2, 3)),
        np.float32(2),
        torch.zeros(()),
        torch.zeros(0),
        torch.zeros(2, 3),
        torch.zeros(2, 3, 4, 4, 4, 4),
        torch.zeros(2, 3, 4, 4).int(),
        torch.zeros(2, 3, 4, 4).bool(),
        torch.zeros(2, 3, 4, 4, dtype=torch.complex64),
        torch.zeros(2, 3, 4, 4, device="meta"),
        torch.zeros(2, 3, 4, 4).half(),
        torch.zeros(2, 3, 4, 4).to_sparse(),
        torch.zeros(2, 3, 4, 4, requires_grad=True),
        torch.zeros(2, 0, 4, 4),
        torch.quantize_per_tensor(torch.zeros(2, 3, 4, 4), 1.0, 0, torch.quint8),
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        [torch.zeros(2, 3, 4, 4)],
        torch.nn.Linear(1, 1),
        torch.float32,
    )


def _right() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    A, G = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    common = {"out": None, "backend": None}
    upsampling = {"relu": None, "size": (8, 8), "upsample": "gaussian", "sigma": 2.0, "gain": "spray", "centres": None}
    window = {"taper": torch.rand(2, 2, dtype=torch.float64), "origins": torch.zeros(3, 2, dtype=torch.int64)}
    return {
        "channel_weights": (ops.channel_weights, {"activations": A, "gradients": G, "method": "respond", **common}),
        "weighted_sum": (ops.weighted_sum, {"activations": A, "weights": torch.rand(2, 3), "relu": False, **common}),
        "product_sum": (
            ops.product_sum,
            {"activations": A, "gradients": G, "rectify": "none", "relu": False, **common},
        ),
        "fused_cam": (ops.fused_cam, {"activations": A, "gradients": G, "method": "respond", **upsampling, **common}),
        "fused_cam_parts": (
            ops.fused_cam_parts,
            {"activations": A, "gradients": G, "method": "gradcam", **upsampling, **common},
        ),
        "allocate": (ops.allocate, {"activations": A, "method": "respond", "size": (8, 8), "targets": 2, "maps": None}),
        "linear_upsample": (ops.linear_upsample, {"grid": A[:, 0], "size": (8, 8), **common}),
        "gaussian_upsample": (
            ops.gaussian_upsample,
            {"grid": A[:, 0], "size": (8, 8), "sigma": 2.0, "gain": "mass", "centres": None, **common},
        ),
        "running_max": (
            ops.running_max,
            {"values": A, "index": torch.zeros(2, 3, 4, 4, dtype=torch.int32), "candidate": G, "unit": 3, **common},
        ),
        "window_sum": (
            ops.window_sum,
            {
                "total": torch.rand(1, 4, 4, dtype=torch.float64),
                "maps": torch.rand(3, 1, 2, 2),
                **window,
                "blend": "mean",
                **common,
            },
        ),
        "overlay": (
            ops.overlay,
            {
                "image": torch.rand(2, 6, 6),
                "heat": A[:, 0],
                "low": 0.0,
                "high": 1.0,
                "colormap": "jet",
                "alpha": 0.5,
                "threshold": 0.0,
                "sigma": None,
                "image_range": None,
                **common,
            },
        ),
        "backends": (camfast.backends, {"op": "overlay", "device": "cpu"}),
    }


def attempt(draw: random.Random, log: "Log") -> None:
    """Call an op with one or two arguments replaced."""
    right = _right()
    name = draw.choice(list(right))
    function, arguments = right[name]
    junk = _junk()
    given = dict(arguments)
    said = {}
    for _ in range(draw.choice((1, 1, 2))):
        argument = draw.choice(list(given))
        given[argument] = junk[draw.randrange(len(junk))]
        said[argument] = _shown(given[argument])
    log.trying("camfast.ops", f"{name}({', '.join(f'{key}={value}' for key, value in said.items())})")
    try:
        function(**given)
    except (TypeError, ValueError, camfast.CamfastError):
        log.done()
    except BaseException as error:
        log.done(f"raised {type(error).__name__}: {str(error).splitlines()[:1]}")
    else:
        log.done()


def _shown(value: Any) -> str:
    """A value on one line; a tensor by its kind."""
    if isinstance(value, torch.Tensor) and not value.is_nested:
        kind = "" if value.layout == torch.strided else f" {value.layout}"
        grad = " that requires grad" if value.requires_grad else ""
        return f"<{value.dtype}{kind} {tuple(value.shape)} on {value.device}{grad}>"
    return " ".join(repr(value).split())
