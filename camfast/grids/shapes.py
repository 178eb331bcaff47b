"""Operations that cut, join, reorder or regroup dimensions, and products of matrices."""

from collections.abc import Iterable

from camfast.grids.axes import Entry, Grid, Lost, Merged, joined, moved
from camfast.grids.rules import Call, Operand, follows


def _dimension(call: Call, key: str = "dim", extra: int = 0) -> int:
    return int(call.arguments[key]) % (len(call.main.shape) + extra)


def _put(grid: Grid, dimension: int, *entries: Entry) -> Grid:
    """A grid with one dimension replaced by others."""
    return (*grid[:dimension], *entries, *grid[dimension + 1 :])


@follows("slice")
def _slice(call: Call) -> Grid:
    dimension = _dimension(call)
    start = slice(call.arguments["start"], None).indices(call.main.shape[dimension])[0]
    entry = moved(call.main.grid[dimension], start, call.arguments["step"], call.where)
    if call.results[0][dimension] == call.main.shape[dimension]:
        entry = call.main.grid[dimension]
    return _put(call.main.grid, dimension, entry)


@follows("split split_with_sizes unsafe_split unsafe_split_with_sizes")
def _split(call: Call) -> list[Grid]:
    dimension, before, grids = _dimension(call), 0, []
    for shape in call.results:
        grids.append(_put(call.main.grid, dimension, moved(call.main.grid[dimension], before, 1, call.where)))
        before += shape[dimension]
    return grids


@follows("select unbind")
def _select(call: Call) -> list[Grid]:
    return [_put(call.main.grid, _dimension(call))] * len(call.results)


@follows("unsqueeze")
def _unsqueeze(call: Call) -> Grid:
    dimension = _dimension(call, extra=1)
    return (*call.main.grid[:dimension], None, *call.main.grid[dimension:])


@follows("squeeze")
def _squeeze(call: Call) -> Grid:
    ndim, given = len(call.main.shape), call.arguments.get("dim")
    dims = range(ndim) if given is None else given if isinstance(given, list) else [given]
    gone = {dim % ndim for dim in dims if ndim}
    sizes = enumerate(call.main.shape)
    return tuple(call.main.grid[dim] for dim, size in sizes if not (dim in gone and size == 1))


@follows("permute")
def _permute(call: Call) -> Grid:
    return tuple(call.main.grid[dim] for dim in call.arguments["dims"])


@follows("transpose")
def _transpose(call: Call) -> Grid:
    grid, one, other = list(call.main.grid), _dimension(call, "dim0"), _dimension(call, "dim1")
    grid[one], grid[other] = grid[other], grid[one]
    return tuple(grid)


@follows("t")
def _t(call: Call) -> Grid:
    return call.main.grid[::-1]


@follows("expand")
def _expand(call: Call) -> Grid:
    shape, (own, grid) = call.results[0], call.main
    missing = len(shape) - len(own)
    kept = (entry if size == old else None for entry, old, size in zip(grid, own, shape[missing:], strict=True))
    return ((None,) * missing) + tuple(kept)


def _shuffled(grid: Grid, dimensions: Iterable[int], where: str) -> Grid:
    """A grid along some of whose dimensions cells were picked, repeated or put in another order: places are lost."""
    gone = set(dimensions)
    return tuple(Lost(where) if dim in gone and _placed((entry,)) else entry for dim, entry in enumerate(grid))


@follows("flip roll")
def _flip(call: Call) -> Grid:
    ndim, given = len(call.main.shape), call.arguments["dims"]
    return _shuffled(call.main.grid, {dim % ndim for dim in given or range(ndim)}, call.where)


@follows("index_select")
def _index_select(call: Call) -> Grid:
    return _shuffled(call.main.grid, {_dimension(call)}, call.where)


