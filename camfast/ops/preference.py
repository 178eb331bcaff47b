"""Which backend runs an op first on a GPU: the faster one, as measured there.

`MEASURED` is written by ``python -m bench.preference`` from ``bench/results/*.json`` and holds no guesses: where a GPU
or an op was not measured, the CUDA extension comes first.
"""

import torch

# by the name that a GPU gives itself, the faster backend of each op
MEASURED: dict[str, dict[str, str]] = {}


def gpu_backends(op: str, device: torch.device) -> tuple[str, str]:
    """The two backends for CUDA tensors, the one to try first in front."""
    if MEASURED and torch.cuda.is_available() and _measured(device).get(op) == "triton":
        return ("triton", "cuda")
    return ("cuda", "triton")


def _measured(device: torch.device) -> dict[str, str]:
    return MEASURED.get(torch.cuda.get_device_name(device), {})
