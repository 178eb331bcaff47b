"""Running a network for a person: what it raises, prints or returns that cannot be used is said in one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from camfast._text import printable
from camfast.errors import CamfastError, InputError, came_from_network

if TYPE_CHECKING:
    from torch import Tensor

    from camfast.explanation import Explanation


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"camfast: warning: {printable(text)}", file=sys.stderr)


@contextmanager
def input_errors() -> Iterator[None]:
    """Within the block, a ValueError is about what a person typed."""
    try:
        yield
    except CamfastError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


@contextmanager
def network_errors(model: str, inputs: "Tensor") -> Iterator[None]:
    """Within the block, an error that the network raises is said to come from it, and what it prints stays off stdout.

    Raises
    ------
    InputError
        If the network raises something, or a ValueError is about what a person typed.
    """
    import torch

    try:
        with redirect_stdout(sys.stderr):
            yield
    except (CamfastError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if not came_from_network(error):
            if "camfast.Region" in str(error):
                raise InputError(
                    f"{model}: the network gives one score for every class and position; say which are summed by "
                    "--target CLASS and --region image or predicted"
                ) from error
            if isinstance(error, ValueError):
                raise InputError(str(error)) from error
            raise
        extent = " × ".join(str(length) for length in inputs.shape[2:])
        channels = f"{inputs.shape[1]} channel{'' if inputs.shape[1] == 1 else 's'}"
        kind, advice = ("pixels", "--size and --channels choose") if inputs.ndim == 4 else ("voxels", "give")
        found = f"an input of {extent} {kind} and {channels}"
        if isinstance(error, RuntimeError):
            text = f"does not take {found} ({first_line(error)}); {advice} what it was trained with"
        else:
            text = f"raised {type(error).__name__}: {' '.join(str(error).split())} for {found}"
        raise InputError(f"{model}: the network {text}") from error


def at_the_shell(message: str) -> str:
    """Take out of the library's message what can be done in Python only."""
    for python, shell in (
        (" (overwrite=True)", ""),
        (", or pass reshape=", ""),
        ("; tokens need reshape=", ""),
        (", name the module by head=", ""),
        ("method='cam'", "--method cam"),
        ("upsample='gaussian'", "--upsample gaussian"),
        ("upsample='linear'", "--upsample linear"),
    ):
        message = message.replace(python, shell)
    return message


def check_finite_inputs(name: object, inputs: "Tensor") -> None:
    """Make sure that what the network is given holds finite numbers.

    Raises
    ------
    InputError
        If it doesn't.
    """
    finite = inputs.isfinite()
    if not finite.all():
        raise InputError(
            f"{name}: {int((~finite).sum()):,} of {inputs.numel():,} values are not finite as the network gets them; "
            "check the file, --scale, --mean and --std"
        )


def check_finite_result(name: object, result: "Explanation") -> None:
    """Make sure that the network's scores and the maps are finite.

    Raises
    ------
    InputError
        If they aren't; the message names what is not.
    """
    scores = result.scores
    if not scores.isfinite().all():
        first = [int(i) for i in (~scores.isfinite()).nonzero()[0]]
        position = f"class {first[1]}" if len(first) > 1 else "the sample"
        raise InputError(
            f"{name}: the network's score of {position} is {float(scores[tuple(first)])}, expected finite numbers; "
            "check its weights"
        )
    if not result.maps.isfinite().all():
        raise InputError(
            f"{name}: the map is not finite though the network's scores are; check the weights, or try another "
            "--method or --layer"
        )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