@follows("index")
def _index(call: Call) -> Grid:
    """Pick along one dimension by a list, such as of channels; along several, or by a mask of several, all is lost."""
    given = {dim: index for dim, index in enumerate(call.arguments["indices"]) if index is not None}
    if [len(index.shape) for index in given.values()] != [1]:
        return (Lost(call.where),) * len(call.results[0])
    return _shuffled(call.main.grid, given, call.where)


@follows("repeat")
def _repeat(call: Call) -> Grid:
    times = call.arguments["repeats"]
    grid = (None,) * (len(times) - len(call.main.grid)) + call.main.grid
    return _shuffled(grid, {dim for dim, count in enumerate(times) if count != 1}, call.where)


@follows("cat")
def _cat(call: Call) -> Grid:
    shape = call.results[0]
    dimension = int(call.arguments["dim"]) % len(shape)
    pieces = [operand for operand in call.operands if len(operand.shape) == len(shape)]  # torch lets empty ones pass
    shifted, before = [], 0
    for piece in pieces:
        shifted.append((shape[dimension], moved(piece.grid[dimension], -before, 1, call.where)))
        before += piece.shape[dimension]
    return tuple(
        joined(
            shifted if dim == dimension else [(piece.shape[dim], piece.grid[dim]) for piece in pieces], size, call.where
        )
        for dim, size in enumerate(shape)
    )


@follows("stack")
def _stack(call: Call) -> Grid:
    shape = call.results[0]
    dimension = int(call.arguments["dim"]) % len(shape)
    pieces = [Operand(p.shape, (*p.grid[:dimension], None, *p.grid[dimension:])) for p in call.operands]
    sizes = [size for dim, size in enumerate(shape) if dim != dimension]
    kept = [
        joined([(size, piece.grid[dim + (dim >= dimension)]) for piece in pieces], size, call.where)
        for dim, size in enumerate(sizes)
    ]
    return (*kept[:dimension], None, *kept[dimension:])


@follows("view _unsafe_view reshape _reshape_alias")
def _view(call: Call) -> Grid:
    """Regroup dimensions: those merged here can be told apart again, those cut through are lost."""
    pending: list[tuple[int, Entry]] = []
    for size, entry in zip(call.main.shape, call.main.grid, strict=True):
        pending += entry.parts if isinstance(entry, Merged) else [(size, entry)]
    pending.reverse()  # a stack, its first dimension on top
    grid: list[Entry] = []
    for size in call.results[0]:
        taken, product = [], 1
        if size == 1:
            taken = [pending.pop()] if pending and pending[-1][0] == 1 else []
        while product < size and pending:
            extent, entry = pending.pop()
            fits = size % product == 0 and extent % (size // product) == 0
            if product * extent > size and fits and not _placed((entry,)):
                pending.append((extent * product // size, entry))
                extent = size // product
            if extent > 1:
                taken.append((extent, entry))
            product *= extent
        if product != size:
            lost = next((entry for entry in call.main.grid if isinstance(entry, Lost)), Lost(call.where))
            return (lost,) * len(call.results[0])
        grid.append(_group(taken))
    return tuple(grid)


def _group(parts: list[tuple[int, Entry]]) -> Entry:
    entries = [entry for _, entry in parts]
    if len(parts) == 1:
        return entries[0]
    lost = next((entry for entry in entries if isinstance(entry, Lost)), None)
    return lost or (Merged(tuple(parts)) if any(entry is not None for entry in entries) else None)


@follows("mm bmm addmm baddbmm")
def _product(call: Call) -> Grid:
    left, right = call.operands[-2:]
    if _placed((left.grid[-1], right.grid[-2])):
        return (Lost(f"{call.where}, which adds over places"),) * len(call.results[0])
    batch = (joined([(left.shape[0], left.grid[0]), (right.shape[0], right.grid[0])], left.shape[0], call.where),)
    return (*(batch if len(left.shape) == 3 else ()), left.grid[-2], right.grid[-1])


def _placed(entries: Iterable[Entry]) -> bool:
    return any(entry is not None and not isinstance(entry, Lost) for entry in entries)
