"""Input over a network that fails whenever it likes: every byte once, and in order."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cmdop.errors import RemoteProtocolError
from cmdop.limits import DATA_MAX_BYTES, INPUT_WINDOW_BYTES
from cmdop.session.typed import TypedIn, TypedOut

WINDOW_BYTES = 64
sizes = st.integers(1, 10) | st.integers(1, 2 * WINDOW_BYTES)


class Typing(RuleBasedStateMachine):
    """A client and an agent, a pipe each way that may break at any moment, and a slow PTY.

    Whatever is in a pipe when it breaks is lost, or some of it still arrives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.client, self.agent = TypedOut(WINDOW_BYTES), TypedIn(WINDOW_BYTES)
        self.typed, self.at_pty = bytearray(), bytearray()
        self.waiting = bytearray()
        """With the agent, for the PTY to take."""
        self.records: deque[tuple[int, bytes]] = deque()
        self.acks: deque[int] = deque()
        self.counter = 0

    @rule(size=sizes)
    def type(self, size: int) -> None:
        self.counter += 1
        data = (self.counter.to_bytes(2, "big") * size)[:size]
        self.typed += data
        self.client.type(data)

    @rule(most=st.integers(1, 20))
    def send(self, most: int) -> None:
        for _ in range(most):
            record = self.client.next_to_send()
            if record is None:
                break
            assert record[1]
            self.records.append(record)

    @precondition(lambda self: self.records)
    @rule()
    def deliver_a_record(self) -> None:
        offset, data = self.records.popleft()
        self.waiting += self.agent.receive(offset, data)

    @precondition(lambda self: self.waiting)
    @rule(size=sizes)
    def pty_takes(self, size: int) -> None:
        taken = bytes(self.waiting[:size])
        del self.waiting[: len(taken)]
        self.at_pty += taken
        ack = self.agent.took(len(taken))
        if ack is not None:
            self.acks.append(ack)

    @precondition(lambda self: self.acks)
    @rule()
    def deliver_an_ack(self) -> None:
        self.client.ack(self.acks.popleft())

    @rule(records_arriving=st.integers(0, 3), acks_arriving=st.integers(0, 3))
    def lose_the_connection_and_resume(self, records_arriving: int, acks_arriving: int) -> None:
        for _ in range(min(records_arriving, len(self.records))):
            self.deliver_a_record()
        for _ in range(min(acks_arriving, len(self.acks))):
            self.deliver_an_ack()
        self.records.clear()
        self.acks.clear()
        self.client.resume_at(self.agent.taken)

    @rule()
    def everything_arrives(self) -> None:
        """With a network that works for a while, nothing stands still."""
        for _ in range(2 + 4 * len(self.typed) // WINDOW_BYTES):
            if self.at_pty == self.typed:
                break
            self.send(20)
            while self.records:
                self.deliver_a_record()
            while self.waiting:
                self.pty_takes(WINDOW_BYTES)
            while self.acks:
                self.deliver_an_ack()
        assert self.at_pty == self.typed

    @invariant()
    def the_pty_has_what_was_typed_so_far(self) -> None:
        assert self.typed.startswith(self.at_pty + self.waiting)

    @invariant()
    def the_client_never_has_more_under_way_than_the_window(self) -> None:
        assert self.client.end - self.client.acked - self.client.waiting_bytes <= WINDOW_BYTES
        assert self.client.end == len(self.typed)


Typing.TestCase.settings = settings(stateful_step_count=40)
test_every_byte_arrives_once_and_in_order_whatever_is_lost = Typing.TestCase


def test_what_was_seen_before_is_dropped_also_when_it_overlaps() -> None:
    agent = TypedIn()
    assert agent.receive(0, b"abc") == b"abc"
    assert agent.receive(0, b"abc") == b""
    assert agent.receive(1, b"bcde") == b"de"


def test_a_gap_in_the_input_breaks_the_protocol() -> None:
    agent = TypedIn()
    agent.receive(0, b"abc")
    with pytest.raises(RemoteProtocolError):
        agent.receive(4, b"e")
    assert agent.receive(3, b"d") == b"d", "a refused record changes nothing"


def test_more_input_than_the_window_breaks_the_protocol() -> None:
    agent = TypedIn()
    agent.receive(0, b"x" * INPUT_WINDOW_BYTES)
    with pytest.raises(RemoteProtocolError):
        agent.receive(INPUT_WINDOW_BYTES, b"x")
    agent.took(1)
    assert agent.receive(INPUT_WINDOW_BYTES, b"x") == b"x"


def test_a_record_is_never_longer_than_the_wire_allows() -> None:
    client = TypedOut()
    client.type(bytes(DATA_MAX_BYTES + 1))
    assert client.next_to_send() == (0, bytes(DATA_MAX_BYTES))
    assert client.next_to_send() == (DATA_MAX_BYTES, b"\0")


def test_an_ack_may_speak_of_what_only_the_connection_before_sent() -> None:
    """The PTY takes the old bytes just before they are sent again."""
    client = TypedOut()
    client.type(b"abc")
    client.next_to_send()
    client.resume_at(0)
    client.ack(2)
    assert client.next_to_send() == (2, b"c")


def test_an_ack_for_bytes_never_sent_breaks_the_protocol() -> None:
    client = TypedOut()
    client.type(b"abc")
    with pytest.raises(RemoteProtocolError):
        client.ack(1)


def test_an_old_ack_changes_nothing() -> None:
    client = TypedOut()
    client.type(b"abc")
    client.next_to_send()
    client.ack(2)
    client.ack(1)
    assert (client.acked, client.end) == (2, 3)


@pytest.mark.parametrize("offset", [1, 4])
def test_resuming_where_nothing_is_kept_breaks_the_protocol(offset: int) -> None:
    client = TypedOut()
    client.type(b"abc")
    client.next_to_send()
    client.ack(2)
    with pytest.raises(RemoteProtocolError):
        client.resume_at(offset)


def test_a_keystroke_needs_no_ack_of_its_own() -> None:
    agent = TypedIn()
    agent.receive(0, b"x")
    assert agent.took(1) is None


def test_a_stuck_pty_survives_any_number_of_resumes() -> None:
    """The agent must not tell what it received: the client's window would then grow with each resume."""
    client, agent = TypedOut(), TypedIn()
    client.type(b"x" * 4 * INPUT_WINDOW_BYTES)
    for _ in range(3):
        while record := client.next_to_send():
            agent.receive(*record)
        client.resume_at(agent.taken)
    assert agent.received == INPUT_WINDOW_BYTES
