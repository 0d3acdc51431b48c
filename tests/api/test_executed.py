"""A command on a machine: its input, its outputs and its end, with a real agent of this process."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

import cmdop
from cmdop.auth.keys import Role
from cmdop.errors import CmdopError, CommandUnusable, OutputLost, RoleTooLow, UsageError
from cmdop.limits import DATA_MAX_BYTES
from tests.api.conftest import HOST
from tests.network import SERVER, Network

DATA = bytes(number % 251 for number in range(1_000_000))


def test_one_word_is_run_by_the_shell_and_several_as_they_are(machine: cmdop.Machine) -> None:
    assert machine.execute("echo $((1 + 2)); echo oh >&2; exit 3") == cmdop.Executed(3, stdout=b"3\n", stderr=b"oh\n")
    assert machine.execute(["echo", "$((1 + 2))", b"\xff"]) == cmdop.Executed(0, stdout=b"$((1 + 2)) \xff\n")


def test_a_machine_goes_on_to_be_used_after_a_command(machine: cmdop.Machine) -> None:
    for _ in range(2):
        assert machine.execute("true").status == 0
        assert machine.sessions() == []


def test_what_it_reads_is_given_byte_for_byte(machine: cmdop.Machine) -> None:
    assert machine.execute("cat", stdin=DATA).stdout == DATA
    assert machine.execute("cat") == cmdop.Executed(0)
    assert machine.execute("head -c 1", stdin=DATA).stdout == DATA[:1]


def test_files_take_the_place_of_what_would_be_kept(machine: cmdop.Machine, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(DATA)
    error = io.BytesIO()
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb", buffering=0) as output:
        done = machine.execute("cat; echo oh >&2", stdin=source, stdout=output, stderr=error)
    assert done == cmdop.Executed(0)
    assert (tmp_path / "out").read_bytes() == DATA
    assert error.getvalue() == b"oh\n"


def test_input_is_read_as_it_comes_and_output_written_as_it_comes(machine: cmdop.Machine) -> None:
    """The second line is typed when the first has come back."""
    come, ask = os.pipe()
    came = b""

    class Output:
        def write(self, data: bytes) -> None:
            nonlocal came
            came += data
            if came == b"one\n":
                os.write(ask, b"two\n")
            elif came == b"one\ntwo\n":
                os.close(ask)

    with os.fdopen(come, "rb") as lines:
        os.write(ask, b"one\n")
        assert machine.execute("cat", stdin=lines, stdout=Output()).status == 0
    assert came == b"one\ntwo\n"


def test_a_file_that_takes_little_at_once_gets_everything(machine: cmdop.Machine) -> None:
    came = bytearray()

    class Output:
        def write(self, data: bytes) -> int:
            came.extend(data[:10_000])
            return min(len(data), 10_000)

    assert machine.execute("cat", stdin=DATA, stdout=Output()).status == 0
    assert came == DATA


def test_variables_and_a_folder_are_those_of_the_command(machine: cmdop.Machine, tmp_path: Path) -> None:
    done = machine.execute("pwd; echo $WHAT", env={"WHAT": "a=b c"}, cwd=tmp_path)
    assert done.stdout == f"{tmp_path}\na=b c\n".encode()


def test_more_than_is_kept_is_cut_and_said(machine: cmdop.Machine) -> None:
    done = machine.execute("cat", stdin=DATA, output_max_bytes=1000)
    assert done == cmdop.Executed(0, stdout=DATA[:1000], truncated=True)


@pytest.mark.parametrize(
    ("command", "timeout_seconds", "executed", "status"),
    [
        ("exit 7", None, cmdop.Executed(7), 7),
        ("kill -9 $$", None, cmdop.Executed(0, 9), 137),
    ],
)
def test_its_end_is_told_as_a_shell_tells_it(
    machine: cmdop.Machine, command: str, timeout_seconds: float | None, executed: cmdop.Executed, status: int
) -> None:
    done = machine.execute(command, timeout_seconds=timeout_seconds)
    assert done == executed
    assert done.status == status


def test_one_that_takes_too_long_is_killed(machine: cmdop.Machine) -> None:
    done = machine.execute("echo begun; sleep 1000", timeout_seconds=0.5)
    assert (done.timed_out, done.status, done.stdout) == (True, 124, b"begun\n")


# -- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ""},
        {"command": []},
        {"command": "a\0b"},
        {"command": "true", "env": {"A=B": "c"}},
        {"command": "true", "env": {"": "c"}},
        {"command": "true", "cwd": "a\0b"},
        {"command": "x" * DATA_MAX_BYTES},
    ],
)
def test_what_cannot_be_run_is_not_sent(machine: cmdop.Machine, wrong: dict[str, object], network: Network) -> None:
    dialled = len(network.connections)
    with pytest.raises(UsageError):
        machine.execute(**wrong)  # type: ignore[arg-type]
    assert machine.sessions() == []
    assert len(network.connections) == dialled


def test_what_is_not_there_and_what_is_not_allowed_is_said(
    machine: cmdop.Machine, network: Network, tmp_path: Path
) -> None:
    done = machine.execute(["/no/such/program", "x"])
    assert done.status == 127
    assert b"/no/such/program" in done.stderr
    with pytest.raises(CommandUnusable):
        machine.execute("true", cwd="/no/such/folder")
    key = network.rig.key(Role.OBSERVER, "bob").text
    with cmdop.connect(HOST, api_key=key, server=SERVER, home=tmp_path / "bob") as watched:
        with pytest.raises(RoleTooLow):
            watched.execute("true")


class Broken:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def write(self, data: bytes) -> int:
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("it is closed")])
def test_output_that_cannot_be_written_is_an_error(machine: cmdop.Machine, error: Exception) -> None:
    with pytest.raises(OutputLost):
        machine.execute("yes", stdout=Broken(error))


def test_a_file_that_takes_nothing_is_given_up(machine: cmdop.Machine) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            return 0

    with pytest.raises(CmdopError):
        machine.execute("echo x", stdout=Full())
