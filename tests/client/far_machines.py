"""A relay and several machines behind it that answer calls as the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from cmdop.auth.keys import ApiKey, new_workspace_key
from cmdop.client.link import RelayLink
from cmdop.errors import ConnectionClosed, SealRefused
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.transport.connection import Connection
from cmdop.transport.memory import memory_pair
from cmdop.wire.call_messages import CALL_MESSAGES, SessionRecord
from cmdop.wire.frame import CONNECTION_STREAM, Frame, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.record import RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed, MachineRecord, Open, SessionSummary, Welcome
from cmdop.wire.session_messages import SESSION_MESSAGES

KEY = new_workspace_key()
MACHINE_KEY = b"m" * 32
Answer = Callable[[Message], Message | None]


def machine(number: int, session: str = "", online: bool = True) -> MachineRecord:
    """A machine as the relay knows it, with that session or none."""
    summary = SessionSummary(session, "anna", 0) if session else None
    machine_id = f"8f23a4b0-0000-4000-8000-{number:012d}"
    return MachineRecord(machine_id, f"host-{number}", f"name-{number}", online, 1.0, 1.0, session=summary)


def record(session_id: str) -> SessionRecord:
    return SessionRecord(session_id, "anna", 1.0, 24, 80, command="vim")


class FarMachines:
    """The relay, and by machine id what a machine answers to a call; one without is silent.

    `dial` makes a connection to it, which is served by a thread of its own.
    """

    def __init__(self, answers: dict[str, Answer], key: ApiKey = KEY, machines: Sequence[MachineRecord] = ()) -> None:
        self.answers, self.key, self.machines = answers, key, tuple(machines)
        self.closed_with: dict[str, Closed] = {}
        """Machines that the relay does not let one open, and why."""
        self.opened: list[str] = []
        self.frames: list[Frame] = []
        self.most_under_way = 0
        self.connections: list[_Served] = []

    def dial(self) -> RelayLink:
        ours, theirs = memory_pair()
        self.connections.append(_Served(self, theirs))
        return RelayLink(ours, "ws://relay")


class _Served:
    """One connection."""

    def __init__(self, far: FarMachines, connection: Connection) -> None:
        self.connection = connection
        self.ended = threading.Event()
        self._far, self._under_way = far, 0
        self._machines: dict[int, str] = {}
        self._shaking: dict[int, Handshake] = {}
        self._channels: dict[int, Channel] = {}
        self.send(CONNECTION_STREAM, Welcome(1, "test", "home", "anna", "operator", machines=far.machines))
        threading.Thread(target=self._serve, name="test relay", daemon=True).start()

    def send(self, stream: int, message: Message) -> None:
        self.connection.send(encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message)))

    def _serve(self) -> None:
        try:
            while True:
                frame = decode_frame(self.connection.receive())
                self._far.frames.append(frame)
                self._take(frame)
        except ConnectionClosed:
            self.ended.set()

    def _take(self, frame: Frame) -> None:
        if frame.kind == FrameKind.CONTROL:
            message = RELAY_MESSAGES.decode(frame.payload)
            if isinstance(message, Open):
                self._open(frame.stream, message)
            elif isinstance(message, Closed) and frame.stream in self._machines:
                self._under_way -= 1
        elif frame.kind == FrameKind.SEALED and frame.stream in self._shaking:
            self._shake(frame.stream, frame.payload)
        elif frame.kind == FrameKind.SEALED and frame.stream in self._channels:
            channel = self._channels[frame.stream]
            call = CALL_MESSAGES.decode(decode_record(channel.open(frame.payload)).payload)
            self._say(frame.stream, channel, self._far.answers[self._machines[frame.stream]](call))

    def _open(self, stream: int, message: Open) -> None:
        assert stream > max(self._machines, default=0), "a relay takes them in order"
        far, self._machines[stream] = self._far, message.machine_id
        far.opened.append(message.machine_id)
        self._under_way += 1
        far.most_under_way = max(far.most_under_way, self._under_way)
        if message.machine_id in far.closed_with:
            self.send(stream, far.closed_with[message.machine_id])
        elif message.machine_id in far.answers:
            role = far.key.role.attaches_as
            psk = far.key.machine_psk(role, message.machine_id)
            bound = prologue(message.machine_id, role.value)
            self._shaking[stream] = Handshake(False, MACHINE_KEY, psk, bound, "the client")

    def _shake(self, stream: int, payload: bytes) -> None:
        handshake = self._shaking[stream]
        try:
            handshake.read(payload)
        except SealRefused as error:
            del self._shaking[stream]
            self.send(stream, Closed(error.code, error.sentence))
            return
        if handshake.finished:
            del self._shaking[stream]
            self._channels[stream] = handshake.channel()
        else:
            self.connection.send(encode_frame(FrameKind.SEALED, stream, handshake.write()))

    def _say(self, stream: int, channel: Channel, answer: Message | None) -> None:
        if answer is None:
            return
        codec = CALL_MESSAGES if type(answer) in CALL_MESSAGES.kinds else SESSION_MESSAGES
        sealed = channel.seal(encode_record(RecordKind.CONTROL, 0, codec.encode(answer)))
        self.connection.send(encode_frame(FrameKind.SEALED, stream, sealed))
