"""The relay without its network: who gets in, who is joined to whom, who hears of what."""

from __future__ import annotations

import logging
import threading

import pytest

from cmdop import __version__
from cmdop.auth.keys import Role, bearer
from cmdop.errors import ConnectionClosed, StoreUnusable
from cmdop.limits import (
    AGENT_BACKLOG_MAX_BYTES,
    LINK_DEAD_SECONDS,
    MESSAGE_MAX_BYTES,
    OFFLINE_AFTER_SECONDS,
    STREAMS_PER_CONNECTION_MAX,
)
from cmdop.relay import admin, enrollment
from cmdop.relay.gate import NOT_ENROLLED, REVOKED, Refusal
from cmdop.relay.peer import Caller
from cmdop.relay.pulse import Verdict
from cmdop.transport.connection import Connection
from cmdop.transport.memory import MemoryConnection, memory_pair
from cmdop.wire.frame import FrameKind, decode_frame, encode_frame
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    AgentHello,
    Closed,
    Goodbye,
    Heartbeat,
    Hello,
    ListMachines,
    Machines,
    Open,
    SessionSummary,
    Welcome,
)
from tests.relay.rig import Rig
from tests.relay.talker import MACHINE_ID, OTHER_ID, TIMEOUT_SECONDS, Talker

SESSION = SessionSummary("0123456789abcdef", "anna", 2)


def joined(rig: Rig) -> tuple[Talker, Talker]:
    """A client and an agent; the client's stream 7 is the agent's stream 1."""
    agent, client = rig.agent(), rig.client()
    client.open(7)
    agent.hear(Open, 1)
    return client, agent


# -- getting in -------------------------------------------------------------------------


def test_a_client_is_welcomed_before_it_says_anything(rig: Rig) -> None:
    rig.agent()
    talker = rig.connect(rig.key(Role.OBSERVER, "olga").bearer, wants_list=True)
    welcome = talker.hear_welcome()
    assert (welcome.workspace, welcome.operator, welcome.role) == ("home", "olga", "observer")
    assert welcome.machines is not None
    assert [machine.machine_id for machine in welcome.machines] == [MACHINE_ID]


def test_the_list_is_only_in_the_welcome_of_who_asked_for_it(rig: Rig) -> None:
    assert rig.connect(rig.key(Role.OPERATOR).bearer).hear_welcome().machines is None


def test_an_admin_who_may_turn_out_to_be_an_agent_is_welcomed_after_its_hello(rig: Rig) -> None:
    client = rig.connect(rig.admin.bearer)
    client.hello_client()
    assert client.hear_welcome().machine_token == ""
    agent = rig.connect(rig.admin.bearer)
    agent.hello_agent()
    assert len(agent.hear_welcome().machine_token) == 64


def test_an_enrolled_machine_comes_back_with_its_token_and_is_welcomed_at_once(rig: Rig) -> None:
    agent = rig.agent()
    agent.leave()
    back = rig.connect(bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token)))
    assert back.hear_welcome() == Welcome(1, f"cmdop/{__version__}", "home", "prod", "agent")
    back.hello_agent(name="new-name")
    back.all_answered()
    row = rig.store.machine(MACHINE_ID)
    assert row is not None
    assert (row.name, row.agent_version) == ("new-name", "0.1.0")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
def test_a_machine_is_not_enrolled_with_a_key_for_people(rig: Rig, role: Role) -> None:
    talker = rig.connect(rig.key(role).bearer)
    talker.hello_agent()
    talker.hear_welcome()
    assert "needs the role agent" in talker.hear_closed("role-too-low")
    talker.hear_end()
    assert rig.store.machine(MACHINE_ID) is None


def test_a_client_does_not_come_in_with_an_agents_key(rig: Rig) -> None:
    talker = rig.connect(rig.key(Role.AGENT).bearer, wants_list=True)
    talker.hello_client()
    assert "needs the role operator" in talker.hear_closed("role-too-low")


def test_a_machine_of_another_workspace_is_not_enrolled(rig: Rig) -> None:
    rig.agent()
    attic = admin.create_workspace(rig.store, "attic", "root", 1.0)
    thief = rig.connect(attic.bearer)
    thief.hello_agent()
    assert thief.hear_closed("enrollment-refused") == "this machine belongs to another workspace"


