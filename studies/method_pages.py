"""What the studies found of each method, as blocks of the pages in docs/methods.

Every figure of those pages is a row or a table of studies/README.md, cut out and never typed. After a study has been
run again::

    python -m studies.method_pages            # writes the blocks
    python -m studies.method_pages --check    # says which pages differ
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import replace_block, table
from studies.common.paths import ROOT
from studies.common.report import README

FOLDER = ROOT / "docs" / "methods"
NETWORKS = ("SqueezeNet, fire9", "ResNet-20, layer3", "CNN-2, maxpool2")
GRADIENTS = {
    "gradcam": "Grad-CAM",
    "layercam": "LayerCAM (pixel-wise)",
    "hirescam": "HiResCAM",
    "saliency": "saliency",
    "guided_backprop": "guided backprop",
    "deconvnet": "deconvnet",
    "guided_gradcam": "guided Grad-CAM",
}
"""Names of the study of gradient methods."""
WORTH = "U-Net, volumes: what maps are worth"
CHOICES = "SqueezeNet, fire9"
DROPS = "CNN-2, maxpool2: average drop and increase in %"


@dataclass(frozen=True)
class Shown:
    """A table of studies/README.md: its title, columns, rows, and the paragraph below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


@dataclass(frozen=True)
class Section:
    """A study's block: the command and when it ran, and its tables."""

    name: str
    origin: str
    tables: tuple[Shown, ...]

    def find(self, *begin: str) -> Shown:
        """The first table whose title begins with one of these."""
        return next(found for found in self.tables if found.title.startswith(begin))

    def signed(self, *parts: str) -> str:
        """Parts of a block below the line that says where they come from."""
        line = f"From [the studies](../../studies/README.md#{self.name}), {self.origin}:"
        return "\n\n".join(part for part in (line, *parts) if part)


def sections(text: str) -> dict[str, Section]:
    """The blocks of studies/README.md by name."""
    found = {}
    for name, block in re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", text, re.DOTALL):
        origin = block.split(". ", 1)[0].split(".\n", 1)[0].removesuffix(".")
        found[name] = Section(name, origin, tuple(_tables(block)))
    return found


def _tables(block: str) -> list[Shown]:
    parts = block.split("\n\n")
    found = []
    for place, part in enumerate(parts):
        if not part.startswith("| "):
            continue
        columns, _, *rows = [
            tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]) for line in part.splitlines()
        ]
        note = parts[place + 1] if place + 1 < len(parts) and not parts[place + 1].startswith(("**", "|", "!")) else ""
        found.append(Shown(parts[place - 1].strip("*"), columns, tuple(rows), note))
    return found


def _row(found: Shown, name: str) -> tuple[str, ...] | None:
    """The row of a method; several that have the same figures share one."""
    return next((row for row in found.rows if name in row[0].split(" = ")), None)


def sanity(studies: Mapping[str, Section], page: str) -> str:
    """Model randomisation: the top layer random, then all."""
    name = {"extended": "hirescam", "seg-hires-gradcam": "hirescam"}.get(page, _method(page))
    section = studies["sanity"]
    rows = []
    for network in NETWORKS:
        found = section.find(f"{network}, ")
        row = _row(found, name)
        if row is None:
            continue
        constant, of = row[-1].split(" of ")
        for where, empty in zip((1, 6), constant.split(", "), strict=True):
            what = found.columns[where].partition(" random:")[0]
            rows.append((network, what, *row[where + 1 : where + 5], f"{empty} of {of}"))
    columns = ("network", "random", "the map", "Spearman", "of magnitudes", "SSIM", "constant")
    return section.signed(table(columns, rows), section.find(NETWORKS[0]).note)


def sums(studies: Mapping[str, Section], page: str) -> str:
    """How far the sum of the map is from the score."""
    section = studies["sum_to_score"]
    rows = []
    for found in section.tables[:2]:
        row = _row(found, _method(page))
        assert row is not None
        rows.append((found.title, row[1], row[2], row[-1]))
    return section.signed(table(("network", "L1", "τ-b", "y − ΣL"), rows))


