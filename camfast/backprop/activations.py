"""The activation functions of a graph: recognised by the nodes that they leave, however they were written."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node


@dataclass(frozen=True)
class Activation:
    """An activation function that stands in a graph.

    Attributes
    ----------
    node : Node
        What torch's graph has of it.
    label : str
        Its name for people.
    slot : int
        Which of its operands is x.
    rectified : Tensor or None
        x, where the function's own derivative at x = 0 isn't the 0 of ReLU.
    """

    node: Node
    label: str = "ReLU"
    slot: int = 0
    rectified: Tensor | None = None

    @property
    def is_relu(self) -> bool:
        """Whether it is a ReLU, in whatever form."""
        return self.label == "ReLU"


_OTHERS = {
    "LeakyRelu": "LeakyReLU", "PreluKernel": "PReLU", "RreluWithNoise": "RReLU", "Celu": "CELU",
    "Softplus": "Softplus", "Silu": "SiLU", "Gelu": "GELU", "Hardswish": "Hardswish", "Mish": "Mish",
}  # fmt: skip
_TRANSPARENT = {"BackwardHookFunction"}  # how torch calls a module's own backward hooks


def recognise(node: Node) -> Activation | None:
    """The activation function that a node belongs to, or None for any other operation."""
    name = name_of(node)
    saved: Any = node  # torch gives nodes their attributes when it runs
    if name == "Relu":
        return Activation(node)
    if name == "Threshold":
        return Activation(node, "ReLU" if saved._saved_threshold == 0 else "Threshold")
    if name == "Hardtanh":
        return Activation(node, "ReLU6") if saved._saved_min_val == 0 else None
    if name == "Elu":
        return Activation(node, "ELU" if saved._saved_scale == 1 else "SELU")
    if name in ("Clamp", "ClampMin") and _is_zero(saved._saved_min):
        if getattr(saved, "_saved_max", None) is not None:
            return Activation(node, "ReLU6")
        return Activation(node, rectified=saved._saved_self)
    if name in ("Maximum", "Fmax"):
        return _maximum(node)
    return Activation(node, _OTHERS[name]) if name in _OTHERS else None


def _maximum(node: Node) -> Activation | None:
    """The ReLU that is the maximum of a tensor and zeros, which have no graph."""
    saved: Any = node
    operands = ("_saved_self", "_saved_other")
    constant = [following is None for following, _ in node.next_functions]
    if sum(constant) != 1:
        return None
    slot = constant.index(False)
    if not _is_zero(getattr(saved, operands[1 - slot])):
        return None
    return Activation(node, slot=slot, rectified=getattr(saved, operands[slot]))


def _is_zero(value: Any) -> bool:
    """Whether a bound is the constant 0."""
    if isinstance(value, Tensor):
        return not value.requires_grad and not bool(value.any())
    return value is not None and value == 0


def name_of(node: Node) -> str:
    """The operation that a node belongs to: Relu for ReluBackward0."""
    name = node.name().rpartition("::")[2]
    return name.rstrip("0123456789").removesuffix("Backward")


def unseen(node: Node) -> str | None:
    """The name of a function that may hold activations which no node shows: a custom one, or compiled TorchScript."""
    if hasattr(node, "_forward_cls"):
        return None if name_of(node) in _TRANSPARENT else name_of(node)
    return "TorchScript" if "DifferentiableGraph" in node.name() else None
