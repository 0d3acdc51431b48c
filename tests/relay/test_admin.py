"""Workspaces, keys and machines, as an admin handles them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cmdop.auth.keys import ApiKey, Role, half_matches, mask, parse_key
from cmdop.errors import KeyRefused, NoSuchRecord, RecordExists, RoleTooLow, UsageError
from cmdop.relay import admin
from cmdop.store.interface import MachineRow, Store
from tests.relay.talker import MACHINE_ID, OTHER_ID


@pytest.fixture
def key(store: Store) -> ApiKey:
    return admin.create_workspace(store, "home", "anna", 1.0)


def test_the_relay_keeps_no_secret_of_a_key(store: Store, key: ApiKey) -> None:
    record = store.key(key.key_id)
    assert record is not None
    assert (record.workspace, record.label, record.role) == ("home", "anna", "admin")
    assert half_matches(key.relay_half, record.half_hash)
    assert key.relay_half not in repr(record).encode()
    assert key.secret.hex() not in repr(record)


def test_a_workspace_needs_a_name_that_is_free_and_can_be_one(store: Store, key: ApiKey) -> None:
    with pytest.raises(RecordExists):
        admin.create_workspace(store, "home", "anna", 1.0)
    for name, label in (("", "anna"), ("a\nb", "anna"), ("attic", " ")):
        with pytest.raises(UsageError):
            admin.create_workspace(store, name, label, 1.0)
    assert len(store.workspaces()) == 1


@pytest.mark.parametrize("role", list(Role))
def test_a_key_of_every_role_opens_what_its_role_may(store: Store, key: ApiKey, role: Role) -> None:
    made = admin.create_key(store, key, "home", "bert", role, 2.0)
    assert parse_key(made.text) == made
    assert made.role is role
    record = store.key(made.key_id)
    assert record is not None
    assert (record.label, record.role, record.created) == ("bert", role.value, 2.0)
    assert made.machine_psk(Role.OBSERVER, MACHINE_ID) == key.machine_psk(Role.OBSERVER, MACHINE_ID)


def test_only_a_valid_admin_key_of_the_workspace_makes_keys(store: Store, key: ApiKey) -> None:
    other = admin.create_workspace(store, "attic", "anna", 1.0)
    operator = admin.create_key(store, key, "home", "bert", Role.OPERATOR, 1.0)
    pretender = replace(operator, role=Role.ADMIN)
    forged = replace(key, relay_half=b"x" * 20)
    before = store.keys()
    for refused, error in ((other, KeyRefused), (operator, RoleTooLow), (pretender, KeyRefused), (forged, KeyRefused)):
        with pytest.raises(error):
            admin.create_key(store, refused, "home", "bert", Role.OPERATOR, 1.0)
    with pytest.raises(NoSuchRecord):
        admin.create_key(store, key, "nowhere", "bert", Role.OPERATOR, 1.0)
    with pytest.raises(UsageError):
        admin.create_key(store, key, "home", "", Role.OPERATOR, 1.0)
    store.revoke_key(key.key_id, 1.0)
    with pytest.raises(KeyRefused, match="it was revoked"):
        admin.create_key(store, key, "home", "bert", Role.OPERATOR, 1.0)
    assert len(store.keys()) == len(before)


def test_a_key_is_found_by_whatever_the_user_has_of_it(store: Store, key: ApiKey) -> None:
    for text in (key.key_id, key.masked, key.text, key.key_id[:4], mask(key.key_id[:5]), f" {key.key_id.upper()} "):
        assert admin.find_key(store, text).key_id == key.key_id


def test_a_key_that_is_not_there_or_not_the_only_one_is_not_found(store: Store, key: ApiKey) -> None:
    record = store.key(key.key_id)
    assert record is not None
    store.add_key(replace(record, key_id=key.key_id[:6] + "......"))
    with pytest.raises(UsageError, match="begins 2 keys"):
        admin.find_key(store, key.key_id[:6])
    for text in ("", "ck_", "zzzz", key.key_id[:3]):
        with pytest.raises(NoSuchRecord):
            admin.find_key(store, text)


def test_revoking_says_whether_an_admin_is_left(store: Store, key: ApiKey) -> None:
    second = admin.create_key(store, key, "home", "bert", Role.ADMIN, 1.0)
    record, left = admin.revoke_key(store, key.key_id, 5.0)
    assert (record.revoked_at, left) == (5.0, True)
    record, left = admin.revoke_key(store, key.key_id, 6.0)
    assert (record.revoked_at, left) == (5.0, True)
    assert admin.revoke_key(store, second.key_id, 7.0)[1] is False


def test_a_machine_is_found_by_its_beginning_and_removed(store: Store, key: ApiKey) -> None:
    row = MachineRow(MACHINE_ID, "home", "h", "prod", b"s" * 32, "1", b"t" * 32, key.key_id, 1.0, False, 1.0)
    store.enroll_machine(row)
    assert admin.find_machine(store, MACHINE_ID[:8].upper()) == row
    store.enroll_machine(replace(row, machine_id=OTHER_ID))
    with pytest.raises(UsageError, match="begins 2 machines"):
        admin.remove_machine(store, MACHINE_ID[:8])
    assert admin.remove_machine(store, MACHINE_ID) == row
    with pytest.raises(NoSuchRecord):
        admin.remove_machine(store, MACHINE_ID)
