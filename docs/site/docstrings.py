"""Docstrings as the site shows them, where numpy's convention and Markdown differ.

- Parameters that are named together (``sigma, gain, centres``) show each their own type and default: griffe's reader
  gives all of them those of the first.
- A formula in a block behind ``::`` loses the colons that Markdown would print.
"""

import re
from typing import Any

import griffe

_LITERAL = re.compile(r"^(?P<words>.*?)(?P<space>[ \t]*)::[ \t]*$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Correct the docstrings of a package as soon as it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Walk the whole package."""
        _correct(pkg)


def _correct(thing: griffe.Object) -> None:
    if thing.docstring:
        thing.docstring.value = _LITERAL.sub(_without_colons, thing.docstring.value)
        if isinstance(thing, griffe.Function | griffe.Class) and len(thing.parameters):
            _type(thing.docstring, thing.parameters)
    for member in thing.members.values():
        if not member.is_alias:
            _correct(member)


def _without_colons(found: re.Match[str]) -> str:
    return f"{found['words']}:" if found["words"] else ""


def _type(docstring: griffe.Docstring, parameters: griffe.Parameters) -> None:
    known = {parameter.name: parameter for parameter in parameters}
    for section in docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.parameters:
            for said in section.value:
                own = known.get(said.name.lstrip("*"))
                if own is not None:
                    said.annotation, said.value = own.annotation, own.default
