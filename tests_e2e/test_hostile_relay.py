"""A relay that is an enemy reads nothing, types nothing, shows nothing, and ends nobody's process.

Each attack ends in one error at the client, of which the sentence is known; nothing of what it
touched gets to the program or to the screen; and the same agent serves the next client.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cmdop.agent import service as service_module
from cmdop.auth.known_machines import KnownMachines
from cmdop.client import entering as entering_module
from cmdop.client import link as link_module
from cmdop.client.outcome import Failed
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    MachineChanged,
    MachineOffline,
    RemoteProtocolError,
    SealRefused,
    TimedOut,
    VersionMismatch,
)
from cmdop.home import Home
from cmdop.seal.noise import Handshake, prologue
from cmdop.transport.backoff import Backoff
from cmdop.transport.connection import Connection
from cmdop.wire.frame import FRAME_OVERHEAD_BYTES, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import replaced
from cmdop.wire.relay_messages import Closed, Goodbye, Hello, Machines, Open, Welcome
from tests.network import SERVER
from tests_e2e.hostile import (
    KEY,
    OBSERVER_KEY,
    TERM,
    HostileRelay,
    Joint,
    Tamper,
    Target,
    Victim,
    Way,
    control,
    pass_on,
)

TYPED, SHOWN = b"what-the-victim-types", b"what-the-victim-sees"
IMPATIENT_SECONDS = 0.1
OUR_OWN_STATIC, NO_PSK = b"e" * 32, bytes(32)


class Scene(NamedTuple):
    relay: HostileRelay
    alpha: Target
    beta: Target


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two machines that are online at that relay, for all tests: none of them may be harmed."""
    relay, folder = HostileRelay(), tmp_path_factory.mktemp("machines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_module, "dial", relay.dial)
        patch.setattr(link_module, "dial", relay.dial)
        patch.setattr(Backoff, "next_seconds", lambda _: 0.0)
        alpha, beta = Target(folder / "alpha", "alpha"), Target(folder / "beta", "beta")
        with contextlib.closing(alpha), contextlib.closing(beta):
            yield Scene(relay, alpha, beta)


@pytest.fixture
def scene(played: Scene, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """The same; behind each test they still serve, and nothing has gone wrong inside of anything."""
    played.relay.honest()
    with caplog.at_level(logging.DEBUG):
        yield played
        played.relay.honest()
        for target in (played.alpha, played.beta):
            session(played, target)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The victim's, in which nothing is yet."""
    return Home(tmp_path / "cmdop")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is given up soon."""
    for module, name in (
        (link_module, "OPEN_TIMEOUT_SECONDS"),
        (link_module, "HELLO_TIMEOUT_SECONDS"),
        (entering_module, "AUTH_TIMEOUT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, IMPATIENT_SECONDS)


def session(scene: Scene, target: Target) -> Joint:
    """An honest session, with something typed and something shown; how it went."""
    count = len(scene.relay.joints)
    victim = Victim(target.agent.service.status()["name"])
    assert victim.attached(), victim.outcome()
    pty, before = target.machine.ptys[-1], len(target.machine.typed)
    victim.terminal.press(TYPED)
    pty.until(lambda _: len(target.machine.typed) >= before + len(TYPED))
    assert target.machine.typed[before:] == TYPED
    pty.print(SHOWN)
    victim.output.until(lambda shown: SHOWN in shown)
    victim.leave()
    return scene.relay.until_joined(count + 1)


class Attacked(NamedTuple):
    """What came of an attack: the error at the client, and what was typed on the machine."""

    error: CmdopError
    typed: bytes


def attack(scene: Scene, tamper: Tamper = pass_on) -> Attacked:
    """A session with `alpha` whose relay does this, while both sides go on speaking."""
    machine = scene.alpha.machine
    before = len(machine.typed)
    scene.relay.tamper = tamper
    victim = Victim()
    if victim.attached():
        machine.ptys[-1].print(SHOWN)
        victim.terminal.press(TYPED, b"!", b"?")
    error = victim.error()
    scene.relay.tamper = pass_on
    return Attacked(error, machine.typed[before:])


Deed = Callable[[Joint, bytes], Iterable[bytes]]
"""What is passed on in the place of a message."""


def attack_frame(scene: Scene, way: Way, number: int, deed: Deed) -> CmdopError:
    """The error of a session in which this is done to one frame, no later than the first that types."""

    def tamper(joint: Joint, goes: Way, count: int, message: bytes) -> Iterable[bytes]:
        return deed(joint, message) if (goes, count) == (way, number) else [message]

    error, typed = attack(scene, tamper)
    if way is Way.TO_AGENT:
        assert typed == b"", "what was touched is not typed, nor anything behind it"
    assert (TYPED + b"!?").startswith(typed)
    return error


# -- reading --------------------------------------------------------------------------------------


def test_a_relay_that_only_reads_sees_nothing_of_a_session(scene: Scene) -> None:
    relay = scene.relay
    seen_before = len(relay.seen)
    joint = session(scene, scene.alpha)
    seen = relay.seen[seen_before:]
    sealed = [frame for way in Way for frame in joint.seen[way]]
    assert len(sealed) > 8
    for marker in (TYPED, SHOWN, TERM.encode(), b"Register", b"Ready", KEY.secret, KEY.machine_psk(KEY.role, "x")):
        assert not any(marker in message for message in seen)
    assert any(scene.alpha.machine_id.encode() in message for message in seen), "this is how it would look"


def test_equal_keys_look_different_each_time(scene: Scene) -> None:
    one, other = session(scene, scene.alpha), session(scene, scene.alpha)
    for way in Way:
        assert not set(one.seen[way]) & set(other.seen[way])


# -- every byte -----------------------------------------------------------------------------------

FIRST = {Way.TO_AGENT: ["message 1", "message 3", "Register", "typed"], Way.TO_CLIENT: ["message 2", "token", "Ready"]}
"""What the first frames of a session are."""
EACH_FRAME = [
    pytest.param(way, number, id=name.replace(" ", "-")) for way in Way for number, name in enumerate(FIRST[way])
]
each_frame = pytest.mark.parametrize(("way", "number"), EACH_FRAME)


def flip(position: int, bit: int) -> Callable[[Joint, bytes], list[bytes]]:
    def deed(joint: Joint, message: bytes) -> list[bytes]:
        position_in_frame = FRAME_OVERHEAD_BYTES + position
        changed = message[position_in_frame] ^ (1 << bit)
        return [message[:position_in_frame] + bytes([changed]) + message[position_in_frame + 1 :]]

    return deed


@each_frame
def test_no_byte_of_a_frame_can_be_changed(scene: Scene, way: Way, number: int) -> None:
    """Its lowest bit and its highest: that of a public key's last byte X25519 itself does not look at."""
    length = len(session(scene, scene.alpha).seen[way][number])
    assert length > 40
    found = {}
    for position in range(length):
        for bit in (0, 7):
            error = attack_frame(scene, way, number, flip(position, bit))
            if type(error) is not SealRefused:
                found[position, bit] = error
    assert found == {}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("position", range(FRAME_OVERHEAD_BYTES))
@each_frame
def test_a_frame_s_header_can_be_changed_to_no_use(scene: Scene, way: Way, number: int, position: int) -> None:
    """Another kind or another stream: the frame is lost, or what it says is nonsense."""
    error = attack_frame(scene, way, number, flip(position - FRAME_OVERHEAD_BYTES, 0))
    assert isinstance(error, SealRefused | TimedOut | RemoteProtocolError | ConnectionClosed), error


# -- whole frames ---------------------------------------------------------------------------------

ALWAYS_NOTICED = {
    "cut by a byte": lambda joint, message: [message[:-1]],
    "cut to its tag": lambda joint, message: [message[: FRAME_OVERHEAD_BYTES + 16]],
    "cut to nothing": lambda joint, message: [message[:FRAME_OVERHEAD_BYTES]],
    "a byte more": lambda joint, message: [message + b"\0"],
    "zeros": lambda joint, message: [message[:FRAME_OVERHEAD_BYTES] + bytes(len(message) - FRAME_OVERHEAD_BYTES)],
    "as long as may be": lambda joint, message: [message[:FRAME_OVERHEAD_BYTES] + bytes(65536 - FRAME_OVERHEAD_BYTES)],
    "something before it": lambda joint, message: [message[:FRAME_OVERHEAD_BYTES] + b"?" * 48, message],
}


@pytest.mark.parametrize("deed", ALWAYS_NOTICED.values(), ids=[name.replace(" ", "-") for name in ALWAYS_NOTICED])
@each_frame
def test_no_frame_can_be_cut_lengthened_or_replaced(
    scene: Scene, way: Way, number: int, deed: Callable[[Joint, bytes], list[bytes]]
) -> None:
    assert type(attack_frame(scene, way, number, deed)) is SealRefused


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("number", range(3))
def test_a_frame_that_comes_twice_is_noticed(scene: Scene, way: Way, number: int) -> None:
    error = attack_frame(scene, way, number, lambda joint, message: [message, message])
    assert type(error) is SealRefused


def test_what_was_typed_is_not_typed_twice(scene: Scene) -> None:
    def twice(joint: Joint, way: Way, number: int, message: bytes) -> Iterable[bytes]:
        return [message, message] if (way, number) == (Way.TO_AGENT, 3) else [message]

    error, typed = attack(scene, twice)
    assert type(error) is SealRefused
    assert typed == TYPED, "once, and nothing behind it"


@pytest.mark.usefixtures("impatient")
@each_frame
def test_a_frame_that_is_dropped_is_missed(scene: Scene, way: Way, number: int) -> None:
    """By the next one, which does not open; or in time, where the other end waits for it."""
    error = attack_frame(scene, way, number, lambda joint, message: [])
    assert type(error) in (SealRefused, TimedOut)


class Swap:
    """Holds a frame back until the next one that way has gone."""

    def __init__(self, way: Way, number: int) -> None:
        self._way, self._number = way, number
        self._held: list[bytes] = []

    def __call__(self, joint: Joint, way: Way, number: int, message: bytes) -> Iterable[bytes]:
        if (way, number) == (self._way, self._number):
            self._held = [message]
            return []
        if way is self._way:
            held, self._held = self._held, []
            return [message, *held]
        return [message]


@pytest.mark.usefixtures("impatient")
@each_frame
def test_two_frames_cannot_change_places(scene: Scene, way: Way, number: int) -> None:
    error, typed = attack(scene, Swap(way, number))
    assert type(error) in (SealRefused, TimedOut)
    assert way is Way.TO_CLIENT or typed == b""


# -- other streams --------------------------------------------------------------------------------


@each_frame
def test_a_frame_of_an_old_session_does_not_fit_into_a_new_one(scene: Scene, way: Way, number: int) -> None:
    """The first message is genuine whenever it comes, and then nothing behind it is."""
    old = session(scene, scene.alpha).seen[way][number]
    error = attack_frame(scene, way, number, lambda joint, message: [joint.frame(way, old)])
    assert type(error) is SealRefused


@each_frame
def test_a_frame_of_another_session_to_another_machine_does_not_fit(scene: Scene, way: Way, number: int) -> None:
    other = session(scene, scene.beta).seen[way][number]
    error = attack_frame(scene, way, number, lambda joint, message: [joint.frame(way, other)])
    assert type(error) is SealRefused


@each_frame
def test_two_sessions_of_one_user_cannot_be_spliced(scene: Scene, way: Way, number: int) -> None:
    """Both are up; a frame of the one takes the place of that of the other."""
    bystander = Victim()
    assert bystander.attached()
    bystander.terminal.press(b"bystander")
    joint = scene.relay.joints[-1]
    scene.relay.until_seen(joint, Way.TO_AGENT, 4)
    pty = scene.alpha.machine.ptys[-1]
    pty.until(lambda pty: pty.typed.endswith(b"bystander"))
    spliced = joint.seen[way][number]
    assert type(attack_frame(scene, way, number, lambda other, message: [other.frame(way, spliced)])) is SealRefused
    bystander.leave()


def test_an_old_session_that_is_played_to_the_machine_again_does_nothing(scene: Scene) -> None:
    """All of it, by the relay itself, without any client."""
    old = session(scene, scene.alpha)
    before = scene.alpha.machine.typed
    replayed = Victim()  # for the relay it is only a stream that it has
    assert replayed.attached()
    joint = scene.relay.joints[-1]
    mine = Joint(joint.agent, 0, joint.agent, 1 << 20, joint.asked)
    mine.say(Way.TO_AGENT, replaced(old.asked, operator="ann"))
    for payload in old.seen[Way.TO_AGENT]:
        mine.send(Way.TO_AGENT, mine.frame(Way.TO_AGENT, payload))
    replayed.terminal.press(b"x")  # the agent has dealt with everything before it
    scene.alpha.machine.ptys[-1].until(lambda pty: pty.typed.endswith(b"x"))
    assert scene.alpha.machine.typed[len(before) :] == b"x"
    replayed.leave()


def test_an_old_session_that_is_played_to_the_client_again_shows_nothing(scene: Scene) -> None:
    old = session(scene, scene.alpha)

    def answer(connection: Connection, stream: int, opened: Open) -> bool:
        for payload in old.seen[Way.TO_CLIENT]:
            connection.send(encode_frame(FrameKind.SEALED, stream, payload))
        return True

    scene.relay.on_open = answer
    victim = Victim()
    assert type(victim.error()) is SealRefused
    assert victim.output.shown == b""


# -- another machine, another role ----------------------------------------------------------------


def found_out(scene: Scene) -> None:
    """Nobody is deceived, and nothing is typed anywhere."""
    before = scene.alpha.machine.typed, scene.beta.machine.typed
    assert type(attack(scene).error) is SealRefused
    assert (scene.alpha.machine.typed, scene.beta.machine.typed) == before


def test_a_client_that_is_joined_to_another_machine_finds_out(scene: Scene) -> None:
    scene.relay.route = lambda opened: (scene.beta.machine_id, opened)
    found_out(scene)


def test_and_so_it_does_when_the_machine_is_told_its_own_id(scene: Scene) -> None:
    beta = scene.beta.machine_id
    scene.relay.route = lambda opened: (beta, replaced(opened, machine_id=beta))
    found_out(scene)


def test_a_machine_that_bears_another_s_id_in_the_list_is_found_out(scene: Scene) -> None:
    """`alpha` is listed with an id that nobody has; whoever it is joined to has another one."""
    made_up = "11111111-2222-4333-8444-555555555555"
    scene.relay.list_as = lambda record: replaced(record, machine_id=made_up) if record.name == "alpha" else record
    scene.relay.route = lambda opened: (scene.alpha.machine_id, opened)
    found_out(scene)


def test_a_whole_id_leads_to_that_machine_or_nowhere(scene: Scene) -> None:
    """Another machine that is listed with this id for its name and its hostname is not it."""
    alpha, beta = scene.alpha.machine_id, scene.beta.machine_id
    names = {alpha: "beta", beta: alpha}
    scene.relay.list_as = lambda record: replaced(
        record, name=names[record.machine_id], hostname=names[record.machine_id]
    )
    victim = Victim(alpha)
    assert victim.attached()
    assert scene.relay.joints[-1].asked.machine_id == alpha
    victim.leave()


@pytest.mark.parametrize("told", ["operator", "admin", "observer ", "Observer", ""])
def test_an_observer_cannot_be_made_an_operator(scene: Scene, told: str) -> None:
    before = scene.alpha.machine.typed
    scene.relay.route = lambda opened: (opened.machine_id, replaced(opened, role=told))
    victim = Victim(key=OBSERVER_KEY)
    assert type(victim.error()) is SealRefused
    assert scene.alpha.machine.typed == before


def test_an_operator_cannot_be_made_an_observer(scene: Scene) -> None:
    scene.relay.route = lambda opened: (opened.machine_id, replaced(opened, role="observer"))
    found_out(scene)


# -- the relay as the machine ---------------------------------------------------------------------


class Impostor:
    """The relay plays the machine, with a key of its own and without the workspace's secret."""

    def __init__(self, scene: Scene) -> None:
        self.machine_id = scene.alpha.machine_id
        self.heard: list[bytes] = []
        self.device_key = b""

    def answer(self, connection: Connection, stream: int, opened: Open) -> bool:
        handshake = Handshake(False, OUR_OWN_STATIC, NO_PSK, prologue(self.machine_id, opened.role), "the victim")
        handshake.read(self._sealed(connection))
        connection.send(encode_frame(FrameKind.SEALED, stream, handshake.write()))
        while not self.heard[1:]:
            self._sealed(connection)
        with pytest.raises(SealRefused):
            handshake.read(self.heard[1])
        connection.send(encode_frame(FrameKind.SEALED, stream, b"?" * 64))
        return True

    def _sealed(self, connection: Connection) -> bytes:
        frame = decode_frame(connection.receive())
        if frame.kind == FrameKind.SEALED:
            self.heard.append(frame.payload)
        elif frame.kind == FrameKind.CONTROL:
            raise ConnectionClosed(reason="it said goodbye")
        return frame.payload


def test_a_relay_that_plays_the_machine_is_told_nothing_and_found_out(scene: Scene, home: Home) -> None:
    impostor = Impostor(scene)
    scene.relay.on_open = impostor.answer
    known = KnownMachines(home, SERVER, "home")
    victim = Victim(known=known)
    assert type(victim.error()) is SealRefused
    assert len(impostor.heard) >= 2
    assert not any(TERM.encode() in payload for payload in impostor.heard)
    known.load()
    assert known.check(scene.alpha.sighting) is not None, "it is still to be seen for the first time"
    assert not home.path.exists()


def test_one_that_plays_a_machine_that_is_known_does_not_get_the_third_message(scene: Scene, home: Home) -> None:
    impostor = Impostor(scene)
    scene.relay.on_open = impostor.answer
    known = KnownMachines(home, SERVER, "home")
    known.proven(scene.alpha.sighting)
    assert type(Victim(known=known).error()) is MachineChanged
    assert len(impostor.heard) == 1, "no more than the first message"


def test_a_relay_in_the_middle_of_two_handshakes_has_neither(scene: Scene) -> None:
    """It makes one with each end, and passes on what it opens: there is nothing to open."""
    ends: dict[str, Handshake] = {}

    def middle(joint: Joint, way: Way, number: int, message: bytes) -> Iterable[bytes]:
        payload = decode_frame(message).payload
        bound = prologue(scene.alpha.machine_id, "operator")
        if (way, number) == (Way.TO_AGENT, 0):
            ends["client"] = Handshake(False, OUR_OWN_STATIC, NO_PSK, bound, "the victim")
            ends["agent"] = Handshake(True, OUR_OWN_STATIC, NO_PSK, bound, "the machine")
            ends["client"].read(payload)
            return [joint.frame(way, ends["agent"].write())]
        if (way, number) == (Way.TO_CLIENT, 0):
            ends["agent"].read(payload)
            return [joint.frame(way, ends["client"].write())]
        if (way, number) == (Way.TO_AGENT, 1):
            with pytest.raises(SealRefused):  # here it would have needed the machine's psk
                ends["client"].read(payload)
            return [joint.frame(way, ends["agent"].write())]
        return [message]

    error, typed = attack(scene, middle)
    assert (type(error), typed) == (SealRefused, b"")


# -- what is not sealed ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 2, 1 << 40])
def test_a_relay_cannot_talk_a_client_into_another_version(scene: Scene, version: int) -> None:
    scene.relay.welcome_as = lambda hello, welcome: replaced(welcome, version=version)
    victim = Victim()
    error = victim.error()
    assert type(error) is VersionMismatch
    assert f"speaks cmdop protocol {version}" in error.sentence


def test_nor_an_agent_which_comes_back_to_it_when_it_has_thought_better(scene: Scene) -> None:
    agent = scene.alpha.agent
    scene.relay.welcome_as = lambda hello, welcome: replaced(welcome, version=0)
    scene.relay.agents[scene.alpha.machine_id].close("the relay is started anew")
    agent.until_offline()
    scene.relay.honest()
    agent.until_online(agent._online + 1)


def test_a_machine_that_is_said_to_be_offline_is_said_so(scene: Scene) -> None:
    scene.relay.list_as = lambda record: replaced(record, online=False)
    assert Victim().error().sentence == 'machine "alpha" is offline'


@pytest.mark.parametrize("online", [True, False])
def test_the_relay_answers_for_a_machine_that_is_not_there(scene: Scene, online: bool) -> None:
    def refuse(connection: Connection, stream: int, opened: Open) -> bool:
        connection.send(control(Closed("machine-offline", "last heard 3 s ago"), stream))
        return True

    scene.relay.list_as = lambda record: replaced(record, online=online)
    scene.relay.on_open = refuse
    assert type(Victim().error()) is MachineOffline


def test_names_that_are_exchanged_lead_to_the_other_machine_of_one_s_own(scene: Scene) -> None:
    """This a relay can do, as docs/security.md says; it is no wiser for it."""
    names = {"alpha": "beta", "beta": "alpha"}
    scene.relay.list_as = lambda record: replaced(record, name=names[record.name])
    victim = Victim("alpha")
    assert victim.attached()
    victim.terminal.press(TYPED)
    scene.beta.machine.ptys[-1].until(lambda pty: pty.typed.endswith(TYPED))
    victim.leave()
    assert not any(TYPED in message for message in scene.relay.seen)


EVIL = "\x1b]52;c;ZXZpbA==\x07\r\n[connect] attached\u202e\x9b31m"


@pytest.mark.parametrize("code", ["", "machine-offline", "wrong-password", "seal-refused", "timed-out", EVIL])
def test_words_of_the_relay_cannot_paint_the_terminal(scene: Scene, code: str) -> None:
    def refuse(connection: Connection, stream: int, opened: Open) -> bool:
        connection.send(control(Closed(code, EVIL), stream))
        return True

    scene.relay.list_as = lambda record: replaced(record, name=record.name + EVIL, hostname=f"host-of-{record.name}")
    scene.relay.on_open = refuse
    error = Victim("host-of-alpha").error()
    assert (error.sentence + error.next_step).isprintable()


INJECTED = {
    "Closed": lambda stream: control(Closed(), stream),
    "Closed with a code": lambda stream: control(Closed("wrong-password", "no"), stream),
    "the key is refused": lambda stream: control(Closed("key-refused", "it was revoked")),
    "Goodbye": lambda stream: control(Goodbye(), stream),
    "Welcome again": lambda stream: control(Welcome(0, "hostile", "home", "eve", "admin")),
    "Hello": lambda stream: control(Hello(1, "hostile", "client"), stream),
    "Machines": lambda stream: control(Machines(())),
    "Open": lambda stream: control(Open("8f23a4b0-0000-4000-8000-000000000001", "operator"), stream),
    "no frame": lambda stream: b"",
    "half a header": lambda stream: b"\x02\0\0",
    "an unknown kind": lambda stream: encode_frame(5, stream, b"x"),
    "no msgpack": lambda stream: encode_frame(FrameKind.CONTROL, stream, b"\xc1"),
    "deep msgpack": lambda stream: encode_frame(FrameKind.CONTROL, stream, b"\x91" * 60000),
    "a wrong field": lambda stream: encode_frame(FrameKind.CONTROL, stream, b"\x81\xa2is\xa7Welcome"),
    "noise": lambda stream: encode_frame(FrameKind.SEALED, stream, os.urandom(60)),
}
each_injection = pytest.mark.parametrize("make", INJECTED.values(), ids=[name.replace(" ", "-") for name in INJECTED])


@each_injection
def test_what_the_relay_injects_ends_no_session_in_good_order(scene: Scene, make: Callable[[int], bytes]) -> None:
    """To the client, who is attached: at most an error, never the session's end or output of it."""
    victim = Victim()
    assert victim.attached()
    scene.relay.down = True  # whoever dials again finds nobody
    joint = scene.relay.joints[-1]
    shown = scene.alpha.machine.ptys[-1]
    joint.send(Way.TO_CLIENT, make(joint.client_stream))
    shown.print(SHOWN)
    victim.terminal.press(b"\x04")
    outcome = victim.outcome()
    assert not isinstance(outcome, Failed) or outcome.error.sentence.isprintable()
    scene.relay.down = False


@each_injection
def test_what_the_relay_injects_ends_no_agent(scene: Scene, make: Callable[[int], bytes]) -> None:
    """A stream, or the connection: then it dials again. The sessions stay."""
    victim = Victim()
    assert victim.attached()
    sessions = [session["session_id"] for session in scene.alpha.agent.service.status()["sessions"]]
    joint = scene.relay.joints[-1]
    before = scene.alpha.machine.typed
    joint.send(Way.TO_AGENT, make(joint.agent_stream))
    scene.relay.until_dealt_with(joint, Way.TO_AGENT)
    victim.terminal.press(b"\x04")
    victim.outcome()
    assert scene.alpha.machine.typed == before
    assert [one["session_id"] for one in scene.alpha.agent.service.status()["sessions"]] == sessions


def test_what_is_held_back_takes_effect_late_but_in_order_and_once(scene: Scene) -> None:
    """This a relay can do, as docs/security.md says."""
    held: list[tuple[Joint, bytes]] = []

    def hold(joint: Joint, way: Way, number: int, message: bytes) -> Iterable[bytes]:
        if way is Way.TO_AGENT and number >= 3:
            held.append((joint, message))
            return []
        return [message]

    before = scene.alpha.machine.typed
    scene.relay.tamper = hold
    victim = Victim()
    assert victim.attached()
    victim.terminal.press(b"one", b"two")
    scene.relay.until_seen(scene.relay.joints[-1], Way.TO_AGENT, 5)
    assert scene.alpha.machine.typed == before
    scene.relay.tamper = pass_on
    for joint, message in held:
        joint.send(Way.TO_AGENT, message)
    scene.alpha.machine.ptys[-1].until(lambda pty: pty.typed.endswith(b"onetwo"))
    assert scene.alpha.machine.typed == before + b"onetwo"
    victim.leave()


def test_a_relay_that_always_refuses_the_way_back_never_ends_a_session(scene: Scene) -> None:
    """A connection is cut; on the next one the relay plays the machine."""
    impostor = Impostor(scene)
    victim = Victim()
    assert victim.attached()
    scene.relay.on_open = impostor.answer
    scene.relay.joints[-1].client.close("cut")
    assert type(victim.error()) is MachineChanged
    assert len(impostor.heard) == 1
