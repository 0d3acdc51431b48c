"""API keys and the tree of secrets: what a key says, what is refused, who can derive what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.auth.keys import (
    KEY_ID_BYTES,
    PREFIX,
    RELAY_HALF_BYTES,
    SECRET_BYTES,
    ApiKey,
    Role,
    bearer,
    half_hash,
    half_matches,
    machine_psk,
    mask,
    new_key_id,
    new_relay_half,
    new_workspace_key,
    parse_bearer,
    parse_key,
    secret_for,
)
from cmdop.errors import BadKey, RoleTooLow

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())
MACHINE = "8f23a4b0-1111-4222-8333-0123456789ab"
KEYS = st.builds(
    ApiKey,
    st.sampled_from(Role),
    st.binary(min_size=KEY_ID_BYTES, max_size=KEY_ID_BYTES).map(bytes.hex),
    st.binary(min_size=RELAY_HALF_BYTES, max_size=RELAY_HALF_BYTES),
    st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
)


def hkdf(secret: bytes, info: str) -> bytes:
    """RFC 5869 with SHA-256, no salt and 32 bytes, written down once more."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(extracted, info.encode() + b"\x01", hashlib.sha256)


# -- the text of a key --------------------------------------------------------------------


@given(KEYS, st.text(" \t\r\n", max_size=3))
def test_every_key_survives_its_text(key: ApiKey, space: str) -> None:
    assert parse_key(space + key.text + space) == key


@pytest.mark.parametrize("row", VECTORS["keys"], ids=lambda row: row["role"])
def test_a_key_keeps_its_text_for_ever(row: dict[str, str]) -> None:
    half, secret = bytes.fromhex(row["relay_half"]), bytes.fromhex(row["secret"])
    key = ApiKey(Role(row["role"]), row["key_id"], half, secret)
    assert key.text == row["text"]
    assert parse_key(row["text"]) == key


def test_every_role_has_a_key_among_the_vectors() -> None:
    assert {row["role"] for row in VECTORS["keys"]} == {role.value for role in Role}


@pytest.mark.parametrize("row", VECTORS["keys"], ids=lambda row: row["role"])
def test_every_single_wrong_character_is_refused(row: dict[str, str]) -> None:
    text = row["text"]
    accepted = []
    for place, right in enumerate(text):
        for wrong in set(string.printable + "é…\0") - {right}:
            try:
                parse_key(text[:place] + wrong + text[place + 1 :])
            except BadKey:
                continue
            accepted.append((place, right, wrong))
    assert not accepted


@given(KEYS, st.data())
def test_a_missing_a_doubled_and_a_swapped_character_is_refused(key: ApiKey, data: st.DataObject) -> None:
    text = key.text
    place = data.draw(st.integers(0, len(text) - 2))
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    for wrong in {text[:place] + text[place + 1 :], text[:place] + text[place] + text[place:], swapped} - {text}:
        with pytest.raises(BadKey):
            parse_key(wrong)


@given(st.text(max_size=120) | st.text(string.ascii_letters + string.digits + "-_=", max_size=120))
def test_anything_else_is_no_key(text: str) -> None:
    for candidate in (text, PREFIX + text):
        with pytest.raises(BadKey):
            parse_key(candidate)


def test_the_reason_says_what_is_wrong_with_it() -> None:
    text = VECTORS["keys"][0]["text"]
    for wrong, reason in [
        ("", "begin with ck_"),
        (text[3:], "begin with ck_"),
        (text[:-4], "too short"),
        (text + "AAAA", "too long"),
        (text[:40] + "?" + text[41:], "characters that no key has"),
        (text[:40] + ("A" if text[40] != "A" else "B") + text[41:], "checksum"),
    ]:
        with pytest.raises(BadKey, match=reason):
            parse_key(wrong)


def test_a_role_of_no_cmdop_is_refused_though_the_checksum_is_right() -> None:
    body = b"\x09" + bytes(KEY_ID_BYTES + RELAY_HALF_BYTES + SECRET_BYTES)
    with pytest.raises(BadKey):
        parse_key(PREFIX + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4, "big")).decode())


def test_nothing_shows_a_secret() -> None:
    key = new_workspace_key()
    secrets = [key.text[9:], key.secret.hex(), key.relay_half.hex(), repr(key.secret), repr(key.relay_half)]
    for shown in (repr(key), str(key), f"{key}", key.masked, repr([key]), repr({"key": key})):
        assert not [secret for secret in secrets if secret in shown]
        assert key.key_id in shown
    assert key.masked == mask(key.key_id) == f"ck_{key.key_id}…"


def test_no_error_repeats_the_key_it_refuses() -> None:
    text = VECTORS["keys"][0]["text"]
    for wrong in (text[3:], text[:-1], text[:-1] + "?", text[:-1] + "A", text + "A"):
        with pytest.raises(BadKey) as caught:
            parse_key(wrong)
        assert text[10:40] not in f"{caught.value} {caught.value.details} {caught.value.next_step}"


# -- what the relay is shown -----------------------------------------------------------------------


