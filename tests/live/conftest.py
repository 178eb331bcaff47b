from collections.abc import Iterator

import pytest

from tests.live.feeds import threads


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not threads()
