"""Texts that others gave, such as names in files, where they are printed or become part of something else."""

import re

# the last ones turn the direction of what follows
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str, keep: str = "") -> str:
    r"""Spell control characters but for those to ``keep``: none reaches a terminal as a command, or ends a line.

    Examples
    --------
    >>> print(printable("ball\x1b[2J\nring"))
    ball\x1b[2J\nring
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)
