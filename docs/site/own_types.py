"""Parameters that a docstring names together (``sigma, gain, centres``) show each their own type and default.

griffe's reader of numpy docstrings gives all of them those of the first.
"""

from typing import Any

import griffe


class OwnTypes(griffe.Extension):
    """Correct what was read of each function's and class's parameters from its signature."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Walk the whole package, as soon as it is loaded."""
        _correct(pkg)


def _correct(thing: griffe.Object) -> None:
    known = {} if not isinstance(thing, griffe.Function | griffe.Class) else {own.name: own for own in thing.parameters}
    if known and thing.docstring:
        for section in thing.docstring.parsed:
            if section.kind is griffe.DocstringSectionKind.parameters:
                for said in section.value:
                    own = known.get(said.name.lstrip("*"))
                    if own is not None:
                        said.annotation, said.value = own.annotation, own.default
    for member in thing.members.values():
        if not member.is_alias:
            _correct(member)
