from __future__ import annotations

import signal

import pytest

from cmdop.errors import UsageError
from cmdop.ptyhost.signals import signal_number


@pytest.mark.parametrize("name", ["INT", "SIGINT", "int", "sigint", "2", 2])
def test_every_spelling_is_the_same_signal(name: str | int) -> None:
    assert signal_number(name) == signal.SIGINT


@pytest.mark.parametrize("name", ["", "SIG", "NONE", "0", "-1", 0, 10**9, "²", "SIG_DFL", "9" * 50])
def test_what_is_no_signal_is_refused_by_name(name: str | int) -> None:
    with pytest.raises(UsageError, match="no signal"):
        signal_number(name)
