"""Outputs that stand under their final names only when they are whole, and what is kept until then."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from camfast.errors import InputError
from camfast.scan.tasks.locking import Lock
from camfast.scan.tasks.output import check_output
from camfast.scan.tasks.parts import write_whole


class Staging:
    """A hidden folder beside an output, where it grows until it is whole; what is there survives an interruption.

    ::

        .cam.zarr.partial/  job.json   what is computed, and what was chosen for it
                            parts/     a file for each brick of windows that is done
                            blocks/    a file for each block of the map that is written
                            done/      the outputs, under their final names
                            moving     there from when the first of them is moved to its place
                            lock       who is at work

    Parameters
    ----------
    path
        The output.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_name(f".{path.name}.partial")
        self.parts, self.blocks, self.done = (self.folder / name for name in ("parts", "blocks", "done"))
        self._moving = self.folder / "moving"
        self.expected: int | None = None  # parts, once it is known how many there will be
        self._lock: Lock | None = None

    def check(self, *, overwrite: bool) -> None:
        """Make sure that the output can be written, and `tidy` where it exists.

        Raises
        ------
        InputError
            As `camfast.scan.tasks.output.check_output`.
        """
        self.tidy()
        check_output(self.path, overwrite=overwrite)

    def tidy(self) -> None:
        """Clear up after a scan that was killed when all was done, and nothing was left but to remove the folder."""
        if self.path.exists() and self.folder.is_dir() and not self._has_output():
            with suppress(InputError), self._locked():  # where another process is at work it is its own
                if not self._has_output():
                    shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def opened(
        self, identity: Mapping[str, Any], outputs: Sequence[Path], *, resume: bool, overwrite: bool
    ) -> Iterator[dict[str, Any]]:
        """Within the block the folder is this process's own; gives what was chosen, to be added to and `kept`.

        At the end of the block the folder goes if nothing was finished in it, which an error at the start leaves.

        Parameters
        ----------
        identity
            What is computed. What is there of the same computation is gone on with.
        outputs
            Everything that will be written.
        resume
            Whether to go on with what is there; what is there is removed otherwise.
        overwrite
            Whether outputs that exist are replaced at the end, and what is there of another computation at once.

        Raises
        ------
        InputError
            If an output exists, the folder cannot be written to, another process is at work in it, or what is there
            belongs to another computation.
        """
        with self._locked():
            try:
                yield self._begun(identity, outputs, resume=resume, overwrite=overwrite)
            finally:
                with suppress(InputError):  # where another process is at work by now it is its own
                    self.check_own()
                    if not any(self.parts.glob("*")):
                        shutil.rmtree(self.folder, ignore_errors=True)

    def _begun(
        self, identity: Mapping[str, Any], outputs: Sequence[Path], *, resume: bool, overwrite: bool
    ) -> dict[str, Any]:
        known = self._known()
        same = resume and known is not None and known["identity"] == identity and self._has_output()
        moved = same and self._moving.exists()  # side outputs that stand there are this scan's
        for output in outputs:
            check_output(output, overwrite=overwrite or (moved and output != self.path))
        if known is not None and resume and known["identity"] != identity and not overwrite:
            raise InputError(
                f"{self.folder} holds what is left of another scan ({_differences(known['identity'], identity)}); go "
                "on with that one, or start anew with --overwrite (overwrite=True)"
            )
        if not same:
            self.clear()
            known = {"identity": dict(identity), "choices": {}}
        assert known is not None
        for folder in (self.parts, self.blocks, self.done):
            folder.mkdir(exist_ok=True)
        choices: dict[str, Any] = known["choices"]
        return choices

    def check_own(self) -> None:
        """Make sure that the folder is still this process's: a person may have removed it, and begun another scan.

        Raises
        ------
        InputError
            If not.
        """
        if self._lock is not None:
            self._lock.check()

    def forget_blocks(self) -> None:
        """Count no block of the map as written."""
        for marker in self.blocks.iterdir():
            marker.unlink()

    def keep(self, identity: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
        """Write down what is computed and how, for who goes on with it."""
        text = json.dumps({"identity": identity, "choices": choices}, indent=1)
        write_whole(self.folder / "job.json", text.encode())

    def publish(self, outputs: Sequence[Path], *, overwrite: bool) -> None:
        """Move the outputs to their places, the main one last, and remove the folder.

        Raises
        ------
        InputError
            If the folder is another process's by now, something in it was removed, or, unless ``overwrite``, something
            else has come to stand where an output belongs; what is finished is kept.
        """
        self.check_own()
        if not self._moving.exists():
            if gone := [output.name for output in outputs if not (self.done / output.name).exists()]:
                raise InputError(f"{self.done / gone[0]} was removed while the scan ran; scan again")
            for output in outputs:
                check_output(output, overwrite=overwrite)
            self._moving.touch()
        for output in sorted(outputs, key=lambda one: one == self.path):
            new = self.done / output.name
            if not new.exists():
                continue  # moved before an interruption
            if output.is_dir() or (new.is_dir() and os.path.lexists(output)):  # neither is replaced in one step
                old = self.folder / f"replaced.{output.name}"
                shutil.rmtree(old, ignore_errors=True)  # there where this was interrupted
                output.rename(old)
            new.replace(output)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _known(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / "job.json").read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and {"identity", "choices"} <= found.keys() else None

    def _has_output(self) -> bool:
        """Whether the output grows here: it is made before anything is kept, and moved away at the very end."""
        return (self.done / self.path.name).exists()

    def clear(self) -> None:
        """Remove what was finished, the jobs of workers first: those still at work then leave no trace."""
        for child in sorted(self.folder.iterdir(), key=Path.is_dir):
            if child.name != "lock":
                if child.is_dir() and not child.is_symlink():
                    old = child.rename(self.folder / f"old.{uuid.uuid4().hex}")  # at once, and not file by file
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    child.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out."""
        self._check_no_links()
        try:
            with Lock(self.folder, self.path) as self._lock:
                yield
        finally:
            self._lock = None
            with suppress(OSError):  # network file systems keep a file that is open, and with it the folder
                self.folder.rmdir()

    def _check_no_links(self) -> None:
        """Make sure that what is written and cleared in the folder lies there: a link may have been laid there."""
        for place in (self.folder, self.folder / "lock", self.parts, self.blocks, self.done, *self.done.rglob("*")):
            if place.is_symlink():
                raise InputError(
                    f"{place} is a link, which no scan makes, and what is written there would go to another place; "
                    f"remove {self.folder}, or choose another name"
                )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    then, new = dict(_flat(before)), dict(_flat(now))
    names = [name for name in {**then, **new} if then.get(name) != new.get(name)]
    shown = [f"{name} was {then.get(name)!r:.60} and is {new.get(name)!r:.60}" for name in names[:3]]
    return "; ".join(shown + [f"{len(names) - 3} more"] * (len(names) > 3))


def _flat(values: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{of}{name}.")
        else:
            yield of + name, value
