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
from camfast.scan.tasks.output import check_output
from camfast.scan.tasks.parts import write_whole


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
            As `camfast.scan.tasks.output.check_output`.
        """
        if self.path.exists() and self.folder.is_dir() and not self._has_output():
            with suppress(InputError), self._locked():  # where another process is at work it is its own
                if not self._has_output():
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
        same = resume and known is not None and known["identity"] == identity and self._has_output()
        for output in outputs:
            # side outputs that stand there may be those of an interruption in the very last moment
            check_output(output, overwrite=overwrite or (same and output != self.path))
        if known is not None and resume and known["identity"] != identity and not overwrite:
            raise InputError(
                f"{self.folder} holds what is left of another scan ({_differences(known['identity'], identity)}); go "
                "on with that one, or start anew with --overwrite (overwrite=True)"
            )
        with self._locked():
            if not same:
                self._cleared()
                known = {"identity": dict(identity), "choices": {}}
            assert known is not None
            self._made()
            try:
                yield known["choices"]
            finally:
                if not any(self.parts.glob("*")):
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

    def _cleared(self) -> None:
        for child in self.folder.iterdir():
            if child.name != "lock":
                if child.is_dir() and not child.is_symlink():
                    shutil.rmtree(child)
                else:
                    child.unlink()

    def _made(self) -> None:
        for folder in (self.parts, self.blocks, self.done):
            folder.mkdir(exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; a killed one leaves no lock behind, as the system gives it back."""
        descriptor = self._lock()
        try:
            with suppress(OSError):  # a full disk says so where something is computed
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _check_no_links(self) -> None:
        """Make sure that what is written and cleared in the folder lies there: a link may have been laid there."""
        for place in (self.folder, self.folder / "lock", self.parts, self.blocks, self.done, *self.done.rglob("*")):
            if place.is_symlink():
                raise InputError(
                    f"{place} is a link, which no scan makes, and what is written there would go to another place; "
                    f"remove {self.folder}, or choose another name"
                )

    def _lock(self) -> int:
        while True:
            self._check_no_links()
            try:
                self.folder.mkdir(exist_ok=True)
                descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            except OSError as error:
                raise InputError(
                    f"{self.path}: cannot write in the folder {self.path.parent} ({error.strerror}); write somewhere "
                    "else"
                ) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                who = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                os.close(descriptor)
                raise InputError(
                    f"{self.path}: {who} is scanning into it; wait until it has finished, or choose another name"
                ) from None
            except OSError:  # some file systems of clusters have no locks
                return descriptor
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), (self.folder / "lock").stat()):
                    return descriptor
            os.close(descriptor)  # of a folder that was removed meanwhile, as it was finished


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
