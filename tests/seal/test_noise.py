"""The seal: what is genuine opens, and nothing else does, whatever a relay does to it."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.errors import LocalProtocolError, SealRefused
from cmdop.limits import DATA_MAX_BYTES, HANDSHAKE_MAX_BYTES, MESSAGE_MAX_BYTES
from cmdop.seal.noise import SEAL_OVERHEAD_BYTES, Channel, Handshake, prologue, public_key
from cmdop.wire.frame import FRAME_OVERHEAD_BYTES
from cmdop.wire.record import RECORD_OVERHEAD_BYTES

MACHINE = "8f23a4b0-0000-4000-8000-000000000001"
CLIENT_KEY, AGENT_KEY = bytes(range(32)), bytes(range(32, 64))
PSK = b"k" * 32
HERE = prologue(MACHINE, "operator")
SIZES = (48, 96, 64)
"""The handshake messages of docs/protocol.md §5."""

LOW_ORDER_KEY = bytes(32)


def client(psk: bytes = PSK, said: bytes = HERE) -> Handshake:
    return Handshake(True, CLIENT_KEY, psk, said, "machine")


def agent(psk: bytes = PSK, said: bytes = HERE) -> Handshake:
    return Handshake(False, AGENT_KEY, psk, said, "client")


def shake(initiator: Handshake, responder: Handshake) -> tuple[Channel, Channel]:
    responder.read(initiator.write())
    initiator.read(responder.write())
    responder.read(initiator.write())
    return initiator.channel(), responder.channel()


def up_to(number: int) -> tuple[Handshake, bytes]:
    """Who is to read handshake message `number`, and that message."""
    ends = [client(), agent()]
    for turn in range(number):
        ends[1 - turn % 2].read(ends[turn % 2].write())
    return ends[1 - number % 2], ends[number % 2].write()


# -- the handshake ------------------------------------------------------------------------


def test_both_ends_learn_the_others_static_key_and_can_talk() -> None:
    ends = client(), agent()
    one, other = shake(*ends)
    assert ends[0].remote_static == public_key(AGENT_KEY)
    assert ends[1].remote_static == public_key(CLIENT_KEY)
    for number in range(3):
        assert other.open(one.seal(b"to the agent %d" % number)) == b"to the agent %d" % number
        assert one.open(other.seal(b"to the client %d" % number)) == b"to the client %d" % number


@pytest.mark.parametrize("number", range(3))
def test_a_handshake_message_has_the_size_that_the_protocol_says(number: int) -> None:
    assert len(up_to(number)[1]) == SIZES[number] <= HANDSHAKE_MAX_BYTES


@pytest.mark.parametrize(
    ("number", "place"), [(number, place) for number in range(3) for place in range(SIZES[number])]
)
def test_a_handshake_message_with_any_byte_changed_is_refused(number: int, place: int) -> None:
    reader, message = up_to(number)
    with pytest.raises(SealRefused):
        reader.read(message[:place] + bytes([message[place] ^ 0x01]) + message[place + 1 :])


@pytest.mark.parametrize("number", range(3))
def test_a_handshake_message_of_any_other_length_is_refused(number: int) -> None:
    for length in [*range(SIZES[number]), SIZES[number] + 1, HANDSHAKE_MAX_BYTES, HANDSHAKE_MAX_BYTES + 1, 70_000]:
        reader, message = up_to(number)
        with pytest.raises(SealRefused):
            reader.read(message[:length].ljust(length, b"\0"))


@given(number=st.integers(0, 2), garbage=st.binary(max_size=300))
def test_garbage_instead_of_a_handshake_message_is_refused(number: int, garbage: bytes) -> None:
    reader, _ = up_to(number)
    with pytest.raises(SealRefused):
        reader.read(garbage)


@pytest.mark.parametrize("number", range(3))
def test_a_refused_handshake_does_not_go_on(number: int) -> None:
    reader, message = up_to(number)
    with pytest.raises(SealRefused):
        reader.read(bytes(len(message)))
    for step in (lambda: reader.read(message), reader.write, reader.channel):
        with pytest.raises(SealRefused):
            step()


def test_a_key_of_low_order_is_refused_and_is_not_called_our_own_mistake() -> None:
    forger, victim = client(), agent()
    forger._state.e = forger._noise.noise_protocol.dh_fn.klass.from_public_bytes(LOW_ORDER_KEY)
    victim.read(forger.write())  # genuine so far: nothing secret is in the first message
    with pytest.raises(SealRefused):
        victim.write()


def test_a_handshake_message_with_a_payload_is_refused() -> None:
    forger = client()
    with pytest.raises(SealRefused):
        agent().read(bytes(forger._noise.write_message(b"early data")))


def test_a_handshake_message_that_comes_twice_is_refused() -> None:
    reader, message = up_to(0)
    reader.read(message)
    with pytest.raises(SealRefused):
        reader.read(message)


def test_messages_of_another_handshake_are_refused() -> None:
    for number in (1, 2):
        reader, _ = up_to(number)
        _, replayed = up_to(number)
        with pytest.raises(SealRefused):
            reader.read(replayed)


@pytest.mark.parametrize(
    ("psk", "said"),
    [
        (b"K" * 32, HERE),
        (PSK, prologue("8f23a4b0-0000-4000-8000-000000000002", "operator")),
        (PSK, prologue(MACHINE, "observer")),
        (PSK, b""),
    ],
    ids=["another key", "another machine", "another role", "no prologue"],
)
def test_ends_that_do_not_agree_never_finish(psk: bytes, said: bytes) -> None:
    with pytest.raises(SealRefused):
        shake(client(), agent(psk, said))


def test_a_client_without_the_workspaces_key_is_refused_by_the_agent() -> None:
    ends = client(psk=b"?" * 32), agent()
    ends[1].read(ends[0].write())
    ends[0].read(ends[1].write())
    with pytest.raises(SealRefused):
        ends[1].read(ends[0].write())
    assert not ends[1].finished


def test_a_finished_handshake_does_not_wait_for_the_garbage_collector() -> None:
    ends = client(), agent()
    inside = [weakref.ref(end._noise.noise_protocol) for end in ends]
    gc.disable()
    try:
        shake(*ends)
        assert [seen() for seen in inside] == [None, None]
    finally:
        gc.enable()


def test_the_prologue_cannot_be_read_in_two_ways() -> None:
    assert prologue("a", "b") == b"cmdop.v1\0a\0b"


def test_steps_out_of_turn_are_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        agent().write()
    with pytest.raises(LocalProtocolError):
        client().channel()
    writer = client()
    writer.write()
    with pytest.raises(LocalProtocolError):
        writer.write()


# -- sealed records ---------------------------------------------------------------------------


def channels() -> tuple[Channel, Channel]:
    return shake(client(), agent())


@given(plain=st.binary(max_size=2000))
def test_a_sealed_record_is_longer_by_the_overhead_and_opens_once(plain: bytes) -> None:
    one, other = channels()
    sealed = one.seal(plain)
    assert len(sealed) == len(plain) + SEAL_OVERHEAD_BYTES
    assert other.open(sealed) == plain
    with pytest.raises(SealRefused):
        other.open(sealed)


def test_the_longest_record_fits_a_frame_and_opens() -> None:
    one, other = channels()
    plain = os.urandom(DATA_MAX_BYTES + RECORD_OVERHEAD_BYTES)
    sealed = one.seal(plain)
    assert len(sealed) + FRAME_OVERHEAD_BYTES <= MESSAGE_MAX_BYTES
    assert other.open(sealed) == plain


@pytest.mark.parametrize("place", range(32 + SEAL_OVERHEAD_BYTES))
def test_a_record_with_any_byte_changed_is_refused(place: int) -> None:
    one, other = channels()
    sealed = one.seal(b"x" * 32)
    with pytest.raises(SealRefused):
        other.open(sealed[:place] + bytes([sealed[place] ^ 0x80]) + sealed[place + 1 :])


def truncated(records: list[bytes]) -> list[bytes]:
    return [records[0], records[1][:-1]]


MEDDLING: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "dropped": lambda records: [records[0], records[2]],
    "doubled": lambda records: [records[0], records[0]],
    "reordered": lambda records: [records[0], records[2], records[1]],
    "truncated": truncated,
    "lengthened": lambda records: [records[0], records[1] + b"\0"],
    "injected": lambda records: [records[0], os.urandom(48)],
    "empty": lambda records: [records[0], b""],
    "overlong": lambda records: [records[0], bytes(MESSAGE_MAX_BYTES + 1)],
}


@pytest.mark.parametrize("how", MEDDLING)
def test_records_that_were_meddled_with_are_refused_and_nothing_opens_afterwards(how: str) -> None:
    one, other = channels()
    records = [one.seal(b"record %d" % number) for number in range(3)]
    first, *rest = MEDDLING[how](records)
    assert other.open(first) == b"record 0"
    for record in [*rest, records[1], records[2]]:
        with pytest.raises(SealRefused):
            other.open(record)


def test_a_record_does_not_open_for_the_one_who_sealed_it() -> None:
    one, _ = channels()
    with pytest.raises(SealRefused):
        one.open(one.seal(b"mirrored back"))


def test_a_record_of_another_stream_is_refused() -> None:
    one, _ = channels()
    _, stranger = channels()
    with pytest.raises(SealRefused):
        stranger.open(one.seal(b"to somebody else"))


def test_a_refusal_names_the_peer_and_keeps_the_reason_to_itself() -> None:
    _, other = channels()
    with pytest.raises(SealRefused) as refused:
        other.open(bytes(40))
    assert refused.value.sentence == "client could not prove that it holds this workspace's keys"
