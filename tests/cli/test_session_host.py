"""`cmdop session-host`, which agents start and people do not."""

from __future__ import annotations

import os

import pytest

from cmdop.agent.handover import check_line
from cmdop.agent.hosting import HOST_LOCK
from cmdop.agent.lockfile import LockFile
from cmdop.cli.root import run
from cmdop.home import Home
from tests.cli.process import cmdop


def test_nobody_is_told_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "session-host" not in capsys.readouterr().out


def test_a_check_says_what_it_can_take_over_and_leaves_nothing(home: Home) -> None:
    done = cmdop(home, "session-host", "--check")
    assert (done.status, done.out, done.err) == (0, check_line() + "\n", "")
    assert not home.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="descriptors are not handed on")
def test_a_state_that_makes_no_sense_is_said(home: Home) -> None:
    done = cmdop(home, "session-host", "--state", "0", stdin="nonsense")
    assert done.status == 1
    assert done.err.startswith("cmdop: ")
    assert LockFile(home, HOST_LOCK).holder() is None
