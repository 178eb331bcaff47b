"""``camfast slurm``: a scan on the nodes of a SLURM cluster, as a script to keep and run."""

import argparse
import pprint
import re
import shlex
from typing import Any

from camfast._extras import require
from camfast.errors import InputError

_TASKS = 2  # of a worker at a time: one is computed while another reads or writes
_SCRIPT = '''\
"""camfast scan on SLURM: run it where jobs may be submitted and the files are{where}.

It has to run until the scan is done. An interrupted scan goes on where it was when this is run again.
"""

import shlex
import sys

from dask_jobqueue import SLURMCluster

from camfast.cli import main

JOBS = {jobs}
WORKER = {worker}
SCAN = shlex.split({scan})

if __name__ == "__main__":
    with SLURMCluster(**WORKER) as cluster:
        cluster.adapt(minimum_jobs=JOBS, maximum_jobs=JOBS)  # a job that ends is followed by another
        print(f"waiting for the first of {{JOBS}} jobs", file=sys.stderr)
        cluster.wait_for_workers(1)
        sys.exit(main([*SCAN, "--scheduler", cluster.scheduler_address]))
'''


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser, behind that of the scan."""
    parser = commands.add_parser(
        "slurm",
        parents=[common],
        usage="camfast slurm [options] -- scan TOMO [TOMO ...] -o OUT [options of the scan]",
        help="a scan on the nodes of a SLURM cluster, as a script",
        description="Print a Python script that submits jobs to SLURM and scans with them as workers. Whichever jobs "
        "have started do the work; the file system has to be shared. camfast slurm --jobs 8 -- scan ... > scan.py",
    )
    parser.set_defaults(run=run, scan=commands.choices["scan"])
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="jobs, a worker each (default 1)")
    parser.add_argument("--partition", metavar="NAME", help="where they are queued (default the cluster's)")
    parser.add_argument("--account", metavar="NAME", help="whom they are charged to (default yours)")
    parser.add_argument("--cores", type=int, default=4, metavar="N", help="of a job (default 4)")
    parser.add_argument("--memory", default="16GB", metavar="M", help="of a job (default 16GB)")
    parser.add_argument("--walltime", default="04:00:00", metavar="T", help="of a job, [days-]h:m:s (default 04:00:00)")
    parser.add_argument("--gpus", action="store_true", help="a GPU for each job")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- scan ...", help="the scan, as without SLURM")


def run(options: argparse.Namespace) -> None:
    """Check the scan's options, and print the script."""
    require("dask_jobqueue", "cluster", "scanning on SLURM")
    text = script(options)
    if options.json:
        from camfast.cli import network

        network.show(options, {"script": text}, [])
    else:
        print(text, end="")


def script(options: argparse.Namespace) -> str:
    """Write the script.

    Raises
    ------
    InputError
        If there is no scan, it names workers of its own, or a number or time is none.
    """
    words = options.command[options.command[:1] == ["--"] :]
    words = words[words[:1] == ["camfast"] :]
    if words[:1] != ["scan"]:
        raise InputError(f"found {' '.join(words[:1]) or 'nothing'!r} behind --, expected scan and its arguments")
    scan = options.scan.parse_args(words[1:])  # what is wrong shows now, and not when the jobs have started
    if scan.scheduler is not None or scan.workers is not None:
        raise InputError("--scheduler and --workers are the script's own; leave them out of the scan")
    for name in ("jobs", "cores"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} is {getattr(options, name)}, expected a positive whole number")
    if not re.fullmatch(r"\d+(\.\d+)?[KMGT]i?B?", options.memory):
        raise InputError(f"--memory is {options.memory!r}, expected an amount such as 16GB")
    if not re.fullmatch(r"(\d+-)?\d+(:\d\d){0,2}", options.walltime):
        raise InputError(f"--walltime is {options.walltime!r}, expected a time such as 04:00:00 or 1-12:00:00")
    on_gpu = scan.device.startswith("cuda")
    if on_gpu != options.gpus:
        raise InputError(
            f"the scan has --device {scan.device}: " + ("give --gpus, too" if on_gpu else "give it --device cuda")
        )
    worker = {
        "cores": _TASKS,  # tasks at a time, for Dask
        "processes": 1,
        "job_cpu": options.cores,
        "memory": options.memory,
        "walltime": options.walltime,
        "queue": options.partition,
        "account": options.account,
        "job_extra_directives": ["--gres=gpu:1"] if options.gpus else [],
    }
    known = {name: value for name, value in worker.items() if value not in (None, [])}
    return _SCRIPT.format(
        jobs=options.jobs,
        where=", on a node with a GPU as well" if options.gpus else "",
        worker=pprint.pformat(known, width=100, sort_dicts=False),
        scan=repr(shlex.join(words)),
    )
