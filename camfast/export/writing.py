"""A model with its explanation as one graph, for ONNX and for `torch.export`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camfast import layers
from camfast._extras import require
from camfast._version import __version__
from camfast.engine import Explainer
from camfast.errors import MissingExtraError, SplitError
from camfast.export.steps import chain
from camfast.methods import get
from camfast.ops import reference
from camfast.ops.forms import FORMS, Centres, Gain, Upsample, per_axis, split_centres
from camfast.split import disagreement, split

# Of the largest value: what other kernels of the same float32 operations may differ by.
_TOLERANCE = 1e-4


def export(
    model: nn.Module,
    layer: str | nn.Module,
    method: str,
    target: int | str | Sequence[int],
    path: str | Path,
    *,
    example: Tensor,
    relu: bool | None = None,
    size: Sequence[int] | Literal["grid"] | None = None,
    upsample: Upsample | None = None,
    sigma: float | Sequence[float] | None = None,
    gain: Gain = "spray",
    centres: Centres | None = None,
    dynamic_batch: bool = True,
) -> Path:
    """Write a model with its explanation as one graph of plain operations: inputs to scores and maps.

    The gradient is a part of the graph in closed form, so that anything that runs the network can run its explanation.
    The model has to be float32 and in eval mode, the method one of activations and gradients. Behind the layer may
    stand: averages over all positions, flatten and view, linear layers, ReLU, 1×1 convolutions, dropout. What was
    written is read again and compared with `Explainer` on the example.

    Parameters
    ----------
    model, layer, method, relu, size, upsample, sigma, gain, centres
        See `Explainer`.
    target
        ``"predicted"``, a class, ``"all"`` or a list of classes.
    path
        A file to write: ``.onnx``, or ``.pt2`` for `torch.export.load`.
    example
        Inputs (N, C, *S_in), float32, whose spatial size the graph keeps.
    dynamic_batch
        Take any number of samples, not only that of the example.

    Returns
    -------
    Path
        The file. The graph returns scores (N, C) and maps (N, [T,] *S).

    Raises
    ------
    SplitError
        If the model can't be cut at the layer, the head has a step without a closed form, or the file doesn't give
        what `Explainer` gives.
    MissingExtraError
        For ``.onnx``, if onnx or onnxscript isn't installed.
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv2d(3, 4, 3), ReLU(), Flatten(), Linear(144, 5)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = camfast.export(model, "1", "respond", 3, f"{folder}/net.pt2", example=torch.ones(2, 3, 8, 8))
    ...     scores, maps = torch.export.load(path).module()(torch.ones(7, 3, 8, 8))
    >>> maps.shape
    torch.Size([7, 8, 8])
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"path must end in .onnx or .pt2, found {path.name!r}")
    if get(method) is not FORMS.get(method):
        raise ValueError(f"export writes maps of gradients: method must be one of {', '.join(FORMS)}, found {method!r}")
    if not isinstance(example, Tensor) or example.dtype != torch.float32:
        found = example.dtype if isinstance(example, Tensor) else type(example).__name__
        raise TypeError(f"example must be a float32 tensor (N, C, *S_in), found {found}")
    if not len(example):
        raise ValueError("example holds no sample: one at least is needed to try the graph on")
    listed = target if isinstance(target, list | tuple) else [target]
    if target not in ("predicted", "all") and not all(type(one) is int for one in listed):
        raise TypeError(f"target must be 'predicted', 'all', a class or a list of classes, found {target!r}")
    inner = layers.unwrap(model)
    if inner.training:
        raise ValueError("the model is in training mode: call model.eval() before it is exported")
    if path.suffix == ".onnx":
        for name in ("onnx", "onnxscript"):
            require(name, "export", "writing ONNX files")
    options = {"relu": relu, "size": size, "upsample": upsample, "sigma": sigma, "gain": gain, "centres": centres}
    explainer = Explainer(inner, layer, method, **options)  # type: ignore[arg-type]
    inputs = example if len(example) > 1 else example.repeat(2, *[1] * (example.ndim - 1))  # 1 would stay fixed
    expected = explainer(inputs, target)
    with torch.no_grad():
        graph = _Explained(explainer, layer, target, inputs)
        _compare("the graph", graph(inputs), (expected.scores, expected.maps))
        dynamic = {0: torch.export.Dim("batch")} if dynamic_batch else None
        given = inputs if dynamic_batch else example
        program = torch.export.export(graph, (given,), dynamic_shapes=(dynamic,))
        notes = {
            "layer": str(explainer.layer), "method": method, "target": str(target), "camfast": __version__,
            "torch": torch.__version__,
        }  # fmt: skip
        write = _onnx if path.suffix == ".onnx" else _pt2
        returned = write(program, path, notes, given)
    if returned is not None:
        count = len(given)
        try:
            _compare(str(path), returned, (expected.scores[:count], expected.maps[:count]))
        except SplitError:
            path.unlink()  # nothing wrong is left behind
            raise
    return path


