"""Why an attach ended, and with which status."""

from __future__ import annotations

import pytest

from cmdop.client.outcome import Detached, SessionEnded
from cmdop.wire.session_messages import Ended


@pytest.mark.parametrize(
    ("ended", "status"), [(Ended(0), 0), (Ended(3), 3), (Ended(255), 255), (Ended(0, 9), 137), (Ended(5, 15), 143)]
)
def test_the_status_is_that_of_a_shell(ended: Ended, status: int) -> None:
    assert SessionEnded(ended).status == status


def test_outcomes_of_one_kind_are_equal() -> None:
    assert Detached() == Detached()
    assert SessionEnded(Ended(1)) != SessionEnded(Ended(2))
