"""What mkdocs does beside its plugins: pages from outside `docs/`, their links, formulas, the command line's page.

Every page says its links as they are in the repository, so that it can be read there too. Files of ADOPTED become pages
of the site under their own path; a link to any other file outside `docs/` is left as its text.
"""

import argparse
import posixpath
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from camfast import cli

ROOT = Path(__file__).resolve().parents[2]
ADOPTED = ("bench/README.md", "studies/README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")
PICTURES = ("studies/pictures/*.png",)
CLI = "reference/cli.md"

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_PREFORMATTED = re.compile(r"<pre\b.*?</pre>", re.DOTALL)
_CODE = re.compile(r"<code>([^<]*)</code>")
_WORD = re.compile(r"[^\s]*-[^\s]*")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\(|\[)(.*?)\\(?:\)|\])</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside, their pictures, and the command line's page."""
    outside = [*ADOPTED, *(str(path.relative_to(ROOT)) for glob in PICTURES for path in sorted(ROOT.glob(glob)))]
    for name in outside:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    files.append(File.generated(config, CLI, content=_command_line()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the repository's links into the site's."""
    uri = page.file.src_uri
    folder = posixpath.dirname(uri if uri in ADOPTED else f"docs/{uri}")

    def replace(match: re.Match[str]) -> str:
        picture, text, link, anchor = match.groups()
        if re.match(r"[a-z]+:", link):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, link))
        inside = path.removeprefix("docs/")
        if files.get_file_from_path(inside):
            return f"{picture}[{text}]({posixpath.relpath(inside, posixpath.dirname(uri) or '.')}{anchor or ''})"
        return text if (ROOT / path).exists() else match[0]  # mkdocs says which links lead nowhere

    start, parts = 0, []
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(replace, markdown[start : fence.start()]), fence[0]]
        start = fence.end()
    return "".join([*parts, _LINK.sub(replace, markdown[start:])])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn LaTeX into MathML, which browsers draw themselves, and keep options in code from breaking at a hyphen."""

    def formula(match: re.Match[str]) -> str:
        kind, latex = match.groups()
        display = "block" if kind == "div" else "inline"
        return f'<{kind} class="formula">{convert(unescape(latex), display=display)}</{kind}>'

    def whole(match: re.Match[str]) -> str:
        return "<code>" + _WORD.sub(lambda word: f'<span class="whole">{word[0]}</span>', match[1]) + "</code>"

    start, parts = 0, []
    for block in _PREFORMATTED.finditer(html):
        parts += [_CODE.sub(whole, html[start : block.start()]), block[0]]
        start = block.end()
    return _FORMULA.sub(formula, "".join([*parts, _CODE.sub(whole, html[start:])]))


def _command_line() -> str:
    """The page of `camfast --help` and of each command's."""
    parser = cli.parser()
    parser.formatter_class = _wide(parser)
    lines = ["# Command line", "", "What `camfast --help` says, and the help of each command.", ""]
    for name, command in [("camfast", parser), *_commands(parser)]:
        command.formatter_class = _wide(command)
        lines += [f"## {name}", "", "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((command.prog, command) for command in action.choices.values())


def _wide(parser: argparse.ArgumentParser) -> type[argparse.HelpFormatter]:
    """The parser's own formatter, as wide as the page, whatever the terminal of who builds it."""

    class Wide(parser.formatter_class):  # type: ignore[name-defined,misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "width": 96})

    return Wide
