"""The Python API with the real relay and real agents."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cmdop
from cmdop.errors import SessionGone
from tests_e2e.conftest import BadNetwork, clean_environment
from tests_e2e.stack import Stack
from tests_e2e.timing import BULK_SECONDS, STEP_SECONDS

DATA = bytes(number % 251 for number in range(3_000_000))


def reached(stack: Stack, home: Path, host: str = "alpha", server: str = "") -> cmdop.Machine:
    return cmdop.connect(host, server=server or stack.url, api_key=stack.operator_key, home=home)


def read_until(session: cmdop.AttachedSession, wanted: bytes) -> bytes:
    """The output up to what is wanted, and whatever came with it."""
    output = b""
    while wanted not in output:
        data = session.read(BULK_SECONDS)
        assert data, output[-1000:]
        output += data
    return output


def test_a_program_does_on_a_machine_what_its_user_would(stack: Stack, tmp_path: Path) -> None:
    with reached(stack, tmp_path) as machine:
        made = machine.create_session(name="build")
        assert made.session_id in {session.session_id for session in machine.sessions()}
        with machine.attach(made) as shell:
            shell.write(b"echo one-''two\n")
            read_until(shell, b"one-two\r\n")
            assert [client.operator for client in machine.sessions()[0].clients] == ["ann"]
        with machine.attach(made, read_only=True) as shell:
            machine.send_input(made, b"echo three-''four; exit 5\n")
            assert b"three-four" in b"".join(shell)
            assert shell.ended == cmdop.Ended(5)
        with pytest.raises(SessionGone):
            machine.read(made)


def test_commands_are_piped_through_byte_for_byte(stack: Stack, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(DATA)
    with reached(stack, tmp_path, "beta") as machine:
        summed = machine.execute("sha256sum", stdin=DATA)
        assert summed.stdout.split()[0].decode() == hashlib.sha256(DATA).hexdigest()
        with source.open("rb") as stdin, back.open("wb") as stdout:
            assert machine.execute("cat; exit 9", stdin=stdin, stdout=stdout).status == 9
    assert back.read_bytes() == DATA


def test_a_lost_network_costs_no_byte_in_either_direction(network: BadNetwork, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    script = f"stty raw -echo; echo ready; tee {taken} | cat; echo done"
    with reached(network.stack, tmp_path, server=network.client_way.url) as machine:
        made = machine.create_session(command=["sh", "-c", script])
        with machine.attach(made) as session:
            read_until(session, b"ready")
            for carried in (300_000, 1_500_000, 3_000_000):
                network.client_way.after(carried, network.client_way.reset)
            network.agent_way.after(2_000_000, network.agent_way.cut)
            writing = threading.Thread(target=session.write, args=(DATA,), daemon=True)
            writing.start()
            came = b""
            while len(came) < len(DATA):
                data = session.read(BULK_SECONDS)
                assert data, len(came)
                came += data
            writing.join(STEP_SECONDS)
            assert not writing.is_alive()
        assert came == DATA
        assert taken.read_bytes() == DATA
        assert network.client_way.planned == network.agent_way.planned == 0
        machine.close_session(made)


def test_a_session_outlives_the_agent_s_restart_under_an_attached_program(own_stack: Stack, tmp_path: Path) -> None:
    with reached(own_stack, tmp_path) as machine, machine.attach(new=True) as shell:
        shell.write(b"echo bef''ore\n")
        read_until(shell, b"before")
        own_stack.restart_agent("alpha")
        shell.write(b"echo aft''er; exit 6\n")
        assert b"after" in b"".join(shell)
        assert shell.ended == cmdop.Ended(6)


def test_a_program_that_is_interrupted_takes_its_command_with_it(stack: Stack, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"""
import cmdop
with cmdop.connect("alpha", server={stack.url!r}, api_key={stack.operator_key!r}, home={str(tmp_path)!r}) as machine:
    machine.execute("echo $$ > {pid_file}; echo begun; exec sleep 1000", stdout=open(1, "wb", 0))
"""
    program = subprocess.Popen(
        [sys.executable, "-c", script],
        env=clean_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"begun\n"
    os.kill(program.pid, 2)
    assert program.wait(STEP_SECONDS) != 0
    program.stdout.close()
    with reached(stack, tmp_path) as machine:
        waiting = f"while kill -0 {pid_file.read_text().strip()} 2>/dev/null; do sleep 0.05; done"
        assert machine.execute(waiting, timeout_seconds=STEP_SECONDS).status == 0
