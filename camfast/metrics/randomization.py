"""Whether a map changes when what the network has learnt is taken from it."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camfast import guards
from camfast.engine import Explainer
from camfast.inputs import arguments, call
from camfast.layers import find, unwrap
from camfast.metrics.similarity import Similarity, compare, table
from camfast.progress import Bar
from camfast.scoring import derived_seed

Mode = Literal["cascading", "independent"]
Explain = Callable[[nn.Module, Any], Tensor]

_MODES: tuple[Mode, ...] = ("cascading", "independent")


@dataclass(frozen=True)
class RandomizationCheck:
    """How alike maps stay when layers are randomised.

    Attributes
    ----------
    layers : tuple of str
        From the top, next to the output, down.
    seeds : tuple of int
        Of the random weights.
    modes : dict of Similarity
        ``"cascading"``: the layer and all above it are randomised; ``"independent"``: the layer alone.
    reference : Tensor
        The trained network's maps, (N, *S).
    """

    layers: tuple[str, ...]
    seeds: tuple[int, ...]
    modes: dict[str, Similarity]
    reference: Tensor = field(repr=False)

    def __str__(self) -> str:
        head = f"mean ± spread over {len(self.seeds)} seeds, {len(self.reference)} samples; 1: the map doesn't change"
        return f"{head}\n{table(self.layers, self.modes)}"


def randomization_check(
    model: nn.Module,
    inputs: Any,
    explain: Explain,
    *,
    layers: Sequence[str | nn.Module] | str | nn.Module | None = None,
    modes: Sequence[Mode] = _MODES,
    seeds: int | Sequence[int] = 5,
    progress: bool = False,
) -> RandomizationCheck:
    """Randomise a model's layers, and compare its maps with those of the trained model.

    A map that stays the same doesn't show what the network has learnt. Cascading from the top, the layers next to the
    output are randomised first and stay so; independently, one layer is at a time.

    Parameters
    ----------
    model
        A trained module; it isn't touched, as a deep copy is randomised and explained.
    inputs
        What the model takes, with the batch as the first axis.
    explain
        Any method, as a function of a model and inputs that returns maps (N, *S). It has to explain the model that it
        is given, and the same class for every model: ``lambda model, x: camfast.cam(model, x, "features.9", classes)``
        with fixed ``classes``, and layers by their names: the model is a copy.
    layers
        The one or those to be randomised, from the top down, each with what it contains, unless that is listed itself;
        None: all modules that have parameters of their own, in the reverse of the order in which they start to run.
    modes
        ``"cascading"``, ``"independent"``, or both.
    seeds
        How many, counted from 0, or which.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    RandomizationCheck
        Rank correlation, signed and of absolute values, and structural similarity for each layer, seed and sample;
        printed, a table of means and spreads. Maps without a rank (all 0, say) are left out of means and counted.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit, or ``explain`` returns something else than one map a sample.

    Notes
    -----
    A layer is set to what its ``reset_parameters`` draws: the state before training, so that batch norm becomes the
    identity (scale 1, shift and running mean 0, running variance 1). Parameters of modules without that method, and
    those that it leaves as they are, are drawn from a normal distribution with the mean and standard deviation that
    they have. The global generators of the parameters' devices are seeded while a layer is set, and then put back:
    don't draw from them in other threads meanwhile.

    References
    ----------
    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.

    Examples
    --------
    >>> from torch.nn import Conv1d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv1d(1, 4, 3), ReLU(), Flatten(), Linear(40, 3)).eval()
    >>> explain = lambda model, x: camfast.cam(model, x, "1", 0, method="hirescam", relu=False)
    >>> found = camfast.metrics.randomization_check(model, torch.rand(2, 1, 12), explain, seeds=3)
    >>> found.layers, found.modes["cascading"].spearman.shape
    (('3', '0'), torch.Size([2, 3, 2]))
    """
    if isinstance(explain, Explainer) or not callable(explain):
        raise TypeError(
            "explain must be a function of the model and the inputs that returns maps, found "
            f"{type(explain).__name__}: lambda model, inputs: camfast.cam(model, inputs, layer, target)"
        )
    copied = copy.deepcopy(unwrap(model))
    wanted = (modes,) if isinstance(modes, str) else tuple(modes)
    if not wanted or not set(wanted) <= set(_MODES):
        raise ValueError(f"modes must be some of {', '.join(_MODES)}, found {modes!r}")
    drawn = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not drawn:
        raise ValueError(f"seeds must be how many or which, at least one; found {seeds!r}")
    if layers is None:
        names = _top_down(copied, inputs)
    else:
        listed = (
            [layers] if isinstance(layers, str | nn.Module) else layers
        )  # a Sequential is a sequence, and one layer
        names = tuple(find(unwrap(model), one)[0] for one in listed)
    empty = [name for name in names if not any(True for _ in find(copied, name)[1].parameters())]
    if empty or not names:
        raise ValueError(f"layers must have parameters to randomise, found {empty or 'no layer that has'}")
    reference = _maps(explain, copied, inputs)
    found: dict[str, list[tuple[Tensor, ...]]] = {mode: [] for mode in wanted}
    with Bar(len(wanted) * len(drawn) * len(names), "randomisation", shown=progress) as bar:
        for mode in wanted:
            for randomised in bar.over(_randomised(copied, names, drawn, mode)):
                maps = _maps(explain, randomised, inputs)
                if maps.shape != reference.shape:
                    raise ValueError(f"explain returned maps {tuple(maps.shape)} after {tuple(reference.shape)}")
                found[mode].append(compare(reference, maps))
    shape = (len(drawn), len(names), len(reference))
    similarities = {
        mode: Similarity(*(torch.stack(m).reshape(shape).transpose(0, 1) for m in zip(*each, strict=True)))
        for mode, each in found.items()
    }
    return RandomizationCheck(names, drawn, similarities, reference)


def _randomised(model: nn.Module, names: Sequence[str], seeds: Sequence[int], mode: str) -> Iterator[nn.Module]:
    """The model with other layers randomised each time, for each seed and layer; put back at the end."""
    trained = {key: value.clone() for key, value in _state(model).items()}
    listed = [find(model, name)[1] for name in names]
    for seed in seeds:
        for place, layer in enumerate(listed):
            # what a layer contains goes with it, unless it is listed itself
            others = {part for other in listed if other is not layer for part in _below(other, layer)}
            _randomise([part for part in layer.modules() if part not in others], derived_seed(seed, place))
            yield model
            if mode == "independent" or place == len(names) - 1:
                _restore(model, trained)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, also those that aren't saved."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _restore(model: nn.Module, trained: dict[str, Tensor]) -> None:
    state = _state(model)
    with torch.no_grad():
        for key, value in trained.items():
            state[key].copy_(value)


def _below(other: nn.Module, layer: nn.Module) -> set[nn.Module]:
    """The modules of another layer, where that lies inside of a layer."""
    return set(other.modules()) if other in set(layer.modules()) else set()


def _randomise(modules: Sequence[nn.Module], seed: int) -> None:
    """Set modules to what they may have been before training, each its own parameters."""
    tensors = [tensor for module in modules for tensor in module.parameters()]
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed devices that aren't put back, too
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        for module in modules:
            before = [(parameter, parameter.clone()) for parameter in module.parameters(recurse=False)]
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            for parameter, trained in before:
                if torch.equal(parameter, trained):
                    values = parameter.to(torch.promote_types(parameter.dtype, torch.float32))
                    spread = values.std(correction=0)
                    parameter.copy_(torch.randn_like(values) * spread + values.mean())


def _top_down(model: nn.Module, inputs: Any) -> tuple[str, ...]:
    """Modules with parameters of their own, in the reverse of the order in which they start to run."""
    started: dict[str, None] = {}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: started.setdefault(name))
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        with torch.no_grad(), guards.model_untouched(model):
            call(model, *arguments(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(reversed(started))


def _maps(explain: Explain, model: nn.Module, inputs: Any) -> Tensor:
    maps = explain(model, inputs)
    if not isinstance(maps, Tensor) or not 2 <= maps.ndim <= 4 or not maps.numel():
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"explain must return one map a sample, a tensor (N, *S) of one to three axes; found {found}")
    return maps.detach().double()