def test_a_full_workspace_enrolls_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrollment, "MACHINES_PER_WORKSPACE_MAX", 1)
    rig.agent()
    talker = rig.connect(rig.admin.bearer)
    talker.hello_agent(OTHER_ID)
    assert "already" in talker.hear_closed("enrollment-refused")
    rig.agent(MACHINE_ID)


def test_another_version_is_told_which_one_is_spoken_here(rig: Rig) -> None:
    talker = rig.connect(rig.key(Role.OPERATOR).bearer)
    talker.hello_client(version=9)
    talker.hear_welcome()
    reason = talker.hear_closed("version-mismatch")
    assert reason == "the relay speaks cmdop protocol 1, and this client speaks 9"
    talker.hear_end()


def test_a_key_that_is_revoked_between_the_door_and_the_table_does_not_slip_through(rig: Rig) -> None:
    key = rig.key(Role.OPERATOR)
    caller = rig.switch.gate.admit(f"Bearer {key.bearer}", "192.0.2.1:1")
    assert isinstance(caller, Caller)
    admin.revoke_key(rig.store, key.key_id, 1.0)
    assert rig.switch.revoke_key(key.key_id) == 0
    theirs, ours = memory_pair()
    rig.switch.serve(ours, caller)
    assert Talker(theirs).hear_closed("key-refused") == REVOKED


def test_the_use_of_a_key_is_noted(rig: Rig) -> None:
    key = rig.key(Role.OPERATOR)
    rig.client(key).leave()
    rig.switch.close()
    record = rig.store.key(key.key_id)
    assert record is not None
    assert record.last_used == rig.unix_now()


# -- streams ----------------------------------------------------------------------------


def test_the_machine_is_told_who_asks_and_a_client_cannot_pretend(rig: Rig) -> None:
    key = rig.key(Role.OPERATOR, "anna")
    agent, client = rig.agent(), rig.client(key)
    client.say(Open(MACHINE_ID, "observer", "somebody else", "ffff", "10.0.0.1:1"), 7)
    asked = agent.hear(Open, 1)
    assert (asked.operator, asked.key_id, asked.role) == ("anna", key.key_id, "observer")
    assert asked.address not in ("", "10.0.0.1:1")


def test_sealed_frames_are_passed_on_as_they_are_in_order(rig: Rig) -> None:
    client, agent = joined(rig)
    payloads = [bytes([number]) * number for number in range(200)] + [b"x" * (MESSAGE_MAX_BYTES - 5)]
    for payload in payloads:
        client.say_sealed(7, payload)
    assert [agent.hear_sealed() for _ in payloads] == [(1, payload) for payload in payloads]
    agent.say_sealed(1, b"back")
    assert client.hear_sealed() == (7, b"back")


def test_streams_do_not_mix(rig: Rig) -> None:
    agent, anna, bert = rig.agent(), rig.client(), rig.client()
    anna.open(1)
    agent.hear(Open, 1)
    bert.open(1)
    agent.hear(Open, 2)
    anna.open(2)
    agent.hear(Open, 3)
    agent.say_sealed(2, b"for bert")
    agent.say_sealed(3, b"for anna")
    assert bert.hear_sealed() == (1, b"for bert")
    assert anna.hear_sealed() == (2, b"for anna")
    anna.say_sealed(2, b"from anna")
    assert agent.hear_sealed() == (3, b"from anna")


def test_frames_of_an_unknown_stream_are_dropped(rig: Rig) -> None:
    client, agent = joined(rig)
    for talker in (client, agent):
        for stream in (0, 2, 8, 2**32 - 1):
            talker.say_sealed(stream, b"lost")
        talker.all_answered()


@pytest.mark.parametrize("closer", ["client", "agent"])
def test_a_stream_closed_by_one_side_is_closed_for_the_other(rig: Rig, closer: str) -> None:
    client, agent = joined(rig)
    near, far = ((client, 7), (agent, 1))[:: 1 if closer == "client" else -1]
    near[0].say(Closed("session-gone", "over"), near[1])
    near[0].say_sealed(near[1], b"too late")
    near[0].all_answered()
    assert far[0].hear_closed("session-gone", far[1]) == "over"
    far[0].say(Closed(), far[1])
    far[0].say_sealed(far[1], b"too late")
    far[0].all_answered()
    near[0].all_answered()


