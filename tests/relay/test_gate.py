"""Who is let in, and what the others are told."""

from __future__ import annotations

import pytest

from cmdop.auth.keys import ApiKey, Role, bearer, half_hash
from cmdop.limits import FREE_FAILURES_MAX
from cmdop.relay import admin
from cmdop.relay.gate import NOT_ENROLLED, NOT_KNOWN, REVOKED, Gate, Refusal
from cmdop.relay.peer import Caller
from cmdop.store.interface import MachineRow, Store
from tests.relay.talker import MACHINE_ID

FROM = "192.0.2.1:4711"
TOKEN = b"t" * 32


@pytest.fixture
def key(store: Store) -> ApiKey:
    return admin.create_workspace(store, "home", "anna", 1.0)


@pytest.fixture
def gate(store: Store, key: ApiKey) -> Gate:
    store.enroll_machine(
        MachineRow(MACHINE_ID, "home", "h", "prod", b"s" * 32, "1", half_hash(TOKEN), key.key_id, 1.0, False, 1.0)
    )
    return Gate(store, lambda: 0.0)


def test_a_key_stands_for_its_operator(gate: Gate, key: ApiKey) -> None:
    caller = Caller("home", "anna", Role.ADMIN, key_id=key.key_id)
    assert gate.admit(f"Bearer {key.bearer}", FROM) == caller
    assert gate.admit(f"bearer  {key.bearer} ", FROM) == caller
    assert gate.gone(caller) is None


def test_a_token_stands_for_its_machine(gate: Gate) -> None:
    caller = Caller("home", "prod", Role.AGENT, machine_id=MACHINE_ID)
    assert gate.admit("Bearer " + bearer("machine", MACHINE_ID, TOKEN), FROM) == caller
    assert gate.gone(caller) is None


def test_an_unknown_key_and_a_wrong_half_are_told_the_same(gate: Gate, key: ApiKey) -> None:
    wrong = [
        bearer("key", "0" * 12, key.relay_half),
        bearer("key", key.key_id, b"x" * 20),
        bearer("key", key.key_id, b""),
    ]
    for credential in [*wrong, "key.x", "garbage", "key.%.zz"]:
        assert gate.admit(f"Bearer {credential}", credential + ":1") == Refusal("key-refused", NOT_KNOWN)


def test_an_unknown_machine_and_a_wrong_token_are_told_the_same(gate: Gate, key: ApiKey) -> None:
    for credential in (bearer("machine", "nobody", TOKEN), bearer("machine", MACHINE_ID, key.relay_half)):
        assert gate.admit(f"Bearer {credential}", FROM) == Refusal("not-enrolled", NOT_ENROLLED)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer key.\udcff.00"])
def test_no_credential_at_all_is_said_so(gate: Gate, header: str) -> None:
    assert isinstance(gate.admit(header, FROM), Refusal)


def test_that_a_key_was_revoked_learns_only_who_holds_it(gate: Gate, key: ApiKey, store: Store) -> None:
    caller = gate.admit(f"Bearer {key.bearer}", FROM)
    assert isinstance(caller, Caller)
    store.revoke_key(key.key_id, 2.0)
    assert gate.admit(f"Bearer {key.bearer}", FROM) == Refusal("key-refused", REVOKED)
    assert gate.admit("Bearer " + bearer("key", key.key_id, b"x" * 20), FROM) == Refusal("key-refused", NOT_KNOWN)
    assert gate.gone(caller) == Refusal("key-refused", REVOKED)


def test_who_is_wrong_too_often_has_to_wait_and_who_is_right_never(gate: Gate, key: ApiKey) -> None:
    for _ in range(FREE_FAILURES_MAX):
        assert gate.admit("Bearer x", FROM) == Refusal("key-refused", NOT_KNOWN)
    assert gate.admit("Bearer x", FROM) == Refusal("key-refused", NOT_KNOWN, wait_seconds=1)
    assert gate.admit("Bearer x", "192.0.2.1:9999") == Refusal("key-refused", NOT_KNOWN, wait_seconds=2)
    assert gate.admit("Bearer x", "192.0.2.2:1") == Refusal("key-refused", NOT_KNOWN)
    assert isinstance(gate.admit(f"Bearer {key.bearer}", FROM), Caller)
