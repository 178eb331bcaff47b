"""Other libraries' Grad-CAM, each in its best documented form, from a model's inputs to maps of the inputs' size.

Fairness: a peer may prepare whatever it can before the timed call; it gets its targets in its own form; where it
returns coarse maps, they are upsampled linearly; where it takes one class for a whole batch, the model is wrapped so
that this class is each sample's own. What it leaves behind (hooks, ``.grad``, switched flags) stays in a twin of the
model.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import camfast
from bench.jobs import LINEAR, CannotError, Chosen, Job, Maps, NotInstalledError, interpolate, twin

HOW_TO_INSTALL = "pip install --no-deps -r requirements-parity.txt"


class Peer(ABC):
    """A library that makes class activation maps.

    Attributes
    ----------
    name
        As it stands in tables.
    module, distribution
        What is imported, and what is installed.
    """

    name: str
    module: str
    distribution: str

    @property
    def version(self) -> str | None:
        """None where it is not installed."""
        if importlib.util.find_spec(self.module) is None:
            return None
        return importlib.metadata.version(self.distribution)

    def require(self) -> None:
        """Raise `NotInstalledError` where it is not."""
        if self.version is None:
            raise NotInstalledError(f"{self.name} is not installed: {HOW_TO_INSTALL}")

    @abstractmethod
    def explainer(self, job: Job) -> Callable[[Any], Tensor]:
        """Prepare a function from a target, in the form that `own` gives it, to maps (N, *S_in).

        Raises
        ------
        CannotError
            If the peer has none for such inputs.
        """

    def own(self, job: Job) -> Any:
        """The job's target in the peer's form."""
        return job.classes

    def maps(self, job: Job) -> Maps:
        """One map a sample."""
        self.require()
        return functools.partial(self.explainer(job), self.own(job))

    def maps_of(self, job: Job, classes: Sequence[int]) -> Maps:
        """Maps (N, T, *S_in) of several classes; a call for each, where the peer has no better way."""
        self.require()
        explain, samples = self.explainer(job), len(job.inputs)
        return lambda: torch.stack([explain(self.own_class(index, samples)) for index in classes], dim=1)

    def own_class(self, index: int, samples: int) -> Any:
        """A class of all samples in the peer's form."""
        return [index] * samples

    def shown(self, grid: Tensor, size: tuple[int, ...]) -> Tensor:
        """What the peer makes of a coarse map (N, *S_grid) that is right: (N, *S_in)."""
        return interpolate(grid[:, None], size)[:, 0]


class TorchCam(Peer):
    """Coarse maps, one forward pass of the caller's; the class scores are the caller's too."""

    name, module, distribution = "torchcam", "torchcam", "torchcam"

    def own(self, job: Job) -> Any:
        if isinstance(job.target, Tensor):
            return {"class_idx": job.classes}
        index, masks = job.target.class_index, job.masks()
        return {"targets": [functools.partial(_in_region, index=index, mask=mask) for mask in masks]}

    def explainer(self, job: Job) -> Callable[[Any], Tensor]:
        model, extractor = self._extractor(job)

        def explain(target: dict[str, Any]) -> Tensor:
            grid = extractor(scores=model(job.inputs), normalized=False, **target)[0]
            extractor.reset_hooks()  # it would keep the trunk's graph until the next call is halfway through
            return interpolate(grid[:, None], job.size)[:, 0]

        return explain

    def maps_of(self, job: Job, classes: Sequence[int]) -> Maps:
        """One forward pass, whose graph is kept for all classes."""
        self.require()
        model, extractor = self._extractor(job)

        def explain() -> Tensor:
            scores = model(job.inputs)
            grids = [extractor(index, scores, normalized=False, retain_graph=True)[0] for index in classes]
            extractor.reset_hooks()
            return interpolate(torch.stack(grids, dim=1), job.size)

        return explain

    def _extractor(self, job: Job) -> tuple[nn.Module, Any]:
        model = twin(job.model)
        return model, importlib.import_module("torchcam.methods").GradCAM(model, job.layer)


class Captum(Peer):
    """Coarse maps, upsampled by its own function."""

    name, module, distribution = "captum", "captum", "captum"

    def own(self, job: Job) -> Any:
        return job.target if isinstance(job.target, Tensor) else None

    def own_class(self, index: int, samples: int) -> Any:  # noqa: ARG002
        return index

    def explainer(self, job: Job) -> Callable[[Any], Tensor]:
        captum = importlib.import_module("captum.attr")
        model = twin(job.model)
        whole = model if isinstance(job.target, Tensor) else Chosen(model, _in_regions(job), keepdim=False)
        gradcam = captum.LayerGradCam(whole, model.get_submodule(job.layer))
        mode = LINEAR[len(job.size)]

        def explain(target: Any) -> Tensor:
            grid = gradcam.attribute(job.inputs, target=target, relu_attributions=True)
            maps: Tensor = captum.LayerAttribution.interpolate(grid, job.size, mode)
            return maps.detach()[:, 0]

        return explain


