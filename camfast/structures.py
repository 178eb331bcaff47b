"""Tensors in what a model's parts return: tuples, lists, dicts and dataclasses, walked through and built again."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from torch.utils._pytree import tree_map


def map_leaves(function: Callable[[Any], Any], result: Any) -> Any:
    """Apply a function to every leaf of tuples, lists, dicts and dataclasses, and build the same structure again."""

    def visit(leaf: Any) -> Any:
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return function(leaf)
        twin = copy.copy(leaf)
        for part in dataclasses.fields(leaf):
            object.__setattr__(twin, part.name, map_leaves(function, getattr(leaf, part.name)))
        return twin

    return tree_map(visit, result)


def leaves(result: Any) -> list[Any]:
    """Every leaf of tuples, lists, dicts and dataclasses."""
    found: list[Any] = []

    def note(leaf: Any) -> Any:
        found.append(leaf)
        return leaf

    map_leaves(note, result)
    return found