def test_an_observer_may_observe_and_no_more(rig: Rig) -> None:
    agent, observer = rig.agent(), rig.client(rig.key(Role.OBSERVER))
    observer.open(1, role="operator")
    assert "needs the role operator" in observer.hear_closed("role-too-low", 1)
    observer.open(2, role="observer")
    assert agent.hear(Open, 1).role == "observer"


def test_a_role_that_no_machine_knows_is_refused(rig: Rig) -> None:
    rig.agent()
    client = rig.client()
    client.open(1, role="admin")
    client.hear_closed("role-too-low", 1)


def test_a_machine_nobody_knows_and_one_of_another_workspace_are_the_same(rig: Rig) -> None:
    rig.agent()
    stranger = rig.client(admin.create_workspace(rig.store, "attic", "root", 1.0))
    stranger.open(1, MACHINE_ID)
    assert stranger.hear_closed("no-such-machine", 1) == f"this workspace has no machine {MACHINE_ID}"
    stranger.open(2, OTHER_ID)
    assert stranger.hear_closed("no-such-machine", 2) == f"this workspace has no machine {OTHER_ID}"


def test_a_client_may_not_have_more_streams_than_there_are(rig: Rig) -> None:
    agent, client = rig.agent(), rig.client()
    for stream in range(1, STREAMS_PER_CONNECTION_MAX + 1):
        client.open(stream)
        agent.hear(Open, stream)
    client.open(STREAMS_PER_CONNECTION_MAX + 1)
    client.hear_closed("session-refused", STREAMS_PER_CONNECTION_MAX + 1)


# -- presence ---------------------------------------------------------------------------


def listed(client: Talker) -> dict[str, object]:
    """The one machine, as the list has it."""
    client.say(ListMachines())
    (machine,) = client.hear(Machines).machines
    return {name: getattr(machine, name) for name in machine.__struct_fields__}


def test_a_machine_is_listed_with_its_heartbeat_and_first_session(rig: Rig) -> None:
    agent, client = rig.agent(), rig.client()
    rig.now.now += 10
    rig.unix_now.now += 10
    agent.say(Heartbeat((SESSION, SessionSummary("fedcba9876543210", "bert", 1))))
    agent.all_answered()
    rig.now.now += 3
    rig.unix_now.now += 3
    assert listed(client) == {
        "machine_id": MACHINE_ID,
        "hostname": "prod-api-1",
        "name": "prod",
        "online": True,
        "heartbeat_age_seconds": 3.0,
        "last_seen": 1_700_000_010.0,
        "stopped_cleanly": False,
        "agent_version": "0.1.0",
        "session": SESSION,
    }


def test_a_machine_without_heartbeats_is_offline_though_connected(rig: Rig) -> None:
    rig.agent()
    client = rig.client()
    rig.now.now += OFFLINE_AFTER_SECONDS
    assert listed(client)["online"] is False
    client.open(1)
    assert client.hear_closed("machine-offline", 1) == "it was last heard 45 s ago"


def test_a_goodbye_is_offline_at_once_and_clean(rig: Rig) -> None:
    client, agent = joined(rig)
    agent.say(Goodbye())
    agent.say(Heartbeat())
    agent.all_answered()
    rig.now.now += 5
    machine = listed(client)
    assert (machine["online"], machine["stopped_cleanly"], machine["heartbeat_age_seconds"]) == (False, True, 5.0)
    client.open(8)
    assert client.hear_closed("machine-offline", 8) == "it stopped cleanly 5 s ago"
    agent.say_sealed(1, b"last words")
    assert client.hear_sealed() == (7, b"last words")
    agent.leave()
    assert client.hear_closed("machine-offline", 7) == "it stopped cleanly just now"


def test_a_broken_connection_is_offline_at_once_and_not_clean(rig: Rig) -> None:
    client, agent = joined(rig)
    agent.leave()
    assert client.hear_closed("machine-offline", 7) == "its connection broke off just now"
    rig.now.now += 125
    client.open(8)
    assert client.hear_closed("machine-offline", 8) == "its connection broke off 2 min ago"
    machine = listed(client)
    assert (machine["online"], machine["stopped_cleanly"]) == (False, False)


