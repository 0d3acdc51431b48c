"""Keys from afar: an admin's client makes, lists and revokes them; nobody else's does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cmdop.auth.keys import ApiKey, Role, bearer, half_hash, half_matches, new_key_id, new_relay_half
from cmdop.limits import KEY_CONNECTIONS_MAX, KEYS_PER_WORKSPACE_MAX, QUESTIONS_PER_SECOND_MAX
from cmdop.relay import admin, board
from cmdop.relay.gate import REVOKED
from cmdop.relay.key_desk import page_of
from cmdop.relay.pace import Pace
from cmdop.relay.peer import Caller
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    AddKey,
    Denied,
    KeyAbout,
    KeyChanged,
    Keys,
    ListKeys,
    ListMachines,
    Machines,
    RevokeKey,
)
from tests.relay.rig import Rig
from tests.relay.talker import MACHINE_ID, Talker

QUESTIONS: list[Callable[[], Message]] = [
    lambda: AddKey(new_key_id(), "anna", "operator", half_hash(b"half")),
    ListKeys,
    lambda: RevokeKey("0102"),
]


def denied(talker: Talker, question: Message, code: str) -> str:
    """Ask, and be refused with this code; the reason. The connection goes on."""
    talker.say(question)
    answer = talker.hear(Denied)
    assert answer.code == code, answer
    talker.all_answered()
    return answer.reason


def added(talker: Talker, rig: Rig, label: str, role: Role) -> ApiKey:
    """A key made on the admin's client, and told to the relay."""
    key = rig.admin.for_role(role, new_key_id(), new_relay_half())
    talker.say(AddKey(key.key_id, label, role.value, half_hash(key.relay_half)))
    changed = talker.hear(KeyChanged)
    assert (changed.key.key_id, changed.key.label, changed.key.role) == (key.key_id, label, role.value)
    return key


def listed(talker: Talker) -> dict[str, KeyAbout]:
    talker.say(ListKeys())
    answer = talker.hear(Keys)
    assert not answer.more
    return {about.label: about for about in answer.keys}


def revocations(rig: Rig) -> list[tuple[str, float | None]]:
    records = rig.store.keys("home")
    return [(record.key_id, record.revoked_at) for record in records]


@pytest.mark.parametrize("role", list(Role))
def test_a_key_that_an_admins_client_made_is_let_in(rig: Rig, role: Role) -> None:
    key = added(rig.client(rig.admin), rig, "anna", role)
    caller = rig.switch.gate.admit(f"Bearer {key.bearer}", "192.0.2.1:1")
    assert caller == Caller("home", "anna", role, key_id=key.key_id)
    record = rig.store.key(key.key_id)
    assert record is not None
    assert half_matches(key.relay_half, record.half_hash)
    assert record.created == rig.unix_now()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
@pytest.mark.parametrize("question", QUESTIONS, ids=["add", "list", "revoke"])
def test_only_an_admin_may_ask_and_the_others_are_told_so(
    rig: Rig, role: Role, question: Callable[[], Message]
) -> None:
    member = rig.client(rig.key(role))
    before = revocations(rig)
    reason = denied(member, question(), "role-too-low")
    assert f"keys needs the role admin, and this key has the role {role.value}" in reason
    assert revocations(rig) == before


@pytest.mark.parametrize("question", QUESTIONS, ids=["add", "list", "revoke"])
def test_an_agent_that_asks_breaks_the_protocol(rig: Rig, question: Callable[[], Message]) -> None:
    agent = rig.agent()
    agent.say(question())
    agent.hear_closed("remote-protocol")
    agent.hear_end()


def test_the_list_has_the_keys_of_the_own_workspace_and_what_became_of_them(rig: Rig) -> None:
    admin.create_workspace(rig.store, "away", "olga", 1.0)
    talker = rig.client(rig.admin)
    rig.unix_now.now += 5
    key = added(talker, rig, "anna", Role.OBSERVER)
    rig.unix_now.now += 5
    talker.say(RevokeKey(key.key_id))
    assert talker.hear(KeyChanged).admins_left
    keys = listed(talker)
    assert list(keys) == ["root", "anna"]
    created = rig.unix_now() - 5
    assert keys["anna"] == KeyAbout(key.key_id, "anna", "observer", created, revoked=created + 5)


def test_a_revoked_keys_connections_are_closed_at_once(rig: Rig) -> None:
    talker = rig.client(rig.admin)
    key = added(talker, rig, "anna", Role.OPERATOR)
    other = rig.client()
    theirs = [rig.client(key), rig.client(key)]
    talker.say(RevokeKey(key.masked))
    changed = talker.hear(KeyChanged)
    assert (changed.key.key_id, changed.closed_connections) == (key.key_id, 2)
    for client in theirs:
        assert client.hear_closed("key-refused") == REVOKED
        client.hear_end()
    for staying in (talker, other):
        staying.all_answered()


def test_an_admin_that_revokes_its_own_key_is_answered_and_then_closed(rig: Rig) -> None:
    first = rig.client(rig.admin)
    second = added(first, rig, "anna", Role.ADMIN)
    talker = rig.client(second)
    talker.say(RevokeKey(second.key_id))
    assert talker.hear(KeyChanged).closed_connections == 1
    assert talker.hear_closed("key-refused") == REVOKED
    talker.hear_end()
    first.all_answered()


