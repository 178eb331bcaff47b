"""Outputs that stand under their final names only when they are whole, and what is kept until then."""

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from camfast.errors import InputError
from camfast.scan.output import check_output
from camfast.scan.parts import write_whole


class Staging:
    """A hidden folder beside an output, where it grows until it is whole; what is there survives an interruption.

    ::

        .cam.zarr.partial/  job.json   what is computed, and what was chosen for it
                            parts/     a file for each brick of windows that is done
                            blocks/    a file for each block of the map that is written
                            done/      the outputs, under their final names
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

    def check(self, *, overwrite: bool) -> None:
        """Make sure that the output can be written, and clear up after a scan that was killed when all was done.

        Raises
        ------
        InputError
            As `camfast.scan.output.check_output`.
        """
        if self.path.exists() and self._known() is not None and not (self.done / self.path.name).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        check_output(self.path, overwrite=overwrite)

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
        known = self._known()
        same = resume and known is not None and known["identity"] == identity
        for output in outputs:
            # side outputs that stand there may be those of an interruption in the very last moment
            check_output(output, overwrite=overwrite or (same and output != self.path))
        if known is not None and resume and not same and not overwrite:
            raise InputError(
                f"{self.folder} holds what is left of another scan ({_differences(known['identity'], identity)}); go "
                "on with that one, or start anew with --overwrite (overwrite=True)"
            )
        with self._locked():
            if not same:
                self._cleared()
                self._made()
                known = {"identity": dict(identity), "choices": {}}
            assert known is not None
            try:
                yield known["choices"]
            finally:
                if self.folder.exists() and not any(self.parts.iterdir()):
                    shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, identity: Mapping[str, Any], choices: Mapping[str, Any]) -> None:
        """Write down what is computed and how, for who goes on with it."""
        text = json.dumps({"identity": identity, "choices": choices}, indent=1)
        write_whole(self.folder / "job.json", text.encode())

    def publish(self, outputs: Sequence[Path]) -> None:
        """Move the outputs to their places, the main one last, and remove the folder."""
        for output in sorted(outputs, key=lambda one: one == self.path):
            new = self.done / output.name
            if not new.exists():
                continue  # moved before an interruption
            if output.is_dir():  # a folder cannot be replaced in one step
                output.rename(self.folder / f"replaced.{output.name}")
            new.replace(output)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _known(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        except (OSError, ValueError):
            return None
        return found if {"identity", "choices"} <= found.keys() else None

    def _cleared(self) -> None:
        for child in self.folder.iterdir():
            if child.name != "lock":
                if child.is_dir():
                    shutil.rmtree(child)
                else:
                    child.unlink()

    def _made(self) -> None:
        for folder in (self.parts, self.blocks, self.done):
            folder.mkdir(exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; a killed one leaves no lock behind, as the system gives it back."""
        try:
            self.folder.mkdir(exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write in the folder {self.path.parent} ({error.strerror}); write somewhere else"
            ) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                who = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                raise InputError(
                    f"{self.path}: {who} is scanning into it; wait until it has finished, or choose another name"
                ) from None
            with suppress(OSError):  # a full disk says so where something is computed
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    shown = [f"{name} was {before.get(name)!r:.60} and is {now.get(name)!r:.60}" for name in names[:3]]
    return "; ".join(shown + [f"{len(names) - 3} more"] * (len(names) > 3))
