"""How good maps are: sums against scores, confidence, deletion, randomisation, and intervals for all of them."""

from camfast.metrics.confidence import ConfidenceChange, average_drop, confidence_change, increase_in_confidence
from camfast.metrics.sums import SumToScore, sum_to_score

__all__ = [
    "ConfidenceChange",
    "SumToScore",
    "average_drop",
    "confidence_change",
    "increase_in_confidence",
    "sum_to_score",
]
