"""Every code block of README and documentation runs as it stands."""

import re
import shutil
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

import pytest
from matplotlib import use as use_matplotlib

from tests.docs import playground
from tests.docs.blocks import FROM_FILES, MIGRATING, PAGES, ROOT, RUN, SHOWN, fences, page

with_code = [path for path in PAGES if {language for language, _ in fences(path.read_text())} & RUN]
own = [path for path in with_code if MIGRATING not in path.parents]
beside_peers = [path for path in with_code if MIGRATING in path.parents]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("playground")
    playground.make(folder)
    return folder


def _run(path: Path, files: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_matplotlib("agg")
    shutil.copytree(files, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for example in page(path).examples():
        with suppress(SkipTest):  # one block of the page, by a comment that says why
            example.evaluate()


@pytest.mark.parametrize("path", own, ids=_name)
@pytest.mark.filterwarnings("default")
def test_the_code_of_a_page_runs(path: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(path, files, tmp_path, monkeypatch)


@pytest.mark.parity
@pytest.mark.parametrize("path", beside_peers, ids=_name)
@pytest.mark.filterwarnings("default")
def test_the_code_of_a_page_about_peers_runs(
    path: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(path, files, tmp_path, monkeypatch)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_block_is_of_a_kind_that_is_run_or_is_no_code(path: Path) -> None:
    for language, content in fences(path.read_text()):
        assert language in RUN | SHOWN | FROM_FILES, f"a block of {language!r}: {content[:80]}"
        if language in FROM_FILES:
            assert re.fullmatch(r'\s*(--8<-- "[^"]+"\s*)+', content), f"{language} not from a file: {content[:80]}"


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_what_is_not_run_says_why(path: Path) -> None:
    for skip in re.findall(r"<!---? *skip:.*?-->", path.read_text()):
        assert re.fullmatch(r'<!--- skip: next "[^"]{10,}" -->', skip), skip