@pytest.mark.parametrize("clean", [True, False])
def test_how_a_machine_left_is_known_after_a_restart_of_the_relay(rig: Rig, *, clean: bool) -> None:
    agent = rig.agent()
    if clean:
        agent.say(Goodbye())
        agent.all_answered()
    agent.leave()
    rig.switch.close()
    row = rig.store.machine(MACHINE_ID)
    assert row is not None
    assert (row.stopped_cleanly, row.last_seen) == (clean, rig.unix_now())


def test_a_long_lived_machine_is_written_down_now_and_then(rig: Rig) -> None:
    agent = rig.agent()
    rig.now.now += 61
    rig.unix_now.now += 61
    agent.say(Heartbeat())
    agent.all_answered()
    rig.switch._recorder.close()
    row = rig.store.machine(MACHINE_ID)
    assert row is not None
    assert row.last_seen == rig.unix_now()


def test_a_second_connection_of_a_machine_replaces_the_first(rig: Rig) -> None:
    client, older = joined(rig)
    newer = rig.agent()
    assert older.hear_closed("connection-closed").startswith("it was replaced by a newer one")
    older.hear_end()
    assert client.hear_closed("machine-offline", 7) == "its agent has just connected anew"
    assert listed(client)["online"] is True
    client.open(8)
    newer.hear(Open, 1)
    newer.say_sealed(1, b"here")
    assert client.hear_sealed() == (8, b"here")


def test_when_a_client_leaves_the_machine_hears_of_each_stream(rig: Rig) -> None:
    client, agent = joined(rig)
    client.open(8)
    agent.hear(Open, 2)
    client.leave()
    assert agent.hear_closed("connection-closed", 1) == "the client's connection ended"
    agent.hear_closed("connection-closed", 2)
    agent.all_answered()


def test_why_the_relay_ended_a_connection_is_what_its_log_says(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """And not what the socket says of that."""
    caplog.set_level(logging.INFO)
    agent = rig.agent()
    (peer,) = rig.switch._board.peers()
    rig.switch._on_silence(peer, Verdict.DEAD)
    agent.hear_closed("connection-closed")
    for thread in rig.threads:
        thread.join(TIMEOUT_SECONDS)
    assert f"{peer} disconnected: nothing was heard for {LINK_DEAD_SECONDS:g} s" in caplog.text


def test_silence_is_pinged_and_a_dead_line_is_cut(rig: Rig) -> None:
    client, agent = joined(rig)
    (peer,) = rig.switch._board.peers(lambda peer: peer.machine_id == MACHINE_ID)
    rig.switch._on_silence(peer, Verdict.PING)
    assert decode_frame(agent.connection.receive()).kind == FrameKind.PING
    rig.switch._on_silence(peer, Verdict.DEAD)
    assert agent.hear_closed("connection-closed") == "nothing was heard for 9 s"
    agent.hear_end()
    assert client.hear_closed("machine-offline", 7) == "its connection broke off just now"


def test_who_never_says_hello_is_cut(rig: Rig) -> None:
    talker = rig.connect(rig.admin.bearer)
    talker.all_answered()
    (peer,) = rig.switch._board.peers()
    rig.switch._on_silence(peer, Verdict.NO_HELLO)
    assert talker.hear_closed("timed-out") == "there was no Hello within 10 s"
    talker.hear_end()


def test_a_machine_with_a_new_static_key_is_worth_a_warning(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    agent = rig.agent()
    back = rig.connect(bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token)))
    back.hear_welcome()
    with caplog.at_level(logging.WARNING):
        back.say(Hello(1, "cmdop/0.1.0", "agent", AgentHello(MACHINE_ID, "h", "n", b"K" * 32)))
        back.all_answered()
    assert f"machine {MACHINE_ID} (n) has a new static key" in caplog.text


# -- taking away --------------------------------------------------------------------------


