"""No secret is in what something looks like: reprs end up in logs and tracebacks."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import cmdop
from cmdop.auth.credentials import Credential
from cmdop.auth.keys import ApiKey, Role
from cmdop.wire.call_messages import CALL_MESSAGES
from cmdop.wire.exec_messages import EXEC_MESSAGES
from cmdop.wire.message import SECRET_FIELDS, Message
from cmdop.wire.relay_messages import RELAY_MESSAGES
from cmdop.wire.session_messages import SESSION_MESSAGES

SECRET_NAMES = SECRET_FIELDS | {
    "api_key",
    "device_key",
    "digest",
    "environment_key",
    "half",
    "operator_psk",
    "observer_psk",
    "psk",
    "relay_half",
    "salt",
    "secret",
    "token",
}
"""What a text or bytes that are a secret are called."""
NO_SECRETS = {("ApiKey", "relay_half"), ("ApiKey", "secret")}
"""It has a repr of its own, which is looked at below."""


def values() -> Iterator[type[Any]]:
    """Every dataclass and every named tuple of ours that can be imported here."""
    for module in pkgutil.walk_packages(cmdop.__path__, "cmdop."):
        if module.name.endswith("__main__"):
            continue
        try:
            found = importlib.import_module(module.name)
        except ImportError:
            continue  # of another platform
        for _, kind in inspect.getmembers(found, inspect.isclass):
            if kind.__module__ == module.name and (is_dataclass(kind) or hasattr(kind, "_fields")):
                yield kind


def shown_fields(kind: type[Any]) -> set[str]:
    """Which texts and bytes its repr shows."""
    shown = {field.name for field in fields(kind) if field.repr} if is_dataclass(kind) else set(kind._fields)
    plain = {name for name, said in inspect.get_annotations(kind).items() if re.search(r"\b(str|bytes)\b", str(said))}
    return shown & plain


def test_no_value_shows_a_field_that_is_a_secret() -> None:
    kinds = list(values())
    assert len(kinds) > 60
    shown = {(kind.__name__, name) for kind in kinds for name in shown_fields(kind) & SECRET_NAMES}
    assert shown - NO_SECRETS == set()


def test_a_key_shows_which_one_it_is_and_not_what_it_opens() -> None:
    key = ApiKey(Role.OPERATOR, "6b" * 6, b"relay-half-relay-half", b"private-half-private-half-privat")
    for text in (repr(key), str(key), repr(Credential(key, "ws://relay", "production")), key.masked):
        assert "6b" * 6 in text
        for secret in (key.text, key.bearer, "half", key.relay_half.hex(), key.secret.hex()):
            assert secret not in text


@pytest.mark.parametrize("codec", [RELAY_MESSAGES, SESSION_MESSAGES, CALL_MESSAGES, EXEC_MESSAGES])
def test_no_message_shows_a_secret(codec: Any) -> None:
    for kind in codec.kinds:
        assert issubclass(kind, Message)
        for name in SECRET_FIELDS & set(kind.__struct_fields__):
            told = {field: "the-secret" if field == name else 0 for field in kind.__struct_fields__}
            message = kind(**told)
            assert "the-secret" not in repr(message)
            assert f"{name}=..." in repr(message)
