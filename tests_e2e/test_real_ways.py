"""Finding a machine, and not getting to it, with the real relay and real agents."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from tests_e2e.conftest import User, as_operator, shell
from tests_e2e.stack import Stack
from tests_e2e.terminal import Job
from tests_e2e.timing import GIVE_UP_SECONDS, START_SECONDS


@pytest.fixture
def ann(user: User, stack: Stack) -> User:
    return as_operator(user, stack)


def said(user: User, status: int, host: str, *more: str) -> bytes:
    """What connecting says that ends with this status."""
    before = user.terminal.stty()
    job = user.cmdop("connect", host, *more)
    assert job.wait(START_SECONDS) == status
    text = user.terminal.rest()
    assert user.terminal.stty() == before
    assert b"Traceback" not in text
    return text


def test_a_window_that_was_resized_while_connecting_has_its_size_in_the_session(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    host = own_stack.status("alpha")["host_pid"]
    os.kill(host, signal.SIGSTOP)
    user.cmdop("connect", "--new", "alpha")
    user.terminal.expect_exact(b"dialing relay ...", START_SECONDS)
    user.terminal.resize(40, 120)
    os.kill(host, signal.SIGCONT)
    user.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)
    user.terminal.expect(rb"[$#] ")
    user.terminal.type(b"stty size\r")
    user.terminal.expect_exact(b"40 120\r\n")


# -- the resolver -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["alpha", "ALPHA", "alph", "lph"])
def test_a_machine_is_found_by_its_name(ann: User, stack: Stack, host: str) -> None:
    machine_id = stack.machines()["alpha"]["machine_id"]
    job = ann.cmdop("connect", "--new", host)
    ann.terminal.expect_exact(f"[connect] resolving {host} ... ok (id {machine_id[:4]}..., online ".encode())
    ann.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)
    ann.terminal.expect(rb"[$#] ")
    ann.terminal.type(b"exit\r")
    assert job.wait() == 0


@pytest.mark.parametrize("length", [8, 13, 36])
def test_a_machine_is_found_by_the_beginning_of_its_id(ann: User, stack: Stack, length: int) -> None:
    machine_id = stack.machines()["beta"]["machine_id"]
    ann.cmdop("connect", machine_id[:length])
    ann.terminal.expect_exact(f"ok (id {machine_id[:4]}...".encode())
    ann.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)


def test_two_agents_on_one_host_are_ambiguous_by_hostname(ann: User, stack: Stack) -> None:
    text = said(ann, 3, socket.gethostname())
    assert b'ambiguous machine "' in text
    for machine in stack.machines().values():
        assert machine["machine_id"][:8].encode() in text


def test_a_machine_is_found_by_its_hostname(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    user.cmdop("connect", socket.gethostname().upper() + ".local")
    user.terminal.expect_exact(b"... ok (id ", START_SECONDS)
    user.terminal.expect_exact(b"SIGINT\r\n", START_SECONDS)


def test_a_name_that_fits_nothing_is_said_with_the_nearest(ann: User) -> None:
    text = said(ann, 3, "alhpa")
    assert b'no machine matches "alhpa"' in text
    assert b"alpha" in text.split(b'"alhpa"')[1]


def test_one_letter_is_not_enough(ann: User) -> None:
    said(ann, 3, "a")


# -- not getting there ------------------------------------------------------------------------


def test_a_machine_that_stopped_cleanly_and_one_that_vanished_are_told_apart(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    own_stack.start_agent("gamma")
    relay = own_stack.relay
    assert relay is not None
    since = relay.lines
    own_stack.agents["alpha"].stop(signal.SIGTERM)
    relay.wait_line("agent .* disconnected", since)
    since = relay.lines
    own_stack.agents["gamma"].stop(signal.SIGKILL)
    relay.wait_line("agent .* disconnected", since)
    stopped, vanished = said(user, 4, "alpha"), said(user, 4, "gamma")
    assert b'machine "alpha" is offline' in stopped
    assert b"stopped cleanly" in stopped
    assert b'machine "gamma" is offline' in vanished
    assert b"vanished" in vanished
    assert b"stopped cleanly" not in vanished
    for text in (stopped, vanished):
        assert b"last heard" in text
        assert b"cmdop agent status" in text


def test_a_key_of_another_workspace_finds_no_machine(ann: User, stack: Stack) -> None:
    db = ["--db", str(stack.folder / "relay.db"), "--json"]
    ann.env["CMDOP_API_KEY"] = json.loads(stack.run("relay", "workspace", "create", "elsewhere", *db))["key"]
    assert b'no machine matches "alpha"' in said(ann, 3, "alpha")


def test_a_key_with_another_secret_cannot_prove_itself(ann: User, stack: Stack) -> None:
    """Its relay half is right, so the relay lets it pass; the machine does not."""
    from cmdop.auth.keys import ApiKey, parse_key

    key = parse_key(stack.operator_key)
    ann.env["CMDOP_API_KEY"] = ApiKey(key.role, key.key_id, key.relay_half, b"?" * 32).text
    text = said(ann, 5, "alpha")
    assert b"could not prove that it holds this workspace's keys" in text
    assert b"attached" not in text


def test_a_key_with_another_relay_half_is_refused(ann: User, stack: Stack) -> None:
    from cmdop.auth.keys import ApiKey, parse_key

    key = parse_key(stack.operator_key)
    ann.env["CMDOP_API_KEY"] = ApiKey(key.role, key.key_id, b"?" * 20, key.secret).text
    assert b"refused the API key ck_" in said(ann, 5, "alpha")


def test_a_revoked_key_ends_its_attach_at_once(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    before = user.terminal.stty()
    job = shell(user, "alpha")
    key_id = user.env["CMDOP_API_KEY"]
    from cmdop.auth.keys import parse_key

    own_stack.run("relay", "key", "revoke", parse_key(key_id).key_id, "--db", str(own_stack.folder / "relay.db"))
    assert job.wait() == 5
    assert b"revoked" in user.terminal.rest()
    assert user.terminal.stty() == before
    assert b"revoked" in said(user, 5, "alpha")


def test_a_relay_that_is_down_is_said(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    assert own_stack.relay is not None
    assert own_stack.relay.stop() == 0
    text = said(user, 4, "alpha")
    assert f"cannot reach the relay {own_stack.url}: connection refused".encode() in text
    assert b"cmdop relay serve" in text


def full_screen(user: User) -> Job:
    """A shell in which something has taken the whole screen."""
    job = shell(user, "alpha")
    user.terminal.type(b"printf '\\033[?1049h\\033[?25lfull''screen'; sleep 1000\r")
    user.terminal.expect_exact(b"fullscreen")
    return job


def leave(user: User, job: Job, before: str) -> bytes:
    """Ctrl-D leaves though nobody is there, and puts the terminal back; what was written last."""
    user.terminal.type(b"\x04")
    assert job.wait() == 0
    text = user.terminal.rest()
    assert user.terminal.stty() == before
    assert b"\x1b[?1049l" in text
    assert b"\x1b[?25h" in text
    return text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_relay_that_goes_during_an_attach_is_one_line_and_the_user_may_leave(
    user: User, own_stack: Stack, number: signal.Signals
) -> None:
    as_operator(user, own_stack)
    before = user.terminal.stty()
    job = full_screen(user)
    assert own_stack.relay is not None
    own_stack.relay.stop(number)
    user.terminal.expect_exact("[connect] link you↔relay is down — redialling; ".encode())
    user.terminal.expect_exact(b" s, Ctrl-D leaves\r\n")
    text = leave(user, job, before)
    assert b"[connect] link" not in text
    assert b"cmdop connect alpha" in text


def test_a_relay_that_comes_back_is_as_if_it_had_never_gone(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    shell(user, "alpha")
    assert own_stack.relay is not None
    own_stack.relay.stop(signal.SIGKILL)
    user.terminal.type(b"echo typed mean''while\r")
    own_stack.start_relay(own_stack.url.removeprefix("ws://"))
    user.terminal.expect_exact(b"typed meanwhile", GIVE_UP_SECONDS)


def test_an_agent_that_is_killed_during_an_attach_is_one_line_and_the_user_may_leave(
    user: User, own_stack: Stack
) -> None:
    as_operator(user, own_stack)
    before = user.terminal.stty()
    job = full_screen(user)
    own_stack.agents["alpha"].stop(signal.SIGKILL)
    user.terminal.expect_exact("[connect] link relay↔machine is down — redialling; ".encode())
    leave(user, job, before)


def test_agents_come_back_to_a_relay_that_was_restarted(user: User, own_stack: Stack) -> None:
    as_operator(user, own_stack)
    agent = own_stack.agents["alpha"]
    assert own_stack.relay is not None
    since = agent.lines
    own_stack.relay.stop(signal.SIGKILL)
    own_stack.start_relay(own_stack.url.removeprefix("ws://"))
    agent.wait_line("online as", since)
    shell(user, "alpha")