def test_a_revoked_key_closes_its_connections_and_no_others(rig: Rig) -> None:
    key = rig.key(Role.OPERATOR, "anna")
    agent, anna, also_anna, bert = rig.agent(), rig.client(key), rig.client(key), rig.client()
    anna.open(1)
    agent.hear(Open, 1)
    admin.revoke_key(rig.store, key.key_id, 1.0)
    assert rig.switch.revoke_key(key.key_id) == 2
    for talker in (anna, also_anna):
        assert talker.hear_closed("key-refused") == "it was revoked"
        talker.hear_end()
    agent.hear_closed("connection-closed", 1)
    bert.all_answered()


def test_a_revoked_key_cuts_no_machine_that_was_enrolled_with_it(rig: Rig) -> None:
    key = rig.key(Role.AGENT)
    agent = rig.agent(key=key)
    admin.revoke_key(rig.store, key.key_id, 1.0)
    assert rig.switch.revoke_key(key.key_id) == 0
    agent.all_answered()


def test_nothing_of_a_revoked_key_is_passed_on_though_its_connection_does_not_close(rig: Rig) -> None:
    class Stuck(MemoryConnection):
        """Closing takes until the test says so, as with one who does not read."""

        may_close = threading.Event()

        def close(self, reason: str = "") -> None:
            assert self.may_close.wait(10)
            super().close(reason)

    def pair() -> tuple[Connection, Connection]:
        theirs, ours = MemoryConnection("a"), Stuck("b")
        theirs.peer, ours.peer = ours, theirs
        return theirs, ours

    key = rig.key(Role.OPERATOR)
    agent = rig.agent()
    client = rig.connect(key.bearer, pair=pair)
    client.hello_client()
    client.hear_welcome()
    client.open(7)
    agent.hear(Open, 1)
    revoked = threading.Thread(target=rig.switch.revoke_key, args=(key.key_id,))
    revoked.start()
    client.hear_closed("key-refused")
    agent.hear_closed("connection-closed", 1)
    client.say_sealed(7, b"still here")
    client.open(8)
    client.say(Closed(), 7)
    client.all_answered()
    agent.all_answered()
    Stuck.may_close.set()
    revoked.join(10)
    assert not revoked.is_alive()


def test_a_removed_machine_is_closed_and_has_to_be_enrolled_anew(rig: Rig) -> None:
    client, agent = joined(rig)
    admin.remove_machine(rig.store, MACHINE_ID)
    assert rig.switch.remove_machine(MACHINE_ID) == 1
    assert agent.hear_closed("not-enrolled") == NOT_ENROLLED
    agent.hear_end()
    assert client.hear_closed("no-such-machine", 7) == "it was removed from this workspace"
    client.say(ListMachines())
    assert client.hear(Machines).machines == ()
    credential = bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token))
    assert isinstance(rig.switch.gate.admit(f"Bearer {credential}", "192.0.2.1:1"), Refusal)
    rig.agent()
    assert listed(client)["online"] is True


def test_a_machine_that_is_removed_while_it_comes_back_does_not_stay(rig: Rig) -> None:
    agent = rig.agent()
    agent.leave()
    back = rig.connect(bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token)))
    back.hear_welcome()
    admin.remove_machine(rig.store, MACHINE_ID)
    back.hello_agent()
    assert back.hear_closed("not-enrolled") == NOT_ENROLLED


def test_when_the_relay_stops_everybody_is_told_first_and_then_closed(rig: Rig) -> None:
    client, agent = joined(rig)
    waiting = rig.connect(rig.admin.bearer)
    waiting.all_answered()
    rig.switch.close()
    for talker in (client, agent, waiting):
        assert talker.hear_closed("relay-stopping") == "the relay is stopping"
        talker.hear_end()
    late = rig.connect(rig.admin.bearer)
    late.hear_closed("relay-stopping")
    late.hear_end()
    rig.switch.close()


# -- peers that break the protocol -----------------------------------------------------------


def control(message: Hello | Heartbeat | Closed | Open | ListMachines | Goodbye, stream: int = 0) -> bytes:
    return encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))


def machine(**wrong: str) -> AgentHello:
    fields = {"machine_id": MACHINE_ID, "hostname": "h", "name": "n", **wrong}
    return AgentHello(fields["machine_id"], fields["hostname"], fields["name"], b"k" * 32)


