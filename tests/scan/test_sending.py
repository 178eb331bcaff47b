"""Work for others where a file system, a worker or a scheduler isn't as it should be, without starting any."""

import errno
import itertools
import threading
import time
from types import SimpleNamespace

import distributed
import pytest
import torch

import camfast
from camfast.scan.tasks import cluster, job, worker
from camfast.scan.tasks.cluster import Cluster, connect
from camfast.scan.tasks.sending import check_seen, receive, send


def test_a_file_that_is_seen_late_is_waited_for(tmp_path):
    path = tmp_path / "seen"
    late = threading.Timer(0.15, path.touch)
    late.start()
    begun = time.monotonic()
    check_seen(path, "the worker on node7")
    late.join()
    assert time.monotonic() - begun >= 0.1
    with pytest.raises(
        camfast.InputError, match=r"the worker on node7 does not see the folder .*none; write the output"
    ):
        check_seen(tmp_path / "none" / "seen", "the worker on node7")


def test_a_gpu_is_the_first_one_of_whoever_takes_the_work_up(tmp_path):
    sent = {"gpu": torch.device("cuda:3"), "cpu": torch.device("cpu")}
    found = receive(tmp_path / "job", send(sent, tmp_path / "job"))
    assert found == {"gpu": torch.device("cuda:0"), "cpu": torch.device("cpu")}


class Future:
    """A task that fails so often, and then is done."""

    def __init__(self, failures):
        self.failures = failures
        self.retries = 0

    @property
    def status(self):
        return "error" if self.failures else "finished"

    def result(self):
        raise self.failures[0]

    def retry(self):
        self.failures = self.failures[1:]
        self.retries += 1


class Client(distributed.Client):
    """A client without a scheduler: its tasks are what a test gives it."""

    def __init__(self, *futures):
        self.given, self.cancelled, self.sent = iter(futures), [], 0

    def __del__(self):
        pass

    def nthreads(self):
        return {"tcp://node7:1": 2}

    def submit(self, *_task, pure):
        assert pure is False
        self.sent += 1
        return next(self.given)

    def cancel(self, futures, force):
        assert force
        self.cancelled += futures


def done_by(client, folder, monkeypatch):
    """Have as many tasks done as the client has futures; return those that are."""
    finished = []
    monkeypatch.setattr(Cluster, "_finished", lambda _, running: running)
    Cluster(client, folder)._do(lambda item: (item,), [0, 1], finished.append)
    return finished


def failing(number, times):
    return Future([OSError(number, "Input/output error")] * times)


def test_a_file_system_that_fails_for_a_moment_is_asked_again(tmp_path, monkeypatch):
    good, shaky = Future([]), failing(errno.EIO, 2)
    assert sorted(done_by(Client(good, shaky), tmp_path, monkeypatch)) == [0, 1]
    assert (good.retries, shaky.retries) == (0, 2)


@pytest.mark.parametrize(("number", "retries"), [(errno.EIO, 2), (errno.ENOSPC, 0)])
def test_a_file_system_that_goes_on_failing_ends_the_scan(tmp_path, monkeypatch, number, retries):
    broken = failing(number, 9)
    client = Client(broken, Future([]))
    with pytest.raises(OSError, match="Input/output error"):
        done_by(client, tmp_path, monkeypatch)
    assert broken.retries == retries
    assert broken in client.cancelled


def test_where_nothing_is_left_to_do_nothing_is_sent(tmp_path):
    client = Client()
    idle = Cluster(client, tmp_path)
    idle.bricks(SimpleNamespace(source=SimpleNamespace(device=torch.device("cpu"))), [], pytest.fail)
    idle.tasks(pytest.fail, None, [], pytest.fail)
    assert client.sent == 0
    assert list(tmp_path.iterdir()) == []


def test_no_news_while_workers_work_is_no_reason_to_worry(tmp_path, monkeypatch):
    def nothing(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(distributed, "wait", nothing)
    client = Client()
    monkeypatch.setattr(client, "as_current", lambda: torch.no_grad(), raising=False)
    assert Cluster(client, tmp_path)._finished([]) == []  # and without a warning


def test_a_scheduler_without_workers_is_named(monkeypatch):
    class Lonely:
        def __init__(self, address, **_):
            self.address = address

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait_for_workers(self, count, timeout):
            assert (count, timeout) == (1, cluster._ANSWER)
            raise TimeoutError("0/1 workers")

    monkeypatch.setattr(distributed, "Client", Lonely)
    says = r"--scheduler tcp://node7:8786: no worker is connected to it; start some with dask worker tcp://node7:8786"
    with pytest.raises(camfast.InputError, match=says), connect("tcp://node7:8786"):
        pytest.fail("nobody would do the work")


def test_what_is_there_already_is_not_computed_again():
    """A task may be given to a second worker, when the first is slow to answer."""
    brick = SimpleNamespace(parts=[7], read=pytest.fail)
    worker.brick(SimpleNamespace(job=lambda: brick), 7)
    counted = itertools.count()
    block = SimpleNamespace(is_written=lambda number: number == 3, threads=1, write=lambda _: next(counted))
    assert job.block_task(block, 3) == 3
    assert next(counted) == 0
    before = torch.get_num_threads()
    assert job.block_task(block, 4) == 4
    torch.set_num_threads(before)
    assert next(counted) == 2
