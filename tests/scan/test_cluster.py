"""What workers compute has the bits of a scan in one process, whatever happens to them."""

import asyncio
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dask
import distributed
import psutil
import pytest
import torch
from torch import nn

import camfast
from camfast import models
from camfast.scan import Volume, preparing, write_volumes
from camfast.scan.formats import mrc_writer, ome_zarr_writer
from camfast.scan.progress import Progress
from camfast.scan.scanner import scan
from camfast.scan.tasks import cluster, worker
from camfast.scan.tasks.cluster import Cluster, connect, local
from camfast.scan.tasks.running import threads
from camfast.scan.tasks.sending import _placed, check_versions, receive, send, versions
from tests.scan.cases import STRIDE, WINDOW, contents, density, small_network
from tests.scan.slow import Slow, Spoiled

SHAPE = (28, 24, 40)
OPTIONS = {"window": WINDOW, "stride": STRIDE, "target": 2, "batch": 2, "progress": False}


@pytest.fixture(scope="module")
def two():
    with local(2) as client:
        yield client


@pytest.fixture(autouse=True)
def _many_pieces(monkeypatch):
    """Bricks and blocks of 16 voxels; workers have to go by what they are sent."""
    choose = preparing.choose
    monkeypatch.setattr(preparing, "choose", lambda *given: replace(choose(*given), brick=16, block=16))
    monkeypatch.setattr(mrc_writer, "_SLAB", 8)
    monkeypatch.setattr(ome_zarr_writer, "CHUNK", 8)
    monkeypatch.setattr(ome_zarr_writer, "_SMALLEST", 16)


def with_layer(layer):
    network = small_network()
    return camfast.Explainer(nn.Sequential(*network[:6], layer, *network[6:]).eval(), "5", "respond")


