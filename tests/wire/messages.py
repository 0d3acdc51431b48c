"""Hypothesis strategies for messages, built from the fields of their classes.

A new message or field is covered by being declared; a field type that is not known
here fails loudly.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from cmdop.wire.call_messages import CALL_MESSAGES
from cmdop.wire.exec_messages import EXEC_MESSAGES
from cmdop.wire.message import Message, MessageCodec
from cmdop.wire.relay_messages import RELAY_MESSAGES
from cmdop.wire.session_messages import SESSION_MESSAGES

CODECS: dict[str, MessageCodec[Message]] = {
    "relay": RELAY_MESSAGES,
    "session": SESSION_MESSAGES,
    "call": CALL_MESSAGES,
    "exec": EXEC_MESSAGES,
}
CLASSES = [(name, kind) for name, codec in CODECS.items() for kind in codec.kinds]


def messages(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any valid message of a class; a field with a default is sometimes left out."""
    hints = typing.get_type_hints(kind, include_extras=True)
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    return st.fixed_dictionaries(
        {name: values(hints[name]) for name in hints if name in required},
        optional={name: values(hints[name]) for name in hints if name not in required},
    ).map(lambda fields: kind(**fields))


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type that is within its limits."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        base, meta = typing.get_args(hint)
        if typing.get_origin(base) is tuple:
            return _tuples(base, meta)
        return _BASES[base](meta)
    if origin is tuple:
        return _tuples(hint, msgspec.Meta())
    if origin in (types.UnionType, typing.Union):
        return st.one_of([values(part) for part in typing.get_args(hint)])
    if hint is type(None):
        return st.none()
    if hint is bool:
        return st.booleans()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return messages(hint)
    raise AssertionError(f"no strategy for the field type {hint}")


def _texts(meta: msgspec.Meta) -> st.SearchStrategy[str]:
    if meta.pattern is not None:
        return st.from_regex(meta.pattern)
    assert meta.max_length is not None, "a text needs a limit"
    return st.text(max_size=min(meta.max_length, 50)) | st.sampled_from(["\U0001f600" * meta.max_length])


def _tuples(hint: Any, meta: msgspec.Meta) -> st.SearchStrategy[tuple[Any, ...]]:
    element, ellipsis = typing.get_args(hint)
    assert ellipsis is ...
    return st.lists(values(element), min_size=meta.min_length or 0, max_size=min(meta.max_length or 4, 4)).map(tuple)


def _bytes(meta: msgspec.Meta) -> st.SearchStrategy[bytes]:
    assert meta.max_length is not None, "bytes need a limit"
    return st.binary(min_size=meta.min_length or 0, max_size=meta.max_length)


def _integers(meta: msgspec.Meta) -> st.SearchStrategy[int]:
    assert meta.ge is not None, "a number needs limits"
    assert meta.le is not None, "a number needs limits"
    low, high = int(meta.ge), int(meta.le)
    return st.integers(low, high) | st.sampled_from([low, high])


def _floats(meta: msgspec.Meta) -> st.SearchStrategy[float]:
    assert meta.ge is not None, "a number needs limits"
    assert meta.le is not None, "a number needs limits"
    return st.floats(float(meta.ge), float(meta.le))


_BASES: dict[type, Callable[[msgspec.Meta], st.SearchStrategy[Any]]] = {
    str: _texts,
    bytes: _bytes,
    int: _integers,
    float: _floats,
}
