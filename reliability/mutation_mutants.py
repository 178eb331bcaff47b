"""Mutants of a module: the same source with one small change that tests should notice.

What is changed is said by the operators of mutmut, and by one of our own, which leaves out a call that stands for
itself, such as a check. Left alone is what no test could notice or need not: annotations, names of types, docstrings,
decorators, imports, and arguments of ``len`` and ``isinstance``.
"""

import ast
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import libcst as cst
from libcst import matchers as m
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes
    ----------
    module
        Its file, from the root of the repository.
    where
        The function or class that is changed, with dots; empty outside of any.
    before, after
        The lines that differ, stripped.
    again
        How many equal changes stand in front of it in the same place.
    source
        The whole changed module.
    line
        Where the change begins, from 1.
    """

    module: str
    where: str
    before: str
    after: str
    again: int
    source: str
    line: int

    @property
    def name(self) -> str:
        """What it is called wherever lines move: module, place and change."""
        count = f" #{self.again + 1}" if self.again else ""
        return f"{self.module} {self.where or '-'}: {self.before} => {self.after}{count}"


def _left_out(node: cst.Expr) -> Iterator[cst.Pass]:
    if isinstance(node.value, cst.Call):
        yield cst.Pass(semicolon=node.semicolon)


class _Finder(cst.CSTVisitor):
    """Every change of a module, as the node, what takes its place, and the function or class around it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []
        self._inside: list[str] = []
        self._operators = (*mutation_operators, (cst.Expr, _left_out))

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_alone(node, outside=not self._inside):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._inside.append(node.name.value)
        where = ".".join(self._inside)
        for kind, operator in self._operators:
            if isinstance(node, kind):
                self.found.extend((where, node, changed) for changed in operator(node))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._inside.pop()


def _is_left_alone(node: cst.CSTNode, *, outside: bool) -> bool:
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
        return True
    if m.matches(node, m.Call(m.Name("len") | m.Name("isinstance"))):
        return True
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString):
        return True
    # a type by name, like Shape = tuple[int, int, int]; constants are in capitals
    target = node.targets[0].target if isinstance(node, cst.Assign) else None
    return outside and isinstance(target, cst.Name) and not target.value.isupper() and target.value[0].isupper()


def mutants_of(module: str, root: Path = ROOT, within: Sequence[str] = ()) -> list[Mutant]:
    """Every mutant of a module, in the order of its source.

    Parameters
    ----------
    module
        Its file, from the root.
    root
        The repository.
    within
        Beginnings of the names of functions, of which only those are changed; empty: all of the module.
    """
    source = (root / module).read_text("utf-8")
    tree = MetadataWrapper(cst.parse_module(source))
    places = tree.resolve(WhitespaceInclusivePositionProvider)
    finder = _Finder()
    tree.module.visit(finder)
    lines = source.splitlines(keepends=True)
    begins = [0, *itertools.accumulate(map(len, lines))]
    made: list[Mutant] = []
    programs, counts = {_program(source)}, Counter[str]()
    for where, node, changed in finder.found:
        if within and not where.startswith(tuple(within)):
            continue
        start, end = places[node].start, places[node].end
        tail = source[begins[end.line - 1] + end.column :]
        mutated = source[: begins[start.line - 1] + start.column] + tree.module.code_for_node(changed) + tail
        program = _program(mutated)
        if program is None or program in programs:  # no Python, or one that there is
            continue
        programs.add(program)
        line, before, after = _difference(lines, mutated.splitlines(keepends=True))
        mutant = Mutant(module, where, before, after, 0, mutated, line)
        made.append(replace(mutant, again=counts[mutant.name]))
        counts[mutant.name] += 1
    return made


def _program(source: str) -> str | None:
    """What tells two programs apart; None for what is none."""
    try:
        tree = ast.parse(source)
        compile(tree, "mutant", "exec", dont_inherit=True)  # it refuses more than the parser does
    except SyntaxError:
        return None
    return ast.dump(tree)


def _difference(old: Sequence[str], new: Sequence[str]) -> tuple[int, str, str]:
    """The first line that differs, from 1, and what stands from there to the last one, before and after."""
    most = min(len(old), len(new))
    first = next(i for i in range(most) if old[i] != new[i])
    same = next((i for i in range(most - first) if old[-1 - i] != new[-1 - i]), most - first)
    before, after = (" ".join(line.strip() for line in lines[first : len(lines) - same]) for lines in (old, new))
    return first + 1, before, after


def sample(mutants: Iterable[Mutant], count: int, seed: int) -> list[Mutant]:
    """Some of the mutants, from each module in proportion; those that a hash of seed and name puts first.

    An edited line changes what is drawn of that line, not the rest of the sample, as long as the proportions stay.
    """
    modules: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        modules.setdefault(mutant.module, []).append(mutant)
    total = sum(map(len, modules.values()))
    count = min(count, total)
    shares = {module: len(those) * count / total for module, those in modules.items()}
    sizes = {module: int(share) for module, share in shares.items()}
    for module in sorted(shares, key=lambda one: (sizes[one] - shares[one], one))[: count - sum(sizes.values())]:
        sizes[module] += 1

    def rank(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed} {mutant.name}".encode()).hexdigest()

    chosen = [one for module, those in modules.items() for one in sorted(those, key=rank)[: sizes[module]]]
    return sorted(chosen, key=lambda one: (one.module, one.line, one.name))
