"""Control messages: every class, both ways, and nothing but RemoteProtocolError from a bad peer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cmdop.errors import LocalProtocolError, RemoteProtocolError, UsageError
from cmdop.limits import (
    CALL_DATA_MAX_BYTES,
    CLIENTS_PER_SESSION_MAX,
    COMMAND_WORDS_MAX,
    IDLE_MAX_SECONDS,
    MESSAGE_MAX_BYTES,
    NAME_MAX_CHARS,
    PADDED_BYTES,
    PASSWORD_MAX_BYTES,
    TEXT_MAX_CHARS,
    WINSIZE_MAX,
)
from cmdop.wire.call_messages import CALL_MESSAGES, SendInput, Sessions
from cmdop.wire.message import Message, MessageCodec, Unknown, padded
from cmdop.wire.relay_messages import RELAY_MESSAGES, ListMachines, Welcome
from cmdop.wire.session_messages import SESSION_MESSAGES, AuthResponse, AuthSuccess, Detach, Notice, Register, Resize
from tests.wire.messages import CLASSES, CODECS, messages

Sent = tuple[MessageCodec[Message], Message]
"""A message and the codec of its list."""

ID = "8f23a4b0-0000-4000-8000-0123456789ab"
SESSION = "0123456789abcdef"
FIELDS = sorted({field for _, kind in CLASSES for field in kind.__struct_fields__})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(FIELDS), inner),
    max_leaves=20,
)
"""Whatever msgpack can say."""
EVERY_MESSAGE = st.sampled_from(CLASSES).flatmap(lambda entry: st.tuples(st.just(CODECS[entry[0]]), messages(entry[1])))


def packed(**fields: Any) -> bytes:
    """A map as a peer might send it; `is_` stands for the field `is`."""
    return msgspec.msgpack.encode({name.rstrip("_"): value for name, value in fields.items()})


def refused(codec: MessageCodec[Message], data: bytes) -> bool:
    try:
        codec.decode(data)
    except RemoteProtocolError:
        return True
    return False


@pytest.mark.parametrize(("codec", "kind"), CLASSES, ids=[kind.__name__ for _, kind in CLASSES])
def test_every_message_survives_the_wire(codec: str, kind: type[Message]) -> None:
    @given(messages(kind))
    def survives(message: Message) -> None:
        assert CODECS[codec].decode(CODECS[codec].encode(message)) == message

    survives()


def test_every_message_class_is_on_exactly_one_list() -> None:
    listed = [kind for codec in CODECS.values() for kind in codec.kinds]
    assert len(listed) == len(set(listed))
    parts = {"Unknown", "MachineRecord", "SessionSummary", "AgentHello", "KeyAbout", "SessionRecord", "ClientRecord"}
    """Not messages by themselves: a stand-in, and the parts of others."""
    declared = {kind.__name__ for kind in Message.__subclasses__() if kind.__module__.startswith("cmdop.")}
    assert declared - parts == {kind.__name__ for kind in listed}


# -- what a newer peer may add ------------------------------------------------------------


@given(EVERY_MESSAGE, st.text(max_size=20).map(lambda name: f"x{name}"), st.binary() | st.text() | st.integers(0, 9))
def test_an_unknown_field_is_ignored(sent: Sent, name: str, value: object) -> None:
    codec, message = sent
    fields = msgspec.msgpack.decode(codec.encode(message))
    assert codec.decode(msgspec.msgpack.encode({**fields, name: value})) == message


@given(EVERY_MESSAGE)
def test_the_order_of_fields_does_not_matter(sent: Sent) -> None:
    codec, message = sent
    fields = msgspec.msgpack.decode(codec.encode(message))
    assert codec.decode(msgspec.msgpack.encode(dict(reversed(fields.items())))) == message


def test_an_unknown_message_is_decoded_as_unknown() -> None:
    data = packed(is_="Teleport", to="mars", nested={"a": [1, {"b": None}]})
    assert RELAY_MESSAGES.decode(data) == Unknown("Teleport")


def test_a_message_of_the_other_list_is_unknown() -> None:
    assert RELAY_MESSAGES.decode(SESSION_MESSAGES.encode(Detach())) == Unknown("Detach")


def test_an_unknown_message_with_an_endless_name_is_refused() -> None:
    assert refused(RELAY_MESSAGES, packed(is_="T" * (NAME_MAX_CHARS + 1)))


def test_a_known_message_with_a_bad_field_is_never_taken_for_an_unknown_one() -> None:
    assert refused(SESSION_MESSAGES, packed(is_="Resize", rows="24", cols=80))


@pytest.mark.parametrize("pad", [False, True])
def test_half_a_character_is_the_users_mistake_and_nothing_of_it_is_shown(pad: bool) -> None:
    message = AuthResponse("password", "correct \udcff horse")
    with pytest.raises(UsageError) as refused:
        SESSION_MESSAGES.encode(padded(message) if pad else message)
    assert "horse" not in refused.value.sentence
    assert "udcff" not in refused.value.sentence


def test_our_own_mistake_is_a_local_error() -> None:
    with pytest.raises(LocalProtocolError):
        RELAY_MESSAGES.encode(Detach())


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-0.5, 1.1e12, float("nan"), float("inf"), float("-inf"), "5", True, None])
def test_a_time_that_is_none_is_refused(seconds: object) -> None:
    assert refused(SESSION_MESSAGES, packed(is_="AuthSuccess", session_token="t", ttl_seconds=seconds))


def test_whole_seconds_are_a_time() -> None:
    assert SESSION_MESSAGES.decode(packed(is_="AuthSuccess", session_token="t", ttl_seconds=5)) == AuthSuccess("t", 5.0)


@pytest.mark.parametrize("rows", [0, -1, WINSIZE_MAX + 1, 2**63, 1.5, "24", True, None])
def test_a_size_that_no_terminal_has_is_refused(rows: object) -> None:
    assert refused(SESSION_MESSAGES, packed(is_="Resize", rows=rows, cols=80))


@pytest.mark.parametrize("offset", [-1, 2**53 + 1, 2**64 - 1, 0.5, "0"])
def test_an_offset_out_of_range_is_refused(offset: object) -> None:
    fields: dict[str, Any] = {"session_id": SESSION, "output_offset": offset, "input_offset": 0}
    assert refused(SESSION_MESSAGES, packed(is_="Ready", **fields))


def test_texts_are_counted_in_characters_and_limited() -> None:
    longest = "\U0001f600" * TEXT_MAX_CHARS
    assert SESSION_MESSAGES.decode(packed(is_="Notice", text=longest)) == Notice(longest)
    assert refused(SESSION_MESSAGES, packed(is_="Notice", text=longest + "x"))
    assert refused(RELAY_MESSAGES, packed(is_="Open", machine_id=ID, role="x" * (NAME_MAX_CHARS + 1)))


def test_a_command_has_so_many_words_and_no_more() -> None:
    fields: dict[str, Any] = {"version": 1, "software": "s", "client_id": SESSION, "rows": 24, "cols": 80}
    longest = ("x",) * COMMAND_WORDS_MAX
    register = SESSION_MESSAGES.decode(packed(is_="Register", command=longest, **fields))
    assert isinstance(register, Register)
    assert register.command == longest
    assert refused(SESSION_MESSAGES, packed(is_="Register", command=(*longest, "x"), **fields))


def test_a_call_brings_so_many_bytes_and_no_more() -> None:
    longest = bytes(CALL_DATA_MAX_BYTES)
    assert CALL_MESSAGES.decode(packed(is_="SendInput", session="a", data=longest)) == SendInput("a", longest)
    assert refused(CALL_MESSAGES, packed(is_="SendInput", session="a", data=longest + b"x"))
    assert refused(CALL_MESSAGES, packed(is_="SendInput", session="a", data="text"))


@pytest.mark.parametrize("seconds", [0, 0.5, -1.0, IDLE_MAX_SECONDS + 1, float("nan"), "60", None])
def test_a_session_that_lives_no_time_or_for_ever_is_refused(seconds: object) -> None:
    assert refused(CALL_MESSAGES, packed(is_="CreateSession", idle_seconds=seconds))


def test_a_session_has_so_many_clients_and_no_more() -> None:
    client = {
        "is": "ClientRecord",
        "client_id": SESSION,
        "operator": "o",
        "role": "r",
        "rows": 1,
        "cols": 1,
        "since": 1,
    }
    fields: dict[str, Any] = {"session_id": SESSION, "operator": "o", "created": 1, "rows": 1, "cols": 1}
    full = {"is": "SessionRecord", **fields, "clients": [client] * CLIENTS_PER_SESSION_MAX}
    sessions = CALL_MESSAGES.decode(packed(is_="Sessions", sessions=[full]))
    assert isinstance(sessions, Sessions)
    assert len(sessions.sessions[0].clients) == CLIENTS_PER_SESSION_MAX
    full["clients"] = [client] * (CLIENTS_PER_SESSION_MAX + 1)
    assert refused(CALL_MESSAGES, packed(is_="Sessions", sessions=[full]))


@pytest.mark.parametrize("length", [0, 31, 33, 65536])
def test_a_public_key_has_32_bytes(length: int) -> None:
    machine = {"machine_id": ID, "hostname": "h", "name": "n", "static_key": bytes(length)}
    assert refused(RELAY_MESSAGES, packed(is_="Hello", version=1, software="s", role="agent", machine=machine))


NOT_SESSION_IDS = ["", SESSION + "\n", "\n" + SESSION, SESSION[1:], SESSION + "0", SESSION.upper(), SESSION[1:] + "g"]
NOT_SESSION_IDS += [SESSION[1:] + "٣", SESSION[1:] + "\0", SESSION + "\n" + SESSION, SESSION[1:] + "\n"]


@pytest.mark.parametrize("session_id", NOT_SESSION_IDS)
def test_a_session_id_is_sixteen_hex_digits_and_nothing_else(session_id: str) -> None:
    assert refused(SESSION_MESSAGES, packed(is_="Ready", session_id=session_id, output_offset=0, input_offset=0))


NOT_MACHINE_IDS = ["", ID + "\n", "\n" + ID, ID.upper(), ID.replace("-", ""), ID[:-1], ID + "0", f"{{{ID}}}"]
NOT_MACHINE_IDS += [ID[:-1] + "٣", ID + "\n" + ID, f"x\n{ID}", "../" + ID[3:], ID.replace("-", "\n")]


@pytest.mark.parametrize("machine_id", NOT_MACHINE_IDS)
def test_a_machine_id_is_a_lower_case_uuid_and_nothing_else(machine_id: str) -> None:
    assert refused(RELAY_MESSAGES, packed(is_="Open", machine_id=machine_id, role="operator"))


# -- garbage -----------------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_unknown(data: bytes) -> None:
    for codec in CODECS.values():
        assert refused(codec, data) or isinstance(codec.decode(data), (Message, Unknown))


@given(VALUES)
def test_well_formed_nonsense_is_refused_or_unknown(value: object) -> None:
    for codec in CODECS.values():
        assert refused(codec, msgspec.msgpack.encode(value)) or isinstance(value, dict)


@given(st.sampled_from(CLASSES), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_wrong_types_under_a_known_name_never_raise_anything_else(
    entry: tuple[str, type[Message]], fields: dict[str, Any]
) -> None:
    codec = CODECS[entry[0]]
    data = msgspec.msgpack.encode({**fields, "is": entry[1].__name__})
    assert refused(codec, data) or isinstance(codec.decode(data), entry[1])


@given(EVERY_MESSAGE, st.data())
def test_a_torn_message_is_refused(sent: Sent, data: st.DataObject) -> None:
    codec, message = sent
    whole = codec.encode(message)
    assert refused(codec, whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert refused(codec, whole + data.draw(st.binary(min_size=1, max_size=9)))


@given(EVERY_MESSAGE, st.data())
def test_a_flipped_bit_never_raises_anything_else(sent: Sent, data: st.DataObject) -> None:
    codec, message = sent
    whole = bytearray(codec.encode(message))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert refused(codec, bytes(whole)) or isinstance(codec.decode(bytes(whole)), (Message, Unknown))


LISTING = b"\xa2is\xacListMachines"
HUGE = {
    "array": b"\xdd\xff\xff\xff\xff",
    "map": b"\xdf\xff\xff\xff\xff",
    "text": b"\xdb\xff\xff\xff\xff",
    "bytes": b"\xc6\xff\xff\xff\xff",
    "extension": b"\xc9\xff\xff\xff\xff\x05",
    "timestamp": b"\xc7\x0c\xff" + b"\xff" * 12,
    "array in an array": b"\xdd\xff\xff\xff\xff" * 100,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE.keys())
def test_a_size_that_is_only_claimed_is_not_believed(value: bytes) -> None:
    assert refused(RELAY_MESSAGES, value)
    assert refused(RELAY_MESSAGES, b"\x82\xa2is\xa8Machines\xa8machines" + value)
    assert value[:1] == b"\xc7" or refused(RELAY_MESSAGES, b"\x82" + LISTING + b"\xa1x" + value)


NESTED = {"arrays": b"\x91", "maps": b"\x81\xa1a", "maps as keys": b"\x81", "both": b"\x91\x81\xa1a"}


@pytest.mark.parametrize("level", NESTED.values(), ids=NESTED.keys())
def test_deep_nesting_is_refused_and_not_followed(level: bytes) -> None:
    deep = level * (MESSAGE_MAX_BYTES // len(level)) + b"\xc0"
    assert refused(RELAY_MESSAGES, deep)
    assert refused(RELAY_MESSAGES, b"\x82" + LISTING + b"\xa1x" + deep)
    assert refused(RELAY_MESSAGES, b"\x82\xa2is\xa4Nova\xa1x" + deep)


def test_a_field_given_twice_does_not_change_what_a_message_is() -> None:
    assert refused(SESSION_MESSAGES, b"\x82\xa2is\xa6Detach\xa2is\xa6Resize")


# -- how long it is ------------------------------------------------------------------------------------

WITH_PASSWORDS = [(codec, kind) for codec, kind in CLASSES if "password" in kind.__struct_fields__]


@pytest.mark.parametrize(("codec", "kind"), WITH_PASSWORDS)
@given(password=st.text(max_size=PASSWORD_MAX_BYTES))
@example(password="")
@example(password="\U0001f600" * (PASSWORD_MAX_BYTES // 4))
def test_the_length_of_a_message_does_not_tell_that_of_the_password(
    codec: str, kind: type[Message], password: str
) -> None:
    sent = CODECS[codec].encode(padded(kind(method="password", password=password)))
    assert len(sent) % PADDED_BYTES == 0
    if len(password.encode()) <= 128:
        assert len(sent) == PADDED_BYTES
    received = CODECS[codec].decode(sent)
    assert received.password == password
    assert len(repr(received)) == len(repr(kind(method="password")))


# -- what is shown ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "kind"), CLASSES)
def test_no_repr_shows_a_password_or_a_token(codec: str, kind: type[Message]) -> None:
    secret = "correct horse"
    names = {"password", "session_token", "machine_token"} & set(kind.__struct_fields__)
    plain = {field.name: 1 for field in msgspec.structs.fields(kind) if field.required}
    message = kind(**{**plain, **dict.fromkeys(names, secret)})
    assert secret not in f"{message!r} {message}"
    assert repr(message).startswith(f"{kind.__name__}(")


def test_a_repr_shows_the_rest() -> None:
    assert repr(AuthSuccess("t0ken", 5.0)) == "AuthSuccess(session_token=..., ttl_seconds=5.0)"
    assert repr(Resize(1, 2)) == "Resize(rows=1, cols=2)"


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Resize(1, 2).rows = 3  # type: ignore[misc]


def test_a_default_is_not_sent() -> None:
    assert RELAY_MESSAGES.encode(ListMachines()) == b"\x81" + LISTING
    full = Welcome(1, "s", "w", "o", "operator", key_id="")
    assert b"key_id" not in RELAY_MESSAGES.encode(full)