class PytorchGradCam(Peer):
    """Maps from 0 to 1 of the inputs' size, in numpy."""

    name, module, distribution = "pytorch-grad-cam", "pytorch_grad_cam", "grad-cam"

    def own(self, job: Job) -> Any:
        targets = _model_targets()
        if isinstance(job.target, Tensor):
            return [targets.ClassifierOutputTarget(index) for index in job.classes]
        index = job.target.class_index
        return [targets.SemanticSegmentationTarget(index, mask.cpu().numpy()) for mask in job.masks()]

    def own_class(self, index: int, samples: int) -> Any:
        targets = _model_targets()
        return [targets.ClassifierOutputTarget(index)] * samples

    def explainer(self, job: Job) -> Callable[[Any], Tensor]:
        if len(job.size) == 1:
            raise CannotError("it explains images and volumes only")
        _refuse_bfloat16(job)
        model = twin(job.model)
        gradcam = import_pytorch_grad_cam().GradCAM(model, [model.get_submodule(job.layer)])
        return lambda target: torch.from_numpy(gradcam(job.inputs, target))

    def shown(self, grid: Tensor, size: tuple[int, ...]) -> Tensor:
        """Scaled, resized (by OpenCV in 2-D, by scipy's cubic splines in 3-D), rectified and scaled again."""
        import_pytorch_grad_cam()
        scale = importlib.import_module("pytorch_grad_cam.utils.image").scale_cam_image
        return torch.from_numpy(scale(scale(grid.cpu().numpy(), size[::-1]).clip(min=0)))


class Monai(Peer):
    """Maps of the inputs' size, from 1 where the map is smallest to 0 where it is largest."""

    name, module, distribution = "MONAI", "monai", "monai"

    def own(self, job: Job) -> Any:
        if isinstance(job.target, camfast.Region):
            return _in_regions(job)
        return functools.partial(torch.gather, dim=1, index=job.target[:, None])

    def own_class(self, index: int, samples: int) -> Any:  # noqa: ARG002
        return lambda scores: scores[:, index, None]

    def explainer(self, job: Job) -> Callable[[Any], Tensor]:
        _refuse_bfloat16(job)
        whole = Chosen(twin(job.model), None)
        gradcam = self._import().GradCAM(nn_module=whole, target_layers=f"model.{job.layer}")

        def explain(target: Any) -> Tensor:
            whole.choose = target
            maps: Tensor = gradcam(x=job.inputs, class_idx=0)
            return maps[:, 0]

        return explain

    def shown(self, grid: Tensor, size: tuple[int, ...]) -> Tensor:
        maps: Tensor = self._import().default_normalizer(super().shown(grid, size)[:, None])
        return maps[:, 0]

    @staticmethod
    def _import() -> Any:
        return importlib.import_module("monai.visualize.class_activation_maps")


PEERS: tuple[Peer, ...] = (TorchCam(), Captum(), PytorchGradCam(), Monai())


def import_pytorch_grad_cam() -> Any:
    """pytorch-grad-cam, which imports names from torchvision that Grad-CAM never uses."""
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("pytorch_grad_cam")
    stubs = {}
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        stubs[name] = ModuleType(name)
        stubs[name].__dict__.update(dict.fromkeys(("Compose", "Normalize", "ToTensor", "resize")))
    before = set(sys.modules)
    sys.modules.update(stubs)
    try:
        return importlib.import_module("pytorch_grad_cam")
    finally:
        for name in stubs.keys() - before:
            del sys.modules[name]


def _model_targets() -> Any:
    import_pytorch_grad_cam()
    return importlib.import_module("pytorch_grad_cam.utils.model_targets")


def _in_region(scores: Tensor, index: int, mask: Tensor) -> Tensor:
    """The sum of a class's scores (C, *S) of one sample over a mask (*S)."""
    return (scores[index] * mask).sum()


def _in_regions(job: Job) -> Callable[[Tensor], Tensor]:
    """A function from scores (N, C, *S) to the regions' sums (N, 1)."""
    assert isinstance(job.target, camfast.Region)
    index, masks = job.target.class_index, job.masks()
    return lambda scores: (scores[:, index] * masks).flatten(1).sum(1, keepdim=True)


def _refuse_bfloat16(job: Job) -> None:
    if job.inputs.dtype == torch.bfloat16:
        raise CannotError("it goes through numpy, which has no bfloat16")
