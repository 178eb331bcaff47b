"""The errors that camfast raises: each says what was found, what was expected and what to do."""

import traceback


class CamfastError(Exception):
    """Base of every error that camfast raises itself."""


class InputError(CamfastError, ValueError):
    """A file, a volume, weights or an option that a person gave cannot be used; the message says why and what to do."""


class CaptureError(CamfastError, RuntimeError):
    """A model ran, but its activations or gradients at the layer could not be had."""


class SplitError(CamfastError, ValueError):
    """A model can't be cut in two at a layer; the message says why, and what would do."""


class BackendError(CamfastError, RuntimeError):
    """The backend asked for cannot run here; the message says why and what would make it run."""


class MissingExtraError(CamfastError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class IllConditionedWarning(UserWarning):
    """Channel weights divide by a small difference of large numbers: the map may be noise blown up."""


class ActivationRuleWarning(UserWarning):
    """A rule of the backward pass met other activations than ReLU, or none that it can be applied to."""


class TrainingModeWarning(UserWarning):
    """The model is in training mode, where dropout and batch norm make its maps depend on chance and on the batch."""


def came_from_network(error: BaseException) -> bool:
    """Whether an exception was raised while a module ran, rather than by what stands around it."""
    frames = traceback.walk_tb(error.__traceback__)
    codes = (frame.f_code for frame, _ in frames)
    return any(code.co_name == "_call_impl" and "torch" in code.co_filename for code in codes)
