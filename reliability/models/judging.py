"""One call of camfast on a random network: was it right, was it refused for a reason, and was anything touched."""

import copy
import traceback
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor

import camfast
from reliability.models.formulas import Expected
from reliability.models.networks import Drawn, called, tensors
from reliability.models.truth import Truth, observe
from reliability.models.watching import main
from tests.capture.untouched import Snapshot

CHANCE = 11  # what dropout draws from, for camfast and for the watched copy
# Of the largest sum of magnitudes of a cell. float64: rounding, and other orders of summation behind it. float32 and
# bfloat16 are compared with plain autograd in that type, whose gradients may take another way to the same sums.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 2e-3, torch.bfloat16: 0.1}
_AGREEMENT = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.05}
_CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "none": nullcontext, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode,
}  # fmt: skip
_EXPECTED_WARNINGS = (camfast.TrainingModeWarning, camfast.IllConditionedWarning, camfast.ActivationRuleWarning)


@dataclass(frozen=True)
class Outcome:
    """What became of one call.

    Attributes
    ----------
    what
        The method or function.
    verdict
        ``"equal"``, ``"refused"`` (a clear error, where one is due), ``"open"`` (no one right answer), ``"wrong"``.
    detail
        The reason of a refusal, or what is wrong.
    """

    what: str
    verdict: str
    detail: str = ""


class Open(Exception):  # noqa: N818 (no error)
    """There is no one right answer."""


@dataclass
class Trial:
    """A network under trial."""

    drawn: Drawn
    rng: Random
    truth: Truth
    outcomes: list[Outcome] = field(default_factory=list)
    _about: str = ""

    @classmethod
    def of(cls, drawn: Drawn) -> "Trial":
        truth = observe(drawn, CHANCE)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(CHANCE)
            plain = main(called(copy.deepcopy(drawn.network), drawn.inputs))
            near(
                "what is compared with is wrong itself: scores",
                truth.scores,
                plain,
                _AGREEMENT[plain.dtype] * plain.abs().max(),
            )
            assert torch.equal(torch.get_rng_state(), truth.chance), "what is compared with draws other numbers"
        return cls(drawn, Random(drawn.seed + 1), truth)

    def attempt(
        self,
        what: str,
        call: Callable[[], Any],
        judge: Callable[[Any], None],
        *,
        refusal: str | None = None,
        lenient: bool = False,
        runs: int = 1,
        context: str | None = None,
        own_step: bool = False,
        about: str = "",
    ) -> None:
        """Call camfast, and judge what comes of it.

        Parameters
        ----------
        what
            The method or function.
        call
            Calls camfast.
        judge
            Raises AssertionError where the result is wrong, `Open` where nobody knows.
        refusal
            Why an error is due; None: it isn't.
        lenient
            Whether both an error and a right result are accepted.
        runs
            How often the model is run, as far as what it draws is concerned.
        context
            The caller's mode of gradients; None: as drawn.
        own_step
            Whether the caller runs the network, whose buffers then change.
        about
            The layer and the target.
        """
        before, given = Snapshot(self.drawn.network), tensors(self.drawn.inputs)
        copies = [(leaf.clone(), leaf._version, leaf.requires_grad) for leaf in given]
        result, error = None, None
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("error")
            for expected in _EXPECTED_WARNINGS:
                warnings.simplefilter("ignore", expected)
            warnings.filterwarnings("ignore", "There is a performance drop")  # torch, of an operation it can't batch
            torch.manual_seed(CHANCE)
            try:
                with _CONTEXTS[self.drawn.context if context is None else context]():
                    result = call()
            except Exception as raised:
                error = raised
            chance = torch.get_rng_state()
        touched = before.differences()
        if own_step:
            touched = [kind for kind in touched if kind in ("training", "hooks", "modes")]
        for leaf, (value, version, flag) in zip(given, copies, strict=True):
            same = torch.equal(leaf, value) and (leaf._version, leaf.requires_grad) == (version, flag)
            if not same or leaf.grad is not None:
                touched.append("the inputs")
        if error is None and not torch.equal(chance, self.chance_behind(runs)):
            touched.append("the random generator stands elsewhere than behind a plain run")
        self._about = about
        if touched:
            self._note(what, "wrong", f"touched: {'; '.join(touched)}")
        elif error is not None:
            self._note(what, *self._of_error(error, refusal))
        elif refusal is not None and not lenient:
            self._note(what, "wrong", f"not refused: {refusal}")
        else:
            self._judged(what, judge, result)

    def chance_behind(self, runs: int) -> Tensor:
        """Where the generator stands behind some plain runs."""
        state = self.truth.chance
        for _ in range(runs - 1):
            state = observe(self.drawn, CHANCE, chance_state=state).chance
        return state

    def _judged(self, what: str, judge: Callable[[Any], None], result: Any) -> None:
        try:
            judge(result)
        except Open as reason:
            self._note(what, "open", str(reason))
        except AssertionError as reason:
            self._note(what, "wrong", str(reason) or "".join(traceback.format_tb(reason.__traceback__)[-1:]))
        else:
            self._note(what, "equal")

    @staticmethod
    def _of_error(error: Exception, refusal: str | None) -> tuple[str, str]:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if refusal is not None and is_clear(error):
            return "refused", refusal
        return "wrong", f"{'refused' if is_clear(error) else 'an unclear error'}: {said}"

    def _note(self, what: str, verdict: str, detail: str = "") -> None:
        if verdict == "wrong" and self._about:
            detail = f"{self._about}: {detail}"
        self.outcomes.append(Outcome(what, verdict, detail))


def is_clear(error: Exception) -> bool:
    """Whether an error is camfast's own, and a sentence."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = isinstance(error, camfast.CamfastError | ValueError | TypeError) and "camfast" in frames[-1]
    return own and len(str(error).split()) >= 5


def near(what: str, found: Tensor, wanted: Tensor, allowed: Tensor | float) -> None:
    """Check values against what they should be; ``allowed`` is broadcast from the left."""
    assert found.shape == wanted.shape, f"{what}: shape {tuple(found.shape)}, expected {tuple(wanted.shape)}"
    found, wanted = found.detach().double(), wanted.detach().double()
    if isinstance(allowed, Tensor):
        allowed = allowed.reshape(*allowed.shape, *[1] * (found.ndim - allowed.ndim))
    away = (found - wanted).abs()
    bad = ~((away <= allowed) | (found.isnan() & wanted.isnan()) | (found == wanted))
    if bool(bad.any()):
        worst = float(torch.where(bad, away, 0).nan_to_num(torch.inf).max())
        share = worst / max(float(wanted.abs().max()), 1e-300)
        raise AssertionError(f"{what}: {int(bad.sum())} of {bad.numel()} values differ, by {share:.1e} of the largest")


def determined(wanted: Expected) -> Tensor:
    """Which maps (N, T) have one right answer; raises `Open` where none has."""
    clear = wanted.known & (wanted.ill == 0)
    if not bool(clear.any()):
        raise Open("the weights divide by rounding" if bool(wanted.ill.any()) else "singular values agree")
    return clear