class _Explained(nn.Module):
    """Inputs to scores and maps, in plain operations."""

    def __init__(self, explainer: Explainer, layer: str | nn.Module, target: Any, inputs: Tensor) -> None:
        super().__init__()
        self.trunk, head = split(explainer.model, layer, inputs)
        A = self.trunk(inputs)
        self.steps = nn.ModuleList(chain(head, A))
        self.method, self.relu = explainer.method, explainer.relu
        self.many = target == "all" or isinstance(target, list | tuple)
        classes = head(A.clone()).shape[1]
        indices = range(classes) if target == "all" else target if self.many else [target]
        rows = None if target == "predicted" else torch.eye(classes, device=A.device)[list(indices)]
        self.register_buffer("rows", rows)
        size = explainer.size
        self.size = None if size == "grid" else [int(extent) for extent in size or inputs.shape[2:]]
        up = explainer.upsampling
        self.gaussian = up.mode == "gaussian"
        self.sigma = per_axis(up.sigma, A.ndim - 2) if self.gaussian and up.sigma is not None else None
        self.gain = up.gain
        self.starts, self.distances = split_centres(up.centres, A.shape[2:], self.size or A.shape[2:])

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, C) and maps (N, [T,] *S)."""
        A = self.trunk(inputs)
        values = [A]
        for step in self.steps:
            values.append(step(values[-1]))
        scores = values.pop()
        rows: Any = self.rows
        if rows is None:
            rows = nn.functional.one_hot(scores.argmax(1), scores.shape[1]).to(scores.dtype).unsqueeze(1)
        G = rows.expand(scores.shape[0], -1, -1)
        for step, x in zip(reversed(list(self.steps)), reversed(values), strict=True):
            G = step.backward(G, x)  # type: ignore[operator]
        parts = reference.fused_cam(
            A, G.transpose(0, 1), self.method, self.relu, self.size, self.sigma, self.gain, self.starts, self.distances
        )
        return scores, parts.maps if self.many else parts.maps[:, 0]


def _pt2(program: Any, path: Path, notes: dict[str, str], inputs: Tensor) -> tuple[Tensor, Tensor]:
    torch.export.save(program, path, extra_files={"camfast.json": json.dumps(notes)})
    scores, maps = torch.export.load(path).module()(inputs)
    return scores, maps


def _onnx(program: Any, path: Path, notes: dict[str, str], inputs: Tensor) -> tuple[Tensor, Tensor] | None:
    """Write and run again; None where there is nothing to run it with."""
    written: Any = torch.onnx.export(
        program, (), dynamo=True, input_names=["inputs"], output_names=["scores", "maps"], verbose=False
    )
    written.model.metadata_props.update({f"camfast.{key}": value for key, value in notes.items()})
    written.save(path)
    try:
        runtime = require("onnxruntime", "export", "running ONNX files")
    except MissingExtraError:
        return None
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores, maps = session.run(None, {session.get_inputs()[0].name: inputs.cpu().numpy()})
    return torch.from_numpy(scores).to(inputs.device), torch.from_numpy(maps).to(inputs.device)


def _compare(place: str, found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for name, one, other in zip(("scores", "maps"), found, expected, strict=True):
        difference = disagreement(one, other, _TOLERANCE)
        if difference is not None:
            raise SplitError(f"{place}: what it returns as {name} {difference} that Explainer gives")
