"""Sessions on their way into the program that their process becomes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.agent import handover
from cmdop.agent.detached import can_replace_itself, nameless_file

TIMEOUT_SECONDS = 30.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
)


def passed_on(file: IO[bytes]) -> int:
    """A descriptor of the file that `read` may close."""
    return os.dup(file.fileno())


@given(st.dictionaries(st.text(), JSON, max_size=4), st.lists(st.binary(max_size=200), max_size=4))
def test_what_was_written_is_read(state: dict[str, object], blobs: list[bytes]) -> None:
    with tempfile.TemporaryFile() as file:
        handover.write(file, state, blobs)
        assert handover.read(passed_on(file)) == (state, blobs)


def test_a_file_that_is_cut_is_no_state() -> None:
    with tempfile.TemporaryFile() as file:
        handover.write(file, {"a": 1}, [b"12345"])
        size = file.seek(0, os.SEEK_END)
        for kept in range(size):
            file.truncate(kept)
            file.seek(0)
            with pytest.raises((EOFError, ValueError)):
                handover.read(passed_on(file))
            file.seek(0)
            handover.write(file, {"a": 1}, [b"12345"])


def test_the_file_is_for_nobody_else() -> None:
    with nameless_file() as file:
        assert os.fstat(file.fileno()).st_nlink == 0
        assert not os.get_inheritable(file.fileno())
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (("/nonexistent/python",), "cannot be started"),
        ((sys.executable, "-c", "import sys; sys.exit('no module named cmdop')"), "and said: no module named cmdop"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with status 3 and said: nothing"),
        ((sys.executable, "-c", "print('cmdop session-host takes over format 0')"), "cannot take these over"),
    ],
)
def test_a_program_that_cannot_take_over_is_found_out_before(program: tuple[str, ...], reason: str) -> None:
    assert reason in handover.obstacle(program)


def test_a_program_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_CHECK_TIMEOUT_SECONDS", 0.3)
    assert "timed out" in handover.obstacle((sys.executable, "-c", "import threading; threading.Event().wait()"))


def test_this_program_can() -> None:
    assert handover.obstacle((sys.executable, "-m", "cmdop")) == ""


def test_an_exec_that_fails_changes_nothing() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(FileNotFoundError):
            handover.become(("/nonexistent/python",), {}, [], writing)
        assert not os.get_inheritable(writing)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(not can_replace_itself(), reason="it has no exec")
def test_the_program_gets_the_state_and_the_lease_and_keeps_the_process() -> None:
    becomes = (
        "import os, sys\n"
        "from cmdop.agent import handover\n"
        "words = sys.argv[1:]\n"
        "assert words[0] == 'session-host', words\n"
        "state, blobs = handover.read(int(words[2]))\n"
        "os.write(int(words[4]), repr((os.getpid() == state['pid'], blobs)).encode())\n"
    )
    code = (
        "import os, sys\n"
        "from cmdop.agent import handover\n"
        "lease = os.dup(1)\n"
        "os.set_inheritable(lease, False)\n"
        f"handover.become((sys.executable, '-c', {becomes!r}), {{'pid': os.getpid()}}, [b'one', b''], lease)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.stderr == b""
    assert done.stdout == b"(True, [b'one', b''])"