def test_the_last_admin_key_is_only_revoked_by_who_says_so(rig: Rig) -> None:
    talker = rig.client(rig.admin)
    reason = denied(talker, RevokeKey(rig.admin.key_id), "last-admin-key")
    assert "is the last admin key of the workspace home" in reason
    talker.say(RevokeKey(rig.admin.key_id, last_admin=True))
    assert not talker.hear(KeyChanged).admins_left
    talker.hear_closed("key-refused")


def test_a_revoked_admin_that_is_not_closed_yet_may_do_nothing(rig: Rig) -> None:
    talker = rig.client(rig.admin)
    rig.store.revoke_key(rig.admin.key_id, 1.0)
    before = len(rig.store.keys())
    talker.say(AddKey(new_key_id(), "mallory", "admin", half_hash(b"half")))
    assert talker.hear_closed("key-refused") == REVOKED
    assert len(rig.store.keys()) == before


def test_keys_of_other_workspaces_are_not_there(rig: Rig) -> None:
    away = admin.create_workspace(rig.store, "away", "olga", 1.0)
    talker = rig.client(rig.admin)
    denied(talker, RevokeKey(away.key_id), "no-such-key")
    denied(talker, RevokeKey(away.key_id[:6]), "no-such-key")
    kept = rig.store.key(away.key_id)
    assert kept is not None
    assert kept.revoked_at is None


def test_what_no_key_may_be_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    talker = rig.client(rig.admin)
    digest = half_hash(b"half")
    denied(talker, AddKey(new_key_id(), "two\nlines", "operator", digest), "usage")
    denied(talker, AddKey(new_key_id(), "", "operator", digest), "usage")
    denied(talker, AddKey(new_key_id(), "anna", "emperor", digest), "usage")
    denied(talker, AddKey(rig.admin.key_id, "anna", "operator", digest), "record-exists")
    denied(talker, RevokeKey(""), "no-such-key")
    assert len(rig.store.keys()) == 1
    assert KEYS_PER_WORKSPACE_MAX > 1000
    monkeypatch.setattr(admin, "KEYS_PER_WORKSPACE_MAX", 1)
    denied(talker, AddKey(new_key_id(), "anna", "operator", digest), "too-many-keys")


def test_a_long_list_comes_in_pages() -> None:
    keys = [KeyAbout(f"{number:012x}", f"key {number}", "operator", 1.0) for number in range(100)]
    one = len(RELAY_MESSAGES.encode(Keys((keys[0],))))
    pages, got = 0, list[KeyAbout]()
    more = True
    while more:
        page = page_of(keys, len(got), room_bytes=one * 30)
        got += page.keys
        more, pages = page.more, pages + 1
        assert 1 <= len(page.keys) <= 31
    assert got == keys
    assert pages == 4
    assert page_of(keys, 0, room_bytes=1) == Keys((keys[0],), more=True)
    assert page_of(keys, 1000) == page_of([], 0) == Keys(())


# -- how much of it ---------------------------------------------------------------------------


def test_a_key_has_so_many_connections_and_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEY_CONNECTIONS_MAX >= 64
    monkeypatch.setattr(board, "KEY_CONNECTIONS_MAX", 2)
    key = rig.key(Role.OPERATOR)
    first, _second = rig.client(key), rig.client(key)
    third = rig.connect(key.bearer)
    assert third.hear_closed("too-many-connections") == "the relay has 2 connections of this key already"
    third.hear_end()
    rig.client()  # another key
    first.leave()
    rig.client(key)


def test_a_machine_s_token_has_so_many_connections_as_well(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing after the door has ten seconds and a thread: whoever has the token has many."""
    monkeypatch.setattr(board, "KEY_CONNECTIONS_MAX", 2)
    agent = rig.agent()
    token = bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token))
    first, _second = rig.connect(token), rig.connect(token)
    for silent in (first, _second):
        silent.hear_welcome()
    third = rig.connect(token)
    third.hear_closed("too-many-connections")
    third.hear_end()
    agent.all_answered()
    first.leave()
    again = rig.connect(token)
    again.hello_agent()
    again.hear_welcome()
    again.all_answered()


def test_the_machines_that_a_key_enrolled_do_not_count_as_its_connections(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "KEY_CONNECTIONS_MAX", 1)
    key = rig.key(Role.AGENT)
    agents = [rig.agent(f"8f23a4b0-0000-4000-8000-00000000000{number}", key) for number in range(3)]
    for agent in agents:
        agent.all_answered()


def test_who_asks_without_end_is_closed(rig: Rig) -> None:
    talker = rig.client(rig.admin)
    for _ in range(QUESTIONS_PER_SECOND_MAX - 1):
        talker.say(ListMachines())
        talker.hear(Machines)
    talker.say(ListKeys())
    talker.hear(Keys)
    rig.now.now += 1
    talker.say(ListMachines())
    talker.hear(Machines)
    for _ in range(QUESTIONS_PER_SECOND_MAX):
        talker.say(ListMachines())
    for _ in range(QUESTIONS_PER_SECOND_MAX - 1):
        talker.hear(Machines)
    assert "more than 20 questions in a second" in talker.hear_closed("remote-protocol")


def test_a_pace_is_kept_by_who_waits() -> None:
    pace = Pace(2)
    assert [pace.keeps(now) for now in (0.0, 0.1, 0.2, 1.0, 1.9, 1.95, 2.0)] == [
        True,
        True,
        False,
        True,
        True,
        False,
        True,
    ]
