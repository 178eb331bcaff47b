"""Where the cells of a tensor lie in a network's input: what each operation does to their centres."""

from camfast.grids import shapes, windows  # noqa: F401  (they enter their rules)
from camfast.grids.axes import Axis, Entry, Grid, Lost, Merged, moved
from camfast.grids.rules import Call, Operand, rule_of

__all__ = ["Axis", "Call", "Entry", "Grid", "Lost", "Merged", "Operand", "moved", "rule_of"]
