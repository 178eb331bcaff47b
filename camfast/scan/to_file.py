"""A scan whose result is a file: it can be interrupted anywhere, and goes on where it was."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camfast._interrupt import was_interrupted
from camfast.errors import InputError
from camfast.provenance import as_json
from camfast.scan.files import open_written, output_format
from camfast.scan.formats.mrc_writer import MrcWriter
from camfast.scan.formats.ome_zarr_writer import ZarrWriter
from camfast.scan.formats.statistics import Statistics
from camfast.scan.formats.writer import Step, Writer, has_coarser
from camfast.scan.preparing import Asked, Planned, Prepared, identity, planned, prepared
from camfast.scan.result import ScanResult
from camfast.scan.side_outputs import SideOutputs, side_names
from camfast.scan.summary import difference, residual, scores_of, warn_of_ill_conditioned
from camfast.scan.tasks.job import Block, Job
from camfast.scan.tasks.parts import FolderParts
from camfast.scan.tasks.running import Local, Runner, run, threads
from camfast.scan.tasks.staging import Staging
from camfast.scan.unchanged import ChangedError, Unchanged
from camfast.scan.windows.bricks import blocks_of


def to_file(asked: Asked, path: Path, client: Any, *, resume: bool, progress: bool, overwrite: bool) -> ScanResult:
    """Scan into a file, or go on with a scan that was interrupted.

    Raises
    ------
    InputError
        As `camfast.scan`.
    OSError
        If the disk is full or fails; what is finished is kept.
    """
    output_format(path)
    _check_not_read([path], asked)
    staging = Staging(path)
    staging.check(overwrite=overwrite)
    plan = planned(asked)
    output_format(path, channels=plan.targets is not None)
    outputs = [path, *side_names(path, plan)]
    _check_not_read(outputs, asked)
    same = identity(plan)
    with _said_what_is_kept(staging), staging.opened(same, outputs, resume=resume, overwrite=overwrite) as choices:
        fresh = not choices
        choices.setdefault("threads", torch.get_num_threads())
        with threads(choices["threads"]), _runner(client, staging) as runner:
            ready = prepared(plan, choices)
            staging.expected = len(ready.bricks)
            writer = _writer(staging.done / path.name, plan, ready.sizes.block)
            if fresh or not writer.is_made():  # or somebody has removed it
                staging.forget_blocks()
                writer.create()
            if fresh:
                staging.keep(same, choices)
            job = _job(plan, ready, writer, staging, choices["threads"])
            with _watched(plan.watched, staging):
                run(job, runner, progress=progress)
                facts = [job.parts.facts(brick.number) for brick in job.bricks]
                found = _finished(job, plan, ready, staging, facts, runner)
        staging.publish(outputs, overwrite=overwrite)
    warn_of_ill_conditioned(facts, asked.explainer.layer)
    return ScanResult(open_written(path), found.scores, path, found.picks, difference(job, facts), residual(facts))


@contextmanager
def _said_what_is_kept(staging: Staging) -> Iterator[None]:
    """Let an interrupt say what is finished, also one of which code in C has made another error."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, Exception) and not was_interrupted():
            raise
        done = len(list(staging.parts.glob("[!.]*.safetensors")))
        count = f"{done} of {staging.expected}" if staging.expected else str(done)
        kept = f"{count} bricks of windows are kept in {staging.folder}, and the same scan goes on there"
        raise KeyboardInterrupt(kept if done else "") from None


@contextmanager
def _watched(volume: Unchanged | None, staging: Staging) -> Iterator[None]:
    """Make sure that what was read within the block stayed as it was.

    Of a file that is known for each part, so those that are kept are good for whoever puts the file back. A folder of
    many files is looked at in the end: what was computed may be of two versions, and goes.
    """
    try:
        yield
        if volume is not None:
            volume.check()
    except ChangedError:
        if volume is not None and volume.state.files is not None:
            staging.clear()
        raise


def _check_not_read(outputs: Sequence[Path], asked: Asked) -> None:
    for name, source in (("volume that is scanned", asked.volume), ("mask", asked.mask)):
        place = source if isinstance(source, str | Path) else getattr(source, "path", None)
        for path in outputs:
            if place is not None and path.resolve() == Path(place).resolve():
                raise InputError(f"{path} is the {name}; write the result under another name")


def _runner(client: Any, staging: Staging) -> AbstractContextManager[Runner]:
    if client is None:
        return nullcontext(Local(staging.check_own))
    from camfast.scan.tasks.cluster import Cluster

    return Cluster(client, staging.folder)


