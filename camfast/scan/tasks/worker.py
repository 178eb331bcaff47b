"""What a process on a cluster does: it takes up the job that lies in the folder all share, and does its tasks."""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from camfast.errors import CamfastError
from camfast.scan.tasks.job import Job
from camfast.scan.tasks.parts import FolderParts, Part
from camfast.scan.tasks.sending import check_seen, check_versions, receive

AT_ONCE = 2  # while one task is computed, another one may read or write
_slots, _computing, _loading = threading.BoundedSemaphore(AT_ONCE), threading.Lock(), threading.Lock()
_loaded: dict[Path, Any] = {}


@dataclass(frozen=True)
class Sent:
    """Where a job lies.

    Parameters
    ----------
    path
        The file. It goes when the scan ends, and tasks that are still at work then leave no trace.
    checksum
        Of the file.
    versions
        Of packages where the scan was begun.
    """

    path: Path
    checksum: str
    versions: dict[str, str]

    def job(self) -> Any:
        """Take up the job, once in a process.

        Raises
        ------
        InputError
            If the file is not seen here, or packages are of other versions.
        """
        with _loading:
            if self.path not in _loaded:
                check_versions(self.versions, place())
                check_seen(self.path, place())
                job = receive(self.path, self.checksum)
                _loaded.clear()  # one at a time: volumes may be large
                _loaded[self.path] = replace(job, parts=_Parts(job.parts.folder, self)) if _is_job(job) else job
            return _loaded[self.path]

    def check_wanted(self) -> None:
        """Make sure that the scan still goes on.

        Raises
        ------
        CamfastError
            If it has ended.
        """
        if not self.path.exists():
            raise CamfastError("the scan has ended, so nothing is written any more")


class _Parts(FolderParts):
    """Parts that are kept only while the scan goes on: the next one in the same folder may be of something else."""

    def __init__(self, folder: Path, sent: Sent) -> None:
        super().__init__(folder)
        self._sent = sent

    def save(self, number: int, part: Part) -> None:
        self._sent.check_wanted()
        super().save(number, part)


def _is_job(job: Any) -> bool:
    return isinstance(job, Job)


def brick(sent: Sent, number: int) -> None:
    """Compute a brick and keep its part, unless it is there."""
    with _slots:
        job = sent.job()
        if number not in job.parts:
            values = job.read(number)
            with _computing:
                torch.set_num_threads(job.threads)
                part = job.compute(number, values)
            job.parts.save(number, part)


def call(sent: Sent, function: Callable[[Any, Any], Any], item: Any) -> None:
    """Call ``function(job, item)``."""
    with _slots:
        job = sent.job()
        sent.check_wanted()
        function(job, item)


def ready(path: Path, expected: dict[str, str]) -> bool:
    """Make sure that this process can work for a scan, and say whether it has a GPU.

    Raises
    ------
    InputError
        If it does not see a file of the scan, or has packages of other versions.
    """
    check_versions(expected, place())
    check_seen(path, place())
    return torch.cuda.is_available()


def cores() -> tuple[str, int]:
    """The machine, and how many cores of it this process may use."""
    return socket.gethostname(), len(os.sched_getaffinity(0))


def place() -> str:
    """Name the process in messages."""
    return f"the worker on {socket.gethostname()} (process {os.getpid()})"