NOISE = {
    "nothing": b"",
    "half a header": b"\x01\x00",
    "an unknown kind": b"\x10\x00\x00\x00\x00",
    "no message": encode_frame(FrameKind.CONTROL, 0, b"\xc1"),
    "a huge message": encode_frame(FrameKind.CONTROL, 0, b"\xc4" + bytes(MESSAGE_MAX_BYTES)),
    "a huge frame": bytes([2]) + bytes(MESSAGE_MAX_BYTES),
    "a long ping": encode_frame(FrameKind.PING, 0, bytes(65)),
    "a ping on a stream": encode_frame(FrameKind.PING, 1, b""),
    "a heartbeat": control(Heartbeat()),
    "a goodbye": control(Goodbye()),
    "an open on stream 0": control(Open(MACHINE_ID, "operator")),
    "a hello on a stream": control(Hello(1, "x", "client"), 1),
    "a second hello": control(Hello(1, "x", "client")),
}
GREETINGS = {
    "an open before the hello": control(Open(MACHINE_ID, "operator"), 1),
    "a list before the hello": control(ListMachines()),
    "a role that is none": control(Hello(1, "x", "root")),
    "an agent without a machine": control(Hello(1, "x", "agent")),
    "a hostname that moves the cursor": control(Hello(1, "x", "agent", machine(hostname="\x1b[2J"))),
    "an empty name": control(Hello(1, "x", "agent", machine(name=""))),
    "an unknown software": control(Hello(1, "\n", "agent", machine())),
}


@pytest.mark.parametrize("name", NOISE)
def test_a_client_that_breaks_the_protocol_is_closed_and_nobody_else(rig: Rig, name: str) -> None:
    bystander, agent = joined(rig)
    culprit = rig.client()
    culprit.open(1)
    agent.hear(Open, 2)
    culprit.connection.send(NOISE[name])
    assert culprit.hear_closed("remote-protocol").startswith("the other side broke the protocol")
    culprit.hear_end()
    agent.hear_closed("connection-closed", 2)
    bystander.say_sealed(7, b"alive")
    assert agent.hear_sealed() == (1, b"alive")


@pytest.mark.parametrize("name", GREETINGS)
def test_a_greeting_that_is_none_ends_it(rig: Rig, name: str) -> None:
    talker = rig.connect(rig.admin.bearer)
    talker.connection.send(GREETINGS[name])
    talker.hear_closed("remote-protocol")
    talker.hear_end()
    assert rig.store.machines() == []


def test_an_agent_that_breaks_the_protocol_is_offline(rig: Rig) -> None:
    client, agent = joined(rig)
    agent.say(ListMachines())
    agent.hear_closed("remote-protocol")
    client.hear_closed("machine-offline", 7)


def test_too_many_sessions_and_names_that_are_none_are_not_believed(rig: Rig) -> None:
    for heartbeat in (Heartbeat((SESSION,) * 65), Heartbeat((SessionSummary("0" * 16, "\x1b[2J"),))):
        agent = rig.agent()
        agent.say(heartbeat)
        agent.hear_closed("remote-protocol")


def test_a_token_is_good_for_its_own_machine_only(rig: Rig) -> None:
    agent = rig.agent()
    talker = rig.connect(bearer("machine", MACHINE_ID, bytes.fromhex(agent.machine_token)))
    talker.hear_welcome()
    talker.hello_agent(OTHER_ID)
    talker.hear_closed("remote-protocol")
    agent.all_answered()


def test_an_agent_does_not_ask_for_the_list(rig: Rig) -> None:
    talker = rig.connect(rig.admin.bearer, wants_list=True)
    talker.hear_welcome()
    talker.hello_agent()
    talker.hear_closed("remote-protocol")


def test_what_a_newer_cmdop_says_is_ignored(rig: Rig) -> None:
    client = rig.client()
    client.connection.send(encode_frame(FrameKind.CONTROL, 0, b"\x81\xa2is\xa6Newest"))
    client.connection.send(encode_frame(0x90, 3, b"whatever"))
    client.connection.send(encode_frame(FrameKind.PONG, 0, b"unasked"))
    client.all_answered()


