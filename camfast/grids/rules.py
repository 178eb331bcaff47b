"""The rules by operation: those that leave every cell where it is, and what becomes of an operation without a rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from camfast.grids.axes import Grid, Lost, joined


class Operand(NamedTuple):
    """A tensor before an operation: its sizes, and what is known of its dimensions."""

    shape: tuple[int, ...]
    grid: Grid


@dataclass(frozen=True)
class Call:
    """One operation: its name, its arguments by the schema's names (tensors as operands), and the results' shapes."""

    name: str
    arguments: dict[str, Any]
    results: list[tuple[int, ...]]

    @property
    def main(self) -> Operand:
        """The tensor that is worked on."""
        found = self.arguments.get("self", self.arguments.get("input"))
        return found if isinstance(found, Operand) else self.operands[0]

    @property
    def operands(self) -> list[Operand]:
        """Every tensor among the arguments."""
        values = [v for value in self.arguments.values() for v in (value if isinstance(value, list) else [value])]
        return [value for value in values if isinstance(value, Operand)]

    @property
    def where(self) -> str:
        """The place, as a message calls it."""
        return f"at {self.name}"


Rule = Callable[[Call], Grid | list[Grid]]
RULES: dict[str, Rule] = {}

_SAME = """alias bernoulli _batch_norm_with_update channel_shuffle clone contiguous cudnn_batch_norm detach
    _fused_rms_norm glu lift_fresh log_sigmoid_forward _log_softmax miopen_batch_norm native_batch_norm
    _native_batch_norm_legit _native_batch_norm_legit_no_training native_channel_shuffle native_dropout
    native_group_norm native_layer_norm _safe_softmax _softmax _to_copy"""
_CONSTANT = """empty_like fill full_like new_empty new_empty_strided new_full new_ones new_zeros ones_like rand_like
    randn_like zero zeros_like"""
_POINTWISE = "copy hardswish _prelu_kernel rrelu_with_noise where"  # pointwise, though torch doesn't tag them so


def rule_of(operation: Any, name: str) -> Rule:
    """The rule of an operation; without one of its own its results have no place in the input."""
    return RULES.get(name, _pointwise if torch.Tag.pointwise in operation.tags else _unknown)


def follows(names: str) -> Callable[[Rule], Rule]:
    """Enter a rule for the operations of these names."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return enter


def _unknown(call: Call) -> list[Grid]:
    followed = any(entry is not None for operand in call.operands for entry in operand.grid)
    return [(Lost(call.where) if followed else None,) * len(shape) for shape in call.results]


@follows(_CONSTANT)
def _constant(call: Call) -> list[Grid]:
    return [(None,) * len(shape) for shape in call.results]


@follows(_SAME)
def _same(call: Call) -> list[Grid]:
    grid = call.main.grid
    return [grid if len(shape) == len(grid) else (None,) * len(shape) for shape in call.results]  # or statistics


@follows(_POINTWISE)
def _pointwise(call: Call) -> Grid:
    shape = call.results[0]
    aligned = []
    for operand in call.operands:
        missing = len(shape) - len(operand.shape)
        aligned.append(zip((1,) * missing + operand.shape, (None,) * missing + operand.grid, strict=True))
    return tuple(joined(parts, size, call.where) for *parts, size in zip(*aligned, shape, strict=True))
