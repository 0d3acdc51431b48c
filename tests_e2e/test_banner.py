"""The banner: its exact text, each line as its step happens, and how each step fails."""

from __future__ import annotations

import pytest

from cmdop.auth.keys import Role
from cmdop.wire.relay_messages import Closed
from cmdop.wire.session_messages import Refused
from tests_e2e.conftest import User
from tests_e2e.mock_machine import MACHINE, MACHINE_ID, machine, replace_record
from tests_e2e.mock_relay import MockRelay
from tests_e2e.timing import GIVE_UP_SECONDS

BANNER = (
    b"[connect] resolving prod-api-1 ... ok (id 8f23..., online 3s)\r\n"
    b"[connect] dialing relay ... ok\r\n"
    b"[connect] auth ... ok (session abcd1234)\r\n"
    b"[connect] attached \xe2\x80\x94 Ctrl-D to disconnect, Ctrl-C forwards as SIGINT\r\n"
)


def test_the_banner_is_exactly_as_promised(ann: User, relay: MockRelay) -> None:
    ann.cmdop("connect", "prod-api-1")
    relay.wait_attached()
    assert ann.terminal.expect(b"SIGINT\r\n") == BANNER


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
def test_who_only_watches_is_told_so_and_no_key_is_sent(ann: User, relay: MockRelay, role: Role) -> None:
    relay.key = relay.admin_key.for_role(role, relay.key.key_id, relay.key.relay_half)
    ann.env["CMDOP_API_KEY"] = relay.key.text
    job = ann.cmdop("connect", "prod-api-1", *["--read-only"] * (role is Role.OPERATOR))
    assert relay.wait_attached().read_only is (role is Role.OPERATOR)
    assert relay.wait_opened().role == "observer"
    ann.terminal.expect_exact("[connect] attached — Ctrl-D to disconnect, read-only: no other key is sent\r\n".encode())
    ann.terminal.type(b"rm -rf /\r\x03\x04")
    assert job.wait() == 0
    assert relay.typed == b""


def test_what_the_shell_says_comes_right_behind_the_banner(ann: User, relay: MockRelay) -> None:
    ann.cmdop("connect", "prod-api-1")
    relay.wait_attached()
    relay.say(b"prod-api-1 $ ")
    ann.terminal.expect_exact(b"SIGINT\r\n")
    assert b"[connect]" not in ann.terminal.expect(rb"prod-api-1 \$ ")


def test_the_client_says_who_it_is_and_what_its_terminal_is(ann: User, relay: MockRelay) -> None:
    ann.terminal.resize(33, 101)
    ann.cmdop("connect", "prod-api-1", COLORTERM="truecolor", TERM="xterm-kitty", LC_ALL="de_DE.UTF-8")
    registered = relay.wait_attached()
    assert relay.requests[0]["authorization"] == f"Bearer {relay.key.bearer}"
    assert relay.requests[0]["cmdop-want"] == "machines"
    assert relay.hello is not None
    assert relay.hello.role == "client"
    opened = relay.wait_opened()
    assert (opened.machine_id, opened.role, opened.operator) == (MACHINE_ID, "operator", "")
    assert (registered.rows, registered.cols) == (33, 101)
    assert (registered.term, registered.colorterm, registered.locale) == ("xterm-kitty", "truecolor", "de_DE.UTF-8")


@pytest.mark.parametrize("host", ["api", "PROD-API-1", "prod-api-1.local", "8f23a4b0", "8f23", MACHINE_ID, "pi-1"])
def test_a_machine_is_found_by_all_of_its_names(ann: User, relay: MockRelay, host: str) -> None:
    ann.cmdop("connect", host)
    ann.terminal.expect_exact(f"[connect] resolving {host} ... ok (id 8f23..., online 3s)".encode())


# -- each line appears as its step happens --------------------------------------------------


@pytest.mark.parametrize(
    ("stall_at", "shown"),
    [
        ("upgrade", b"[connect] resolving prod-api-1 ... "),
        ("welcome", b"[connect] resolving prod-api-1 ... "),
        ("handshake", BANNER.splitlines(keepends=True)[0] + b"[connect] dialing relay ... "),
        ("ready", b"".join(BANNER.splitlines(keepends=True)[:2]) + b"[connect] auth ... "),
    ],
)
def test_a_line_is_begun_before_its_step_and_a_silent_peer_is_given_up(
    ann: User, relay: MockRelay, stall_at: str, shown: bytes
) -> None:
    relay.script.stall_at = stall_at
    job = ann.cmdop("connect", "prod-api-1")
    ann.terminal.expect_exact(shown)
    assert ann.terminal.seen == shown
    assert job.wait(GIVE_UP_SECONDS) == 4
    rest = ann.terminal.rest().split(b"\r\n")
    assert rest[0] == b"failed"
    assert rest[1].startswith(b"cmdop: ")
    assert b"within 10 s" in rest[1]
    assert rest[2], "what to do next"
    assert rest[3:] == [b""]


# -- each way to fail --------------------------------------------------------------------------


def fails(
    ann: User, status: int, *lines: bytes, step: bytes = b"resolving prod-api-1", host: str = "prod-api-1"
) -> bytes:
    """Connecting fails in a step with a status; each of these is in what is said then."""
    before = ann.terminal.attributes()
    job = ann.cmdop("connect", host)
    assert job.wait() == status
    said = ann.terminal.rest()
    if step:
        assert b"[connect] " + step + b" ... failed\r\ncmdop: " in said
        assert said.count(b"failed") == 1
    for line in lines:
        assert line in said
    assert b"Traceback" not in said
    assert b"attached" not in said
    assert ann.terminal.attributes() == before
    return said