def test_an_orderly_close_needs_no_answer(rig: Rig) -> None:
    client, agent = joined(rig)
    client.say(Closed())
    client.hear_end()
    agent.hear_closed("connection-closed", 1)


def test_a_connection_that_takes_no_more_is_closed_and_its_senders_are_not(rig: Rig) -> None:
    class Full(MemoryConnection):
        """Refuses what is sent once the test says so, and leaves its reader asleep."""

        full = False

        def send(self, message: bytes) -> None:
            if self.full:
                raise ConnectionClosed(reason="it is full")
            super().send(message)

    theirs, ours = MemoryConnection("a"), Full("b")
    theirs.peer, ours.peer = ours, theirs
    agent = rig.agent()
    client = rig.connect(rig.key(Role.OPERATOR).bearer, pair=lambda: (theirs, ours))
    client.hello_client()
    client.hear_welcome()
    client.open(7)
    agent.hear(Open, 1)
    ours.full = True
    agent.say_sealed(1, b"one too many")
    client.hear_end()
    agent.hear_closed("connection-closed", 1)
    agent.all_answered()


class Slow(MemoryConnection):
    """A machine's connection that takes nothing more until the test lets it go on."""

    def __init__(self, remote: str) -> None:
        super().__init__(remote)
        self.waiting, self.going_on = threading.Event(), threading.Event()
        self.going_on.set()

    @property
    def backlog_bytes(self) -> int:
        return 0 if self.going_on.is_set() else AGENT_BACKLOG_MAX_BYTES + 1

    def wait_for_room(self, backlog_bytes: int, timeout_seconds: float) -> bool:
        assert backlog_bytes == AGENT_BACKLOG_MAX_BYTES
        self.waiting.set()
        return self.going_on.wait(min(timeout_seconds, 0.02))


def test_who_sends_more_than_its_machine_takes_is_held_up_and_nobody_is_cut(rig: Rig) -> None:
    theirs, ours = MemoryConnection("a"), Slow("b")
    theirs.peer, ours.peer = ours, theirs
    agent = rig.connect(rig.key(Role.AGENT).bearer, pair=lambda: (theirs, ours))
    agent.hello_agent()
    agent.hear_welcome()
    client = rig.client()
    client.open(7)
    agent.hear(Open, 1)
    ours.going_on.clear()
    client.say_sealed(7, b"held up")
    assert ours.waiting.wait(TIMEOUT_SECONDS)
    rig.now.now += 2 * LINK_DEAD_SECONDS
    assert decode_frame(client.connection.receive()).kind == FrameKind.PING, "the relay is there"
    ours.waiting.clear()
    ours.going_on.set()
    assert agent.hear_sealed() == (1, b"held up")
    ours.going_on.clear()
    client.open(8)
    assert ours.waiting.wait(TIMEOUT_SECONDS)
    ours.going_on.set()
    agent.hear(Open, 2)


def test_records_that_fail_end_the_question_and_tell_nothing_of_the_host(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, client = rig.agent(), rig.client()

    def broken(*_: object) -> None:
        raise StoreUnusable(path="/secret/place", reason="broken")

    monkeypatch.setattr(rig.store, "machine", broken)
    monkeypatch.setattr(rig.store, "machines", broken)
    client.open(1)
    agent.hear(Open, 1)  # an online machine needs no records
    client.open(2, OTHER_ID)
    assert client.hear_closed("store-unusable", 2) == "the relay cannot use its records"
    client.say(ListMachines())
    assert client.hear_closed("store-unusable") == "the relay cannot use its records"


def test_a_mistake_of_our_own_ends_one_connection_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, culprit, bystander = rig.agent(), rig.client(), rig.client()

    def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "machines", mistaken)
        culprit.say(ListMachines())
        culprit.hear_closed("unexpected")
        culprit.hear_end()
    bystander.open(1)
    agent.hear(Open, 1)


def test_after_everybody_has_left_nothing_is_left(rig: Rig) -> None:
    before = threading.active_count()
    client, agent = joined(rig)
    client.leave()
    agent.hear_closed("connection-closed", 1)
    agent.leave()
    board = rig.switch._board
    assert board.peers() == []
    assert not board._router._entries
    assert threading.active_count() <= before + 1  # one may still be closing