def _writer(path: Path, plan: Planned, side: int) -> Writer:
    asked = plan.asked
    if output_format(path) == "mrc":
        return MrcWriter(path, plan.source, asked.dtype, side)
    names = None if plan.targets is None else class_names(asked.target, plan.targets, asked.labels)
    channels = names if names or plan.targets is None else plan.targets
    return ZarrWriter(path, plan.source, asked.dtype, channels, side)


def _job(plan: Planned, ready: Prepared, writer: Writer, staging: Staging, threads: int) -> Job:
    pieces = blocks_of(plan.plan.shape, writer.block)
    count = len(pieces)
    blocks = [Block(t * count + i, t, piece) for t in range(plan.targets or 1) for i, piece in enumerate(pieces)]
    distance = plan.distance if {"picks", "report"} & set(plan.asked.also) else None
    return Job(
        ready.trunk, ready.bricks, blocks, plan.chosen, ready.sizes.batch, plan.blend, plan.upsampler, writer,
        FolderParts(staging.parts), staging.blocks, threads, distance, plan.watched,
    )  # fmt: skip


def _finished(
    job: Job, plan: Planned, ready: Prepared, staging: Staging, facts: list[dict[str, float]], runner: Runner
) -> SideOutputs:
    """Complete the map by coarser levels and metadata, and write what goes beside it."""
    writer, asked = job.writer, plan.asked
    names = class_names(asked.target, plan.targets, asked.labels)
    measured: dict[str, Any] = {"batch": ready.sizes.batch, "sum_to_score_residual": residual(facts)}
    if (away := difference(job, facts)) is not None:
        measured["difference_from_exact"] = asdict(away)
    about = _about(plan, names, measured)
    for level in writer.coarser():
        runner.tasks(_coarsen, writer, level, lambda _: None)
    count = len(job.blocks) // (plan.targets or 1)
    noted = [job.written(block.number) for block in job.blocks]
    found = [Statistics(**one["statistics"]) for one in noted]
    by_target = [Statistics.merged(found[t * count : (t + 1) * count]) for t in range(plan.targets or 1)]
    writer.finish(by_target, about)
    side = SideOutputs(plan, scores_of(job, plan.plan.counts), noted, names, about)
    side.write(staging.done, staging.path)
    _check_whole(job, side, staging)
    return side


def _check_whole(job: Job, side: SideOutputs, staging: Staging) -> None:
    """Make sure that nothing of the map, and of what stands beside it, has gone since it was written."""
    writer = job.writer
    whole = writer.is_made() and all(job.is_written(block.number) for block in job.blocks) and has_coarser(writer)
    if not whole or not side.is_whole():
        raise InputError(
            f"{staging.path}: files of the unfinished map in {staging.done} were removed while the scan ran; what else "
            "is finished is kept, and the same scan goes on there"
        )


def _coarsen(writer: Writer, step: Step) -> None:
    writer.coarsen(*step)


def class_names(target: Any, count: int | None, labels: Any) -> list[str]:
    """Name of each map's class: its label, or ``class 3`` where it has none; none for ``"predicted"``."""
    if isinstance(target, str) and target == "predicted":
        return []
    classes = range(count or 0) if isinstance(target, str) else np.atleast_1d(target).tolist()
    return [_class_name(one, labels or ()) for one in classes]


def _class_name(one: Any, labels: Any) -> str:
    if isinstance(one, int):
        return str(labels[one]) if one < len(labels) else f"class {one}"
    return str(one)


def _about(plan: Planned, names: list[str], measured: dict[str, Any]) -> dict[str, Any]:
    """How the map came about, what matters most first: a header may have no room for the rest."""
    asked = plan.asked
    found = plan.provenance
    label = {"label": names[0]} if len(names) == 1 else {"labels": names} if names else {}
    first = {name: found[name] for name in ("method", "layer", "target")}
    scanned: dict[str, Any] = {
        "window": plan.plan.window,
        "stride": plan.plan.stride,
        "trunk": asked.trunk,
        "blend": asked.blend,
        "normalize": asked.normalize,
        "invert": asked.invert,
        "masked": asked.mask is not None,
    }
    if plan.source.path is not None:
        scanned["volume"] = plan.source.path.name
    about = dict(asked.about)
    sha = {"model_sha256": found["model_sha256"]}
    kept: dict[str, Any] = as_json({**first, **label, **sha, **about, **scanned, **found, **measured})
    return kept