@given(KEYS)
def test_the_relay_is_shown_its_half_and_never_the_other(key: ApiKey) -> None:
    assert parse_bearer(key.bearer) == ("key", key.key_id, key.relay_half)
    assert key.bearer == bearer("key", key.key_id, key.relay_half)
    assert len(key.bearer) == len("key..") + 2 * (KEY_ID_BYTES + RELAY_HALF_BYTES)


@given(st.text(max_size=60))
def test_a_bearer_that_is_none_is_nothing(text: str) -> None:
    parsed = parse_bearer(text)
    assert parsed is None or parsed[0] in ("key", "machine")


@pytest.mark.parametrize("text", ["", "key", "key.a", "key.a.b", "key.a.00.00", "admin.a.00", "KEY.a.00", "key.a.0"])
def test_a_malformed_bearer_is_nothing(text: str) -> None:
    assert parse_bearer(text) is None


def test_the_relay_keeps_a_hash_that_only_its_half_matches() -> None:
    half = new_relay_half()
    assert half_hash(half) == hashlib.sha256(half).digest()
    assert half_matches(half, half_hash(half))
    assert not half_matches(new_relay_half(), half_hash(half))
    assert not half_matches(half[:-1], half_hash(half))
    assert not half_matches(b"", half_hash(half))


def test_everything_new_is_fresh() -> None:
    one, two = new_workspace_key(), new_workspace_key()
    assert one.role is two.role is Role.ADMIN
    assert not {one.key_id, one.relay_half, one.secret} & {two.key_id, two.relay_half, two.secret}
    assert new_key_id() != new_key_id()


# -- the tree -----------------------------------------------------------------------------------------


def key_of(role: Role) -> ApiKey:
    return ApiKey(role, "00" * KEY_ID_BYTES, bytes(RELAY_HALF_BYTES), secret_for(role, b"\x07" * SECRET_BYTES))


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
def test_every_key_that_may_derives_the_same_psk_for_a_machine(role: Role) -> None:
    holders = [holder for holder in Role if holder is not Role.OBSERVER or role is Role.OBSERVER]
    assert len({key_of(holder).machine_psk(role, MACHINE) for holder in holders}) == 1


def test_an_observer_cannot_derive_the_operators_psk() -> None:
    observer = key_of(Role.OBSERVER)
    for role in (Role.OPERATOR, Role.ADMIN, Role.AGENT):
        with pytest.raises(RoleTooLow):
            observer.machine_psk(role, MACHINE)


def test_an_observers_secret_passed_off_as_a_higher_one_leads_nowhere() -> None:
    secret = key_of(Role.OBSERVER).secret
    real = key_of(Role.OPERATOR).machine_psk(Role.OPERATOR, MACHINE)
    assert all(machine_psk(claimed, secret, Role.OPERATOR, MACHINE) != real for claimed in (Role.OPERATOR, Role.ADMIN))


def test_every_secret_and_psk_of_the_tree_differs() -> None:
    other = "00000000-0000-4000-8000-000000000001"
    psks = [
        key_of(Role.ADMIN).machine_psk(role, machine)
        for role in (Role.OPERATOR, Role.OBSERVER)
        for machine in (MACHINE, other)
    ]
    secrets = [key_of(role).secret for role in (Role.ADMIN, Role.OPERATOR, Role.OBSERVER)]
    assert len(set(psks + secrets)) == len(psks) + len(secrets)
    assert all(len(value) == 32 for value in psks + secrets)


def test_an_agents_key_carries_the_operators_secret() -> None:
    assert key_of(Role.AGENT).secret == key_of(Role.OPERATOR).secret


def test_only_an_admin_makes_keys_and_they_fit_into_the_tree() -> None:
    admin = key_of(Role.ADMIN)
    for role in Role:
        made = admin.for_role(role, "112233445566", b"\x01" * RELAY_HALF_BYTES)
        assert (made.role, made.key_id, made.secret) == (role, "112233445566", key_of(role).secret)
        if role is not Role.ADMIN:
            with pytest.raises(RoleTooLow):
                made.for_role(Role.OBSERVER, "112233445566", b"\x01" * RELAY_HALF_BYTES)


def test_a_key_attaches_no_higher_than_its_role() -> None:
    assert Role.ADMIN.attaches_as is Role.OPERATOR.attaches_as is Role.OPERATOR
    assert Role.OBSERVER.attaches_as is Role.OBSERVER
    with pytest.raises(RoleTooLow):
        _ = Role.AGENT.attaches_as


def test_the_tree_is_what_it_always_was() -> None:
    """Known answers: kept from the first day, and once more by RFC 5869 as written above."""
    workspace = bytes.fromhex(VECTORS["workspace_secret"])
    operator = hkdf(workspace, "cmdop/1 operator")
    observer = hkdf(operator, "cmdop/1 observer")
    machine = f"cmdop/1 machine {VECTORS['machine_id']}"
    assert secret_for(Role.OPERATOR, workspace) == operator
    assert secret_for(Role.OBSERVER, workspace) == observer
    for role, secret, name in ((Role.OPERATOR, operator, "operator_psk"), (Role.OBSERVER, observer, "observer_psk")):
        psk = machine_psk(Role.ADMIN, workspace, role, VECTORS["machine_id"])
        assert psk.hex() == VECTORS[name]
        assert psk == hkdf(secret, machine)
