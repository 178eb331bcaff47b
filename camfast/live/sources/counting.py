"""Numbers of frames that somebody else numbers."""


class SentNumbers:
    """Numbers that begin at 0 with the first frame that came, and go on where the sender starts over."""

    def __init__(self) -> None:
        self._next, self._offset = 0, 0
        self._begun = False

    def number(self, sent: int | None) -> int:
        """Return the source's number of a frame that the sender gave a number, or none.

        Examples
        --------
        >>> numbers = SentNumbers()
        >>> [numbers.number(sent) for sent in (7, 8, 11, 0, 1)]
        [0, 1, 4, 5, 6]
        """
        if sent is None:
            sent = self._next - self._offset
        if not self._begun or sent + self._offset < self._next:
            self._offset = self._next - sent
        self._begun = True
        self._next = sent + self._offset + 1
        return self._next - 1