def test_no_key_is_said_before_anything_else(user: User, relay: MockRelay) -> None:
    user.env |= {"CMDOP_SERVER": relay.url}
    said = fails(user, 5, b'no API key for workspace "', step=b"")
    assert b"cmdop connect key set" in said
    assert b"cmdop login" in said


def test_a_key_that_is_none_is_said(ann: User) -> None:
    ann.env["CMDOP_API_KEY"] = "ck_nonsense"
    fails(ann, 5, b"that is not an API key", step=b"")


def test_no_relay_is_said(ann: User, relay: MockRelay) -> None:
    relay.close()
    fails(ann, 4, f"cannot reach the relay {relay.url}: connection refused\r\n".encode())


def test_a_refused_key_is_said_with_the_relays_reason_and_without_the_key(ann: User, relay: MockRelay) -> None:
    relay.script.refusal = (401, "key-refused: it was revoked\n")
    said = fails(
        ann, 5, f"the relay {relay.url} refused the API key ck_{relay.key.key_id}".encode(), b": it was revoked"
    )
    assert relay.key.text.encode() not in said
    assert relay.key.secret.hex().encode() not in said


def test_something_else_on_the_relays_port_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.refusal = (404, "not here")
    fails(ann, 4, b"HTTP 404")


def test_a_relay_that_hangs_up_at_the_upgrade_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.cut_at = "upgrade"
    fails(ann, 4, f"cannot reach the relay {relay.url}: ".encode())


def test_a_relay_that_hangs_up_before_its_welcome_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.cut_at = "welcome"
    fails(ann, 4)


@pytest.mark.parametrize("raw", [b"\x82\x03abc", b"\x81\x05hello", b"\x82\x7f" + b"\xff" * 8, b"\xff" * 40])
def test_garbage_instead_of_a_welcome_is_said(ann: User, relay: MockRelay, raw: bytes) -> None:
    relay.script.raw_at["welcome"] = raw
    fails(ann, 1, b"broke the protocol")


def test_a_relay_of_another_version_is_said_with_both_versions(ann: User, relay: MockRelay) -> None:
    relay.script.version = 7
    fails(ann, 4, b"speaks cmdop protocol 7, and this cmdop speaks 1", b"upgrade the older one")


def test_no_machine_of_that_name_is_said_with_the_nearest(ann: User) -> None:
    fails(ann, 3, b'no machine matches "prod-ap1-1"', b"prod-api-1", step=b"resolving prod-ap1-1", host="prod-ap1-1")


def test_several_machines_are_said_with_all_candidates(ann: User, relay: MockRelay) -> None:
    relay.script.machines = (machine(0x1111, "prod-a"), machine(0x2222, "prod-b", online=False), machine(0x3333, "dev"))
    said = fails(ann, 3, b'ambiguous machine "prod"', b"prod-a", b"prod-b", step=b"resolving prod", host="prod")
    assert b"dev" not in said


@pytest.mark.parametrize(("cleanly", "word"), [(True, b"stopped"), (False, b"vanished")])
def test_an_offline_machine_is_said_with_how_it_went(ann: User, relay: MockRelay, cleanly: bool, word: bytes) -> None:
    gone = replace_record(MACHINE, online=False, heartbeat_age_seconds=300.0, stopped_cleanly=cleanly)
    relay.script.machines = (gone,)
    fails(ann, 4, b'machine "', b'" is offline', word)


def test_a_machine_that_goes_offline_just_now_fails_the_dialling(ann: User, relay: MockRelay) -> None:
    relay.script.open_answer = Closed("machine-offline", "its connection broke off just now")
    fails(ann, 4, b"is offline", b"broke off just now", step=b"dialing relay")


def test_a_role_that_is_too_low_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.open_answer = Closed(
        "role-too-low", "attaching needs the role operator, and this key has the role observer"
    )
    fails(ann, 5, b"operator", step=b"dialing relay")


def test_a_machine_of_another_workspace_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.psk = b"?" * 32
    fails(ann, 5, b"could not prove that it holds this workspace's keys", step=b"auth")


def test_a_handshake_that_was_meddled_with_is_said(ann: User, relay: MockRelay) -> None:
    relay.script.spoil_handshake = True
    fails(ann, 5, b"could not prove that it holds this workspace's keys", step=b"dialing relay")


@pytest.mark.parametrize("point", ["handshake", "ready"])
def test_a_relay_that_hangs_up_later_is_said(ann: User, relay: MockRelay, point: str) -> None:
    relay.script.cut_at = point
    fails(ann, 4, step={"handshake": b"dialing relay", "ready": b"auth"}[point])


@pytest.mark.parametrize(
    ("refused", "status", "words"),
    [
        (Refused("session-refused", "64 sessions are open"), 6, b"64 sessions are open"),
        (Refused("shell-unusable", "there is no /bin/none"), 1, b"there is no /bin/none"),
        (Refused("session-gone", "it ended an hour ago"), 6, b"it ended an hour ago"),
        (Refused("from-the-future", "something new"), 4, b"something new"),
    ],
)
def test_a_machine_that_refuses_is_said_with_its_reason(
    ann: User, relay: MockRelay, refused: Refused, status: int, words: bytes
) -> None:
    relay.script.refused = refused
    fails(ann, status, words, step=b"auth")


def test_what_a_peer_says_cannot_play_with_the_terminal(ann: User, relay: MockRelay) -> None:
    relay.script.refused = Refused("session-refused", "\x1b]0;owned\x07\x1b[2J")
    said = fails(ann, 6, step=b"auth")
    assert b"\x1b" not in said
    assert b"\x07" not in said