def planted(studies: Mapping[str, Section], page: str) -> str:
    """How much of the map, and whether its peak, lies in evidence planted at a known place."""
    section = studies["planted_evidence"]
    share, peak = section.find("Share of the map's magnitude"), section.find("Maps whose peak")
    several = page == "perturbation"
    names = ("occlusion", "rise") if several else (_method(page),)
    artefacts = [column.partition(":")[0] for column in share.columns[2::2]]
    rows = [
        (artefact, inside[0] if several else inside[1], *inside[at : at + 2], *top[at : at + 2])
        for at, artefact in zip(range(2, len(share.columns), 2), artefacts, strict=True)
        for inside, top in zip(share.rows, peak.rows, strict=True)
        if inside[0] in names
    ]
    columns = ("artefact", "map" if several else "layer", "share, %", "in the control", "peaks, %", "in the control")
    note = (
        "*share*: the part of the map's magnitude inside the artefact; *peaks*: the maps whose peak lies there or a "
        f"cell beside it. {share.note}"
    )
    return section.signed(table(columns, rows), note)


def edges(studies: Mapping[str, Section], page: str) -> str:
    """How much the map goes with the image's edges, and with the map of another class."""
    section = studies["gradient_methods"]
    rows = []
    for found in section.tables:
        row = _row(found, GRADIENTS[_method(page)])
        assert row is not None
        half = len(found.columns) // 2
        names = [column.partition(":")[0] for column in found.columns[1 : half + 1]]
        rows += list(zip(names, row[1 : half + 1], row[half + 1 :], strict=True))
    columns = ("image", "ρ with the image's edges", "ρ with the map of another class")
    return section.signed(table(columns, rows), "ρ: Spearman's, of the map's magnitude.")


def worth(studies: Mapping[str, Section], _page: str) -> str:
    """What Seg-Grad-CAM and Seg-HiRes-Grad-CAM are worth in the U-Net."""
    section = studies["segmentation"]
    found = section.find(WORTH)
    return section.signed(f"**{found.title}**", table(found.columns, found.rows), found.note)


def choices(studies: Mapping[str, Section], _page: str) -> str:
    """What the choices of an attentive response change."""
    section = studies["attentive"]
    found = section.find(CHOICES)
    return section.signed(f"**{found.title}**", table(found.columns, found.rows))


def drops(studies: Mapping[str, Section], _page: str) -> str:
    """Confidence that is lost where only what a map shows is seen: by each mask, Gaussian upsampling."""
    section = studies["confidence"]
    found = section.find(DROPS)
    kept = [place for place, name in enumerate(found.columns) if name == "method" or name.endswith(": drop")]
    rows = [tuple(row[place] for place in kept) for row in found.rows if row[1] == "gaussian"]
    title = found.title.replace(" and increase", "") + ", Gaussian upsampling"
    return section.signed(f"**{title}**", table(tuple(found.columns[place] for place in kept), rows))


def _method(page: str) -> str:
    return "gradcam++" if page == "gradcampp" else page


BLOCKS: dict[str, Callable[[Mapping[str, Section], str], str]] = {
    one.__name__: one for one in (sanity, sums, planted, edges, worth, choices, drops)
}


def filled(page: Path, studies: Mapping[str, Section]) -> str:
    """The page's text with every block that it has markers for."""
    text = page.read_text("utf-8")
    for name, make in BLOCKS.items():
        if f"<!-- {name} -->" in text:
            text = replace_block(text, name, "\n" + make(studies, page.stem) + "\n")
    return text


def differing() -> Sequence[tuple[Path, str]]:
    """Pages whose blocks aren't those of studies/README.md, with the text that they should have."""
    studies = sections(README.read_text("utf-8"))
    pages = [(page, filled(page, studies)) for page in sorted(FOLDER.glob("*.md"))]
    return [(page, text) for page, text in pages if text != page.read_text("utf-8")]


def main() -> None:
    """Write the blocks, or say where they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    check = parser.parse_args().check
    found = differing()
    for page, text in found:
        print(page.relative_to(ROOT))
        if not check:
            page.write_text(text, "utf-8")
    if check and found:
        raise SystemExit("these pages differ from studies/README.md: python -m studies.method_pages writes them")


if __name__ == "__main__":
    main()
