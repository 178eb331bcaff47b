"""A scan on the workers of a Dask cluster, or on processes of this machine, with the same bits as without."""

import errno
import logging
import os
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from camfast._extras import require
from camfast._interrupt import check_interrupted
from camfast.errors import CamfastError, InputError
from camfast.scan.tasks import worker
from camfast.scan.tasks.job import Job
from camfast.scan.tasks.running import Advance, threads
from camfast.scan.tasks.sending import send, versions

_AHEAD = 4  # tasks that each worker has waiting
_NEWS = 30.0  # seconds without any until it is looked whether there are workers
_ANSWER = 10.0  # seconds in which a scheduler has to answer
_TRIES = 3
_NO_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # Ctrl-C is the caller's to handle
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}  # how network file systems fail for a moment


class _BeforeItsFuture(logging.Filter):
    """Drops what ``distributed.utils.sync`` says of an interrupt that comes before there is a future to cancel."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, NameError) and "'future'" in str(error))


_BEFORE_ITS_FUTURE = _BeforeItsFuture()


class Cluster:
    """Does tasks on the workers of a `distributed.Client`.

    The job goes into the scan's folder, which all workers have to see, and each of them takes it up once. When the
    block ends the file goes, and what is still computed elsewhere is dropped.

    Parameters
    ----------
    client
        Connected to a scheduler.
    folder
        Where the scan keeps what is done.

    Raises
    ------
    InputError
        If ``client`` is none, a worker does not see the folder, or it has other versions of packages.
    """

    def __init__(self, client: Any, folder: Path) -> None:
        distributed = require("distributed", "cluster", "computing on a cluster")
        if not isinstance(client, distributed.Client):
            raise InputError(f"client is {client!r:.80}, expected a distributed.Client")
        logging.getLogger("tornado.application").addFilter(_BEFORE_ITS_FUTURE)  # of no effect the second time
        self.client, self.folder = client, folder.absolute()
        self._files: list[Path] = []
        self._on_gpus = False

    def __enter__(self) -> "Cluster":
        path = self._file("seen")
        path.touch()
        try:
            answers = self.client.run(worker.ready, path, versions(), on_error="return")
        finally:
            path.unlink(missing_ok=True)
        for address, answer in answers.items():
            if isinstance(answer, InputError):
                raise answer
            if isinstance(answer, Exception):
                raise InputError(
                    f"the worker {address} cannot run camfast ({type(answer).__name__}: {answer}); install camfast "
                    f"{versions()['camfast']} with the extras scan and cluster there"
                ) from answer
        self._on_gpus = bool(answers) and all(answers.values())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)

    def bricks(self, job: Job, numbers: list[int], advance: Advance) -> None:
        """Compute bricks and keep their parts; ``advance`` is told how many windows are done.

        Raises
        ------
        CamfastError
            If a brick ends its workers again and again, or the scheduler goes away.
        """
        if self._on_gpus and job.source.device.type == "cpu":
            warnings.warn(
                "the workers have GPUs, which the network does not use as it is on the CPU here (--device cuda)",
                stacklevel=2,
            )
        if numbers:
            sent = self._sent(job)
            self._do(lambda number: (worker.brick, sent, number), numbers, lambda n: advance(job.windows_of(n)))

    def tasks(self, function: Callable[..., Any], job: Any, items: Iterable[Any], advance: Advance) -> None:
        """Call ``function(job, item)`` for each item; ``advance`` is told of each that is done.

        Raises
        ------
        CamfastError
            If an item ends its workers again and again, or the scheduler goes away.
        """
        items = list(items)
        if items:
            sent = self._sent(job)
            self._do(lambda item: (worker.call, sent, function, item), items, lambda _: advance(1))

    def _sent(self, job: Any) -> worker.Sent:
        path = self._file("job")
        return worker.Sent(path, send(job, path), versions())

    def _file(self, kind: str) -> Path:
        path = self.folder / f"{kind}.{uuid.uuid4().hex}"
        self._files.append(path)
        return path

    def _do(self, task: Callable[[Any], tuple[Any, ...]], items: list[Any], done: Callable[[Any], None]) -> None:
        """Have tasks done, some for each worker at a time."""
        waiting, running, tries = iter(items), dict[Any, Any](), Counter[Any]()
        try:
            while True:
                check_interrupted()
                room = _AHEAD * max(self._workers(), 1) - len(running)
                for item in islice(waiting, max(room, 0)):
                    running[self.client.submit(*task(item), pure=False)] = item
                if not running:
                    break
                for future in self._finished(list(running)):
                    try:
                        if future.status != "finished":
                            future.result()
                    except OSError as error:
                        tries[future] += 1
                        if error.errno not in _PASSING or tries[future] == _TRIES:
                            raise
                        future.retry()
                    else:
                        done(running.pop(future))
        except Exception as error:
            raise _said(error) from error
        finally:
            if running:
                with suppress(OSError, CancelledError):  # the scheduler may be what is gone
                    self.client.cancel(list(running), force=True)
        for folder in (child for child in self.folder.iterdir() if child.is_dir()):
            list(folder.iterdir())  # network file systems then notice what others wrote

    def _finished(self, running: list[Any]) -> list[Any]:
        """Those that are finished, at least one; none after a while without news."""
        wait = require("distributed", "cluster", "computing on a cluster").wait
        try:
            with self.client.as_current():
                return list(wait(running, timeout=_NEWS, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            if not self._workers():
                warnings.warn("no worker is connected to the scheduler; the scan waits for one", stacklevel=2)
            return []

    def _workers(self) -> int:
        try:
            return len(self.client.nthreads())
        except OSError as error:
            raise CancelledError(str(error)) from error


def _said(error: Exception) -> Exception:
    """What an error of the cluster itself means to a person; the error itself where a task raised it."""
    if isinstance(error, CancelledError):
        text = " ".join(str(error).split())
        return CamfastError(f"the scheduler went away or dropped the scan ({text}); what is finished is kept")
    if isinstance(error, require("distributed", "cluster", "computing on a cluster").KilledWorker):
        return CamfastError(
            f"one task ended {error.allowed_failures + 1} workers, the last one {error.last_worker.address}, most "
            "likely for want of memory: give workers more, or the scan less (--max-memory, max_memory=), and look into "
            "their logs; what is finished is kept"
        )
    return error


@contextmanager
def connect(address: str) -> Iterator[Any]:
    """Connect to a running cluster; within the block torch has as many threads as a worker has cores.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://node7:8786``.

    Raises
    ------
    InputError
        If no scheduler or no worker answers.
    """
    distributed = require("distributed", "cluster", "computing on a cluster")
    try:
        client = distributed.Client(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}); give the address that it prints, such "
            "as tcp://node7:8786"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_ANSWER)
        except TimeoutError:
            raise InputError(
                f"--scheduler {address}: no worker is connected to it; start some with dask worker {address} "
                "--nthreads 2"
            ) from None
        found = client.run(worker.cores)
        with threads(_share(list(found.values()))):
            yield client


@contextmanager
def local(workers: int, device: str = "cpu") -> Iterator[Any]:
    """Start processes on this machine; within the block torch has a process's share of the cores.

    Parameters
    ----------
    workers
        How many.
    device
        ``"cuda"``: each process gets a GPU of its own, as far as there are so many.

    Raises
    ------
    InputError
        If it is none.
    """
    if workers < 1:
        raise InputError(f"--workers is {workers}, expected a positive whole number")
    distributed = require("distributed", "cluster", "computing on several processes")
    cores = len(os.sched_getaffinity(0))
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    gpus = _gpus() if device.startswith("cuda") else []
    with tempfile.TemporaryDirectory(prefix="camfast-") as folder:
        options = {
            **here,
            "nthreads": worker.AT_ONCE,
            "memory_limit": 1 / workers,
            "local_directory": folder,
            "silence_logs": logging.CRITICAL,
            "preload": [_NO_INTERRUPTS],
        }
        each = [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {} for number in range(workers)]
        cluster = distributed.SpecCluster(
            workers={i: {"cls": distributed.Nanny, "options": {**options, "env": env}} for i, env in enumerate(each)},
            scheduler={"cls": distributed.Scheduler, "options": {**here, "port": 0, "dashboard": False}},
            silence_logs=logging.CRITICAL,
        )
        with (
            cluster,
            distributed.Client(cluster, set_as_default=False) as client,
            threads(max(cores // workers, 1)),
        ):
            yield client


def _gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(index) for index in range(torch.cuda.device_count())]


def _share(found: list[tuple[str, int]]) -> int:
    """Threads for a worker, so that those of the fullest machine have a core each."""
    hosts = Counter(host for host, _ in found)
    return max(min(cores // hosts[host] for host, cores in found), 1)
