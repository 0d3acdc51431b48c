"""Shells that outlive their agent: restarted, killed, stopped, started twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests_e2e.conftest import READY, User, as_operator, shell
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP, Job
from tests_e2e.timing import GIVE_UP_SECONDS, START_SECONDS


@pytest.fixture
def ann(user: User, own_stack: Stack) -> User:
    return as_operator(user, own_stack)


def pid_of_shell(somebody: User) -> int:
    """The pid of the shell whose prompt is there."""
    somebody.terminal.type(b"echo shell=$$.\r")
    found = re.search(rb"shell=(\d+)\.", somebody.terminal.expect(rb"shell=\d+\.\r\n", GIVE_UP_SECONDS))
    assert found is not None
    somebody.terminal.expect_exact(READY)
    return int(found[1])


def command_of(pid: int) -> str:
    """The command line of a process; empty when there is none."""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=START_SECONDS
    ).stdout


def home_of(stack: Stack, name: str) -> dict[str, str]:
    return stack.environment(f"agent-{name}")


def agent(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of `cmdop agent` for the home of alpha."""
    return subprocess.run(
        [CMDOP, "agent", *words],
        env=home_of(stack, "alpha"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def attached(ann: User) -> tuple[Job, int]:
    job = shell(ann, "alpha")
    return job, pid_of_shell(ann)


def test_a_restart_keeps_the_shell_and_the_attach_and_takes_the_program_that_is_there_now(
    ann: User, own_stack: Stack
) -> None:
    job, before = attached(ann)
    status = own_stack.status("alpha")
    ann.terminal.type(b"kept=ye''s\r")
    ann.terminal.expect_exact(READY)
    assert command_of(status["host_pid"]).strip().endswith("session-host")
    own_stack.restart_agent("alpha")
    assert pid_of_shell(ann) == before
    ann.terminal.type(b"echo kept=$kept\r")
    ann.terminal.expect_exact(b"kept=yes\r\n")
    after = own_stack.status("alpha")
    assert after["pid"] != status["pid"]
    assert after["host_pid"] == status["host_pid"]
    assert "session-host --state" in command_of(after["host_pid"])
    ann.terminal.type(b"exit 7\r")
    assert job.wait() == 7


def test_no_output_is_lost_or_doubled_while_the_host_becomes_another_program(ann: User, own_stack: Stack) -> None:
    attached(ann)
    stop = ann.home / "stop"
    loop = f"i=0; until [ -e {stop} ]; do i=$((i+1)); echo line $i.; sleep 0.002; done; echo the e''nd $i.\r"
    ann.terminal.type(loop.encode())
    ann.terminal.expect_exact(b"line 20.\r\n")
    own_stack.restart_agent("alpha")
    stop.touch()
    end = re.search(rb"the end (\d+)\.", ann.terminal.expect(rb"the end \d+\.\r\n", 2 * GIVE_UP_SECONDS))
    assert end is not None
    session = own_stack.status("alpha")["sessions"][0]["session_id"]
    asking = {"CMDOP_SERVER": own_stack.url, "CMDOP_API_KEY": own_stack.operator_key}
    kept = own_stack.run("session", "read", session, "--since", "0", "--host", "alpha", **asking)
    assert [int(number) for number in re.findall(r"^line (\d+)\.$", kept, re.M)] == list(range(1, int(end[1]) + 1))


def test_a_killed_agent_is_offline_and_the_next_one_has_its_shells(ann: User, own_stack: Stack) -> None:
    _, before = attached(ann)
    ann.terminal.type(b"\x04")
    ann.terminal.rest()
    own_stack.kill_agent("alpha")
    said = agent(own_stack, "status")
    assert (said.returncode, said.stderr.splitlines()[0]) == (
        4,
        "cmdop: no agent is running here; the last one left 1 session",
    )
    job = ann.cmdop("connect", "alpha")
    assert job.wait(START_SECONDS) == 4
    text = ann.terminal.rest()
    assert b'machine "alpha" is offline' in text
    assert b"vanished" in text
    own_stack.start_agent("alpha")
    ann.cmdop("connect", "alpha")
    ann.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)
    assert pid_of_shell(ann) == before


def test_an_attach_goes_on_when_a_killed_agent_is_started_again(ann: User, own_stack: Stack) -> None:
    _, before = attached(ann)
    own_stack.kill_agent("alpha")
    ann.terminal.type(b"echo ty''ped-meanwhile\r")
    own_stack.start_agent("alpha")
    ann.terminal.expect_exact(b"typed-meanwhile\r\n", GIVE_UP_SECONDS)
    ann.terminal.expect_exact(READY)
    assert pid_of_shell(ann) == before


@pytest.mark.parametrize("orphaned", [False, True], ids=["agent", "what a killed agent left"])
def test_a_stop_leaves_no_process(ann: User, own_stack: Stack, orphaned: bool) -> None:
    _, pid = attached(ann)
    status = own_stack.status("alpha")
    if orphaned:
        own_stack.kill_agent("alpha")
    assert agent(own_stack, "stop").returncode == 0
    own_stack.agents["alpha"].process.wait(START_SECONDS)
    for gone in (status["pid"], status["host_pid"], pid):
        assert "cmdop" not in command_of(gone)
        assert "sh" not in command_of(gone)
    assert agent(own_stack, "status").stderr.startswith("cmdop: no agent is running here\n")
    assert agent(own_stack, "stop").returncode == 4


def test_who_is_attached_hears_that_a_stop_ended_the_session(ann: User, own_stack: Stack) -> None:
    """Also behind a flood, and though the program does not want to go."""
    job, _ = attached(ann)
    ann.terminal.type(b"trap '' HUP; yes\r")
    ann.terminal.expect_exact(b"y\r\ny\r\n")
    with ThreadPoolExecutor(1) as stopping:
        stopped = stopping.submit(agent, own_stack, "stop")
        ann.terminal.collect(b"[connect] session ended (exit 137)\r\n", START_SECONDS)
        assert job.wait() == 128 + signal.SIGKILL
        assert stopped.result().returncode == 0


def test_who_is_attached_hears_that_a_crash_of_the_host_lost_the_session(ann: User, own_stack: Stack) -> None:
    job, _ = attached(ann)
    status = own_stack.status("alpha")
    os.kill(status["host_pid"], signal.SIGKILL)
    assert job.wait(GIVE_UP_SECONDS) == 6
    assert f"cmdop: session {status['sessions'][0]['session_id'][:8]} is gone" in ann.terminal.rest().decode()


def test_a_shell_that_ends_without_an_agent_takes_the_host_along(ann: User, own_stack: Stack) -> None:
    _, pid = attached(ann)
    host = own_stack.status("alpha")["host_pid"]
    own_stack.kill_agent("alpha")
    watch = os.pidfd_open(host) if hasattr(os, "pidfd_open") else -1
    os.kill(pid, signal.SIGKILL)
    if watch < 0:
        pytest.skip("nothing tells of another's end here")
    import select

    try:
        assert select.select([watch], [], [], START_SECONDS)[0]
    finally:
        os.close(watch)


def test_of_two_starts_at_once_one_wins(ann: User, own_stack: Stack) -> None:
    _, before = attached(ann)
    own_stack.kill_agent("alpha")
    with ThreadPoolExecutor(2) as both:
        starts = list(both.map(lambda _: agent(own_stack, "start"), range(2)))
    own_stack.daemons.add("alpha")
    assert sorted(start.returncode for start in starts) == [0, 1]
    assert "an agent is already running here" in "".join(start.stderr for start in starts)
    assert pid_of_shell(ann) == before
