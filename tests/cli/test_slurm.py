"""``camfast slurm``: its script runs, here with a scheduler of jobs that starts them at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dask_jobqueue import SLURMCluster

ROOT = Path(__file__).resolve().parents[2]
SBATCH = """#!/bin/sh
setsid sh "$1" >"$1.log" 2>&1 &
echo "$!" >>"{folder}/started"
cp "$1" "{folder}/job.sh"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job"; echo "$job" >>"{folder}/cancelled"; done
"""


def run_of(text):
    """What a script says, without its last block."""
    names = {"__name__": "script"}
    exec(compile(text, "scan.py", "exec"), names)
    return names


def test_a_scan_on_slurm(camfast, command, tmp_path):
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(0o755)
    scan = command("--quiet", out=tmp_path / "there.mrc")
    printed = camfast("slurm", "--jobs", 2, "--cores", 1, "--memory", "1GB", "--", *scan).out
    (tmp_path / "scan.py").write_text(printed)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, tmp_path / "scan.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ran.returncode == 0, ran.stderr
    assert camfast(*command("--quiet", out=tmp_path / "here.mrc")).code == 0
    here, there = (np.fromfile(tmp_path / name, np.uint8) for name in ("here.mrc", "there.mrc"))
    np.testing.assert_array_equal(here, there)
    started, cancelled = (set((tmp_path / name).read_text().split()) for name in ("started", "cancelled"))
    assert len(started) == 2
    assert cancelled == started
    assert "#SBATCH --cpus-per-task=1\n#SBATCH --mem=954M\n#SBATCH -t 04:00:00\n" in (tmp_path / "job.sh").read_text()


def test_what_jobs_are_asked_for(camfast, command):
    scan = ["camfast", *command("--device", "cuda")]
    options = ["--jobs", 16, "--partition", "gpu", "--account", "lab", "--cores", 8, "--memory", "32GB"]
    printed = camfast("slurm", *options, "--walltime", "1-00:00:00", "--gpus", "--", *scan).out
    names = run_of(printed)
    assert names["JOBS"] == 16
    assert names["SCAN"] == [str(word) for word in scan[1:]]
    assert "on a node with a GPU as well" in printed
    own = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with SLURMCluster(**names["WORKER"], scheduler_options=own) as cluster:
        job = cluster.job_script()
    for line in ("-p gpu", "-A lab", "-n 1", "--cpus-per-task=8", "--mem=30G", "-t 1-00:00:00", "--gres=gpu:1"):
        assert f"#SBATCH {line}\n" in job
    assert "--nthreads 2" in job


def test_json(camfast, command):
    found = json.loads(camfast("slurm", "--json", "--", *command()).out)
    assert run_of(found["script"])["JOBS"] == 1


@pytest.mark.parametrize(
    ("options", "more", "says"),
    [
        (["--jobs", 0], [], "--jobs is 0"),
        (["--cores", -1], [], "--cores is -1"),
        (["--memory", "much"], [], "--memory is 'much', expected an amount such as 16GB"),
        (["--walltime", "long"], [], "--walltime is 'long', expected a time"),
        (["--gpus"], [], "the scan has --device cpu: give it --device cuda"),
        ([], ["--device", "cuda:0"], "the scan has --device cuda:0: give --gpus, too"),
        ([], ["--workers", 2], "--scheduler and --workers are the script's own"),
        ([], ["--blend", "median"], "invalid choice: 'median'"),
    ],
)
def test_what_is_refused(refused, command, options, more, says):
    assert says in refused("slurm", *options, "--", *command(*more))


def test_something_else_than_a_scan(refused):
    assert "found 'nothing' behind --, expected scan" in refused("slurm")
    assert "found 'info' behind --, expected scan" in refused("slurm", "--", "info")
