"""Where a call writes: a tensor of its own, a poisoned one, one with gaps, or one that lies over an input."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from reliability.kernels.hostile import Draw
from reliability.kernels.judging import Untouched, bits

KINDS = ("none", "poisoned", "gaps", "beside", "over")
_FILLER = 77


class Output:
    """A drawn output of a call.

    Parameters
    ----------
    draw
        What chooses it.
    shape
        That the op returns.
    lead
        How many leading axes may have any stride.
    dtype
        That the op returns.
    """

    def __init__(self, draw: Draw, shape: Sequence[int], lead: int, dtype: torch.dtype, kinds: Sequence[str] = KINDS):
        self.kind = draw.one_of("out", kinds)
        self._teams = draw.teams
        self._shape, self._lead, self._dtype = tuple(shape), lead, dtype
        self._room: Tensor | None = None
        self.tensor: Tensor | None = None
        if self.kind == "poisoned":
            self.tensor = _poison(torch.empty(self._shape, dtype=dtype))
        elif self.kind == "gaps" and lead:
            wide = [2 * extent + 1 for extent in self._shape[:lead]]
            self._room = torch.full((*wide, *self._shape[lead:]), _FILLER, dtype=dtype)
            self.tensor = _poison(self._room[(slice(1, None, 2),) * lead])

    def place(self, draw: Draw, tensor: Tensor) -> Tensor:
        """The input again, where the output is to lie over it or right beside it."""
        if self.kind not in ("beside", "over"):
            return tensor
        bytes_in, bytes_out = tensor.numel() * tensor.element_size(), math.prod(self._shape) * self._dtype.itemsize
        overlap = draw("overlap", _places(bytes_in)) if self.kind == "over" and bytes_in and bytes_out else 0
        before = -(-bytes_in // 8) * 8
        room = torch.full((before + bytes_out + 8,), _FILLER, dtype=torch.uint8)
        first = before - overlap
        self.tensor = _poison(room[first : first + bytes_out].view(self._dtype).view(self._shape))
        if not overlap:
            self.kind = "beside"
        return room[:bytes_in].view(tensor.dtype).view(tensor.shape).copy_(tensor)

    def call(
        self, function: Callable[[Any], Any], inputs: Sequence[Tensor], parts: Callable[[Any], Sequence[Any]]
    ) -> Any:
        """Run twice, the second time by the plan of the first; None where nothing is left to judge.

        That is where the call is refused, as it must be, and where teams of threads have been compared.

        The inputs and what lies around the output stay as they are, and both calls give the same bits.
        """
        untouched = Untouched(
            [
                t
                for t in inputs
                if self.tensor is None or self.kind not in ("beside", "over") or not _shares(t, self.tensor)
            ]
        )
        copies = [tensor.clone() for tensor in inputs]
        if self.kind == "over":
            with pytest.raises(ValueError, match="shares memory with an input"):
                function(self.tensor)
            return None
        if self._teams:
            same_by_teams(self._teams, lambda: bits(parts(function(self.tensor))))
            return None
        first = function(self.tensor)
        before = bits(parts(first))
        again = function(self.tensor)
        assert bits(parts(again)) == before, "the second of two equal calls gives other bits"
        untouched.check("an input")
        for tensor, copy in zip(inputs, copies, strict=True):
            assert bits([tensor.resolve_neg()]) == bits([copy.resolve_neg()]), "an input was changed"
        if self._room is not None:
            self.tensor_is_all_that_changed()
        return again

    def tensor_is_all_that_changed(self) -> None:
        assert self._room is not None
        around = torch.ones(self._room.shape, dtype=torch.bool)
        around[(slice(1, None, 2),) * self._lead] = False
        assert bool((self._room[around] == _FILLER).all()), "the gaps of the output were written"


def same_by_teams(teams: Sequence[int], call: Callable[[], list[bytes]]) -> None:
    """Assert that a call gives the same bits by each number of threads."""
    before, found = torch.get_num_threads(), []
    try:
        for count in teams:
            torch.set_num_threads(count)
            found.append(call())
    finally:
        torch.set_num_threads(before)
    for count, one in zip(teams[1:], found[1:], strict=True):
        assert one == found[0], f"{count} threads give other bits than {teams[0]}"


def _places(size: int) -> Any:
    from hypothesis import strategies as st

    return st.integers(1, max(1, size // 8)).map(lambda words: min(8 * words, -(-size // 8) * 8))


def _shares(tensor: Tensor, other: Tensor) -> bool:
    return tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def _poison(tensor: Tensor) -> Tensor:
    return tensor.fill_(math.nan if tensor.is_floating_point() else 1 if tensor.dtype == torch.bool else 99)
