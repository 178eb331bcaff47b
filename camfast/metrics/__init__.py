"""How good maps are: sums against scores, confidence, deletion, randomisation, and intervals for all of them."""

from camfast.metrics.confidence import ConfidenceChange, average_drop, confidence_change, increase_in_confidence
from camfast.metrics.intervals import Interval, bootstrap, paired_bootstrap
from camfast.metrics.sums import SumToScore, sum_to_score

__all__ = [
    "ConfidenceChange",
    "Interval",
    "SumToScore",
    "average_drop",
    "bootstrap",
    "confidence_change",
    "increase_in_confidence",
    "paired_bootstrap",
    "sum_to_score",
]