def written(folder, name, volume, explainer, **changes):
    folder.mkdir(exist_ok=True)
    scan(volume, explainer, out=folder / name, **{**OPTIONS, **changes})
    return contents(folder)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cam.mrc", {}),
        ("cam.mrc", {"trunk": "shared", "dtype": "float16"}),
        ("cam.zarr", {"target": "all", "also": ["scores", "labels"]}),
        ("cam.zarr", {"trunk": "shared", "blend": "max"}),
    ],
)
def test_equal_bytes(two, explainer, tmp_path, name, options):
    write_volumes(tmp_path / "tomo.mrc", [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    volume = tmp_path / "tomo.mrc"
    expected = written(tmp_path / "here", name, volume, explainer, **options)
    assert written(tmp_path / "there", name, volume, explainer, client=two, **options) == expected


def test_bits_are_those_of_the_callers_threads(tmp_path):
    torch.manual_seed(0)
    explainer = camfast.Explainer(models.cnn2(classes=4).eval(), "maxpool2", "respond")
    changes = {"window": 40, "stride": 8, "batch": 8, "trunk": "shared"}
    volume = density((40, 48, 48))
    with local(1) as client:
        for count in (1, 2):  # their bits differ where convolutions share out their sums
            with threads(count):
                here = written(tmp_path / f"{count}", "cam.mrc", volume, explainer, **changes)
                there = written(tmp_path / f"{count} there", "cam.mrc", volume, explainer, client=client, **changes)
            assert here == there


def test_paths_are_those_of_whoever_asks(two, explainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_volumes(Path("tomo.zarr"), [density(SHAPE)], Volume(density(SHAPE)))
    expected = written(Path("here"), "cam.zarr", "tomo.zarr", explainer)
    assert written(Path("there"), "cam.zarr", "tomo.zarr", explainer, client=two) == expected


def test_all_workers_work_and_few_tasks_wait(two, tmp_path, monkeypatch):
    waiting, submit = [], two.submit
    monkeypatch.setattr(two, "submit", lambda *task, **kw: (waiting.append(len(two.futures)), submit(*task, **kw))[1])
    scan(density((28, 24, 60)), with_layer(Slow(0.01, tmp_path)), client=two, out=tmp_path / "cam.mrc", **OPTIONS)
    processes = {int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()}
    assert processes == set(two.run(os.getpid).values())
    assert len(waiting) > 20
    assert max(waiting) <= 8  # four for each worker


def test_a_worker_is_killed(two, tmp_path):
    expected = written(tmp_path / "here", "cam.zarr", density(SHAPE), with_layer(Slow()))
    seen, killed = tmp_path / "seen", []
    seen.mkdir()

    def kill():
        while not any(seen.iterdir()):
            time.sleep(0.01)
        killed.append(int(next(seen.iterdir()).name))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    explainer = with_layer(Slow(0.05, seen))
    assert written(tmp_path / "there", "cam.zarr", density(SHAPE), explainer, client=two) == expected
    killer.join()
    assert len(list(seen.iterdir())) > 1
    two.wait_for_workers(2, timeout=20)
    assert killed[0] not in two.run(os.getpid).values()


def test_a_task_that_ends_its_workers(two, tmp_path, monkeypatch):
    monkeypatch.setattr(two.cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(camfast.CamfastError, match=r"one task ended 1 workers, .* want of memory.* finished is kept"):
        written(tmp_path, "cam.mrc", density(SHAPE), with_layer(Slow(fatal=True)), client=two)
    two.wait_for_workers(2, timeout=20)


def test_the_scheduler_goes_away(tmp_path, monkeypatch):
    advance = Progress.windows

    def closing(self, count):
        advance(self, count)
        if count:
            client.cluster.sync(client.cluster.scheduler.close)

    monkeypatch.setattr(Progress, "windows", closing)
    says = "the scheduler went away .* what is finished is kept"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        local(1) as client,
        pytest.raises(camfast.CamfastError, match=says),
    ):
        scan(density(SHAPE), with_layer(Slow()), client=client, out=tmp_path / "cam.mrc", **OPTIONS)
    assert list((tmp_path / ".cam.mrc.partial" / "parts").iterdir())


def test_no_worker_is_left(two, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_NEWS", 0.05)
    monkeypatch.setattr(two, "nthreads", dict)
    with pytest.warns(UserWarning, match="no worker is connected to the scheduler; the scan waits for one"):
        scan(density((12, 9, 8)), with_layer(Slow(0.3)), client=two, out=tmp_path / "cam.mrc", **OPTIONS)


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_an_interrupted_scan_goes_on(two, explainer, tmp_path, monkeypatch, name):
    expected = written(tmp_path / "here", name, density(SHAPE), explainer)
    advance, done = Progress.windows, []

    def interrupted(self, count):
        advance(self, count)
        done.append(count)
        if len(done) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "windows", interrupted)
    with pytest.raises(KeyboardInterrupt, match="bricks of windows are kept"):
        written(tmp_path / "there", name, density(SHAPE), explainer, client=two)
    monkeypatch.setattr(Progress, "windows", advance)
    staging = tmp_path / "there" / f".{name}.partial"
    kept = {path: path.stat().st_mtime_ns for path in (staging / "parts").iterdir()}
    assert len(kept) >= 4
    assert sorted(path.name for path in staging.iterdir()) == ["blocks", "done", "job.json", "lock", "parts"]
    if name == "cam.zarr":
        (staging / "done" / name / "0" / "0.16fd2706.partial").write_bytes(b"of a worker that was killed")
    assert written(tmp_path / "there", name, density(SHAPE), explainer, client=two) == expected


def test_an_error_in_a_task_is_the_callers(two, tmp_path):
    volume = density((20, 8, 16))
    volume[9, 2, 14] = 1000.0
    network = small_network()
    explainer = camfast.Explainer(nn.Sequential(Spoiled(500.0), *network), "6", "respond")
    says = r"^window at voxel \(z, y, x\) = \(0, 0, 8\): the network's scores are not finite"
    with pytest.raises(camfast.InputError, match=says):
        scan(volume, explainer, normalize=None, client=two, out=tmp_path / "cam.mrc", **OPTIONS)


def test_code_of_a_file_goes_with_the_network(two, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom tests.scan.cases import small_network\n\n\nclass Mine(nn.Module):\n"
        "    def forward(self, x):\n        return factor() * x\n\n\ndef factor():\n    return 2\n\n\n"
        "def network():\n    return nn.Sequential(*small_network(), Mine())\n"
    )
    module = models.load(f"{tmp_path / 'mine.py'}:network").module
    explainer = camfast.Explainer(module, "5", "respond", output=lambda scores: scores + 1)
    expected = written(tmp_path / "here", "cam.mrc", density(SHAPE), explainer)
    assert written(tmp_path / "there", "cam.mrc", density(SHAPE), explainer, client=two) == expected


def test_what_cannot_be_sent(two, tmp_path):
    explainer = with_layer(Slow())
    explainer.model.lock = threading.Lock()
    with pytest.raises(camfast.InputError, match=r"cannot be sent to other processes \(cannot pickle '_thread.lock'"):
        scan(density(SHAPE), explainer, client=two, out=tmp_path / "cam.mrc", **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_what_was_sent_is_what_is_received(tmp_path):
    shared = torch.arange(6.0)
    sent = {"a": shared, "b": shared[2:], "path": Path("x"), "values": density((2, 3, 4))}
    checksum = send(sent, tmp_path / "job")
    found = receive(tmp_path / "job", checksum)
    assert found["path"] == Path.cwd() / "x"
    assert torch.equal(found["a"], shared)
    assert found["a"].untyped_storage().data_ptr() == found["b"].untyped_storage().data_ptr()
    assert found["values"].tobytes() == sent["values"].tobytes()
    (tmp_path / "job").write_bytes(b"something else")
    with pytest.raises(camfast.InputError, match="is not what was sent"):
        receive(tmp_path / "job", checksum)


def test_settings_of_torch_go_with_a_job(tmp_path, monkeypatch):
    matmul, cudnn = torch.backends.mkldnn.matmul, torch.backends.cudnn
    before = matmul.fp32_precision, cudnn.deterministic
    matmul.fp32_precision, cudnn.deterministic = "bf16", True
    checksum = send(None, tmp_path / "job")
    matmul.fp32_precision, cudnn.deterministic = before
    receive(tmp_path / "job", checksum)
    found = matmul.fp32_precision, cudnn.deterministic
    matmul.fp32_precision, cudnn.deterministic = before
    assert found == ("bf16", True)
    assert before == ("none", False)


def test_nothing_is_written_when_the_scan_has_ended(tmp_path):
    path = tmp_path / "job"
    sent = worker.Sent(path, send(3, path), versions())
    assert sent.job() == 3
    path.unlink()
    parts = worker._Parts(tmp_path, sent)
    with pytest.raises(camfast.CamfastError, match="the scan has ended"):
        parts.save(0, None)
    with pytest.raises(camfast.CamfastError, match="the scan has ended"):
        worker.call(sent, lambda *_: None, 0)


def test_workers_that_do_not_see_the_folder(two, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda _: None)  # here it is seen, and nowhere else
    with pytest.raises(camfast.InputError, match=r"the worker on .* does not see the folder .*elsewhere; write the"):
        Cluster(two, tmp_path / "elsewhere").__enter__()


def test_workers_with_other_packages(two, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "versions", lambda: {**versions(), "torch": "1.13.0"})
    says = rf"the worker on .* has torch {torch.__version__.partition('+')[0]} instead of 1.13.0; install the same"
    with pytest.raises(camfast.InputError, match=says):
        scan(density(SHAPE), with_layer(Slow()), client=two, out=tmp_path / "cam.mrc", **OPTIONS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(camfast.InputError, match="here has Python"):
        check_versions({**versions(), "Python": "3.7"}, "here")


def test_workers_without_camfast(two, tmp_path, monkeypatch):
    def ready(path, expected):
        import camfast_of_another_time  # noqa: F401

    monkeypatch.setattr(worker, "ready", ready)
    with pytest.raises(camfast.InputError, match=r"cannot run camfast \(ModuleNotFoundError: .*; install camfast"):
        Cluster(two, tmp_path).__enter__()


def test_workers_whose_gpus_would_idle(two, explainer, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "ready", lambda *_: True)
    with pytest.warns(UserWarning, match="the workers have GPUs, which the network does not use"):
        scan(density(SHAPE), explainer, client=two, out=tmp_path / "cam.mrc", **OPTIONS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there has to be no GPU")
def test_a_worker_without_the_gpu_that_is_needed():
    with pytest.raises(camfast.InputError, match="the network is on a GPU where the scan was begun, and a worker has"):
        _placed(torch.zeros(1).untyped_storage(), "cuda:1")


def test_an_interrupt_before_a_future_is_made_is_said_once(two, tmp_path, monkeypatch, caplog):
    """`distributed` cancels what isn't there yet, fails, and would log it."""

    class Interrupted(threading.Event):
        def wait(self, *_):
            raise KeyboardInterrupt

    Cluster(two, tmp_path)
    add, callbacks = two.loop.add_callback, []
    monkeypatch.setattr(two.loop, "add_callback", callbacks.append)
    threads = SimpleNamespace(Event=Interrupted, get_ident=threading.get_ident)
    monkeypatch.setattr("distributed.utils.threading", threads)
    with pytest.raises(KeyboardInterrupt):
        distributed.utils.sync(two.loop, asyncio.sleep, 0)
    monkeypatch.undo()
    _, cancel = callbacks
    done = threading.Event()
    add(cancel)
    add(done.set)
    assert done.wait(10)
    assert "NameError" not in caplog.text


def test_no_client(tmp_path, explainer):
    with pytest.raises(camfast.InputError, match=r"client is 'tcp://node:8786', expected a distributed\.Client"):
        scan(density(SHAPE), explainer, client="tcp://node:8786", out=tmp_path / "cam.mrc", **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_connecting(two, monkeypatch):
    address = two.scheduler.address
    before = torch.get_num_threads()
    with connect(address) as client, threads(7):
        assert set(client.nthreads()) == set(two.nthreads())
    assert torch.get_num_threads() == before
    monkeypatch.setattr(cluster, "_ANSWER", 0.5)
    with pytest.raises(camfast.InputError, match=r"^--scheduler tcp://127\.0\.0\.1:1: no Dask scheduler answers there"):
        connect("tcp://127.0.0.1:1").__enter__()
    with pytest.raises(camfast.InputError, match=r"^--scheduler gopher://x: no Dask scheduler answers there"):
        connect("gopher://x").__enter__()


def test_threads_are_shared_out():
    assert cluster._share([("a", 8), ("a", 8), ("b", 6)]) == 4
    assert cluster._share([("a", 1), ("a", 1)]) == 1


def test_processes_of_this_machine_are_heard_nowhere_else(two):
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    heard = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert len(heard) >= 4
    assert set(heard) == {"127.0.0.1"}


def test_no_processes():
    with pytest.raises(camfast.InputError, match="--workers is 0"):
        local(0).__enter__()


def test_gpus_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,MIG-1")
    assert cluster._gpus() == ["3", "MIG-1"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cluster._gpus() == ["0", "1"]
