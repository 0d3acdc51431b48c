"""One machine that is asked for its sessions: what to send it, and what it says to that. It sends nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cmdop.auth.keys import ApiKey
from cmdop.auth.known_machines import Sighting
from cmdop.client.calls import JUDGED_SECONDS, METHOD, answer_in
from cmdop.client.link import MachineCheck
from cmdop.client.passwords import MachinePass, Offer, Passwords
from cmdop.client.refusal import refusal
from cmdop.client.resolver import display_name
from cmdop.deadline import Deadline
from cmdop.errors import (
    CmdopError,
    PasswordRefused,
    RemoteProtocolError,
    TokenMissing,
)
from cmdop.limits import AUTH_TIMEOUT_SECONDS, OPEN_TIMEOUT_SECONDS, SESSIONS_MAX
from cmdop.seal.noise import Channel, Handshake, prologue
from cmdop.wire.call_messages import CALL_MESSAGES, Authenticate, ListSessions, SessionRecord, Sessions
from cmdop.wire.frame import FrameKind, encode_frame
from cmdop.wire.message import Message, padded
from cmdop.wire.record import RecordKind, decode_record, encode_record
from cmdop.wire.relay_messages import RELAY_MESSAGES, MachineRecord, Open
from cmdop.wire.session_messages import AuthSuccess, Refused


@dataclass(frozen=True)
class Asker:
    """Who asks: the key, this device's static key, which machines are known, and what is
    said to those that have a password."""

    key: ApiKey
    device_key: bytes = field(repr=False)
    known: MachineCheck
    passwords: Passwords | None = None


class Question:
    """One machine that is being asked: from the first handshake message to its last session."""

    def __init__(self, machine: MachineRecord, stream_id: int, asker: Asker, of_machine_only: bool) -> None:
        self.machine, self.stream_id = machine, stream_id
        self.host = display_name(machine)
        passwords = asker.passwords or Passwords()
        self._shown = MachinePass(passwords, machine.machine_id, asker.key.key_id, self.host, of_machine_only)
        self._offers: Iterator[Offer] | None = None
        self._offer: Offer | None = None
        """The password that was told last."""
        self.records: list[SessionRecord] = []
        self._wait(OPEN_TIMEOUT_SECONDS)
        self._role = asker.key.role.attaches_as.value
        psk = asker.key.machine_psk(asker.key.role.attaches_as, machine.machine_id)
        bound = prologue(machine.machine_id, self._role)
        self._handshake = Handshake(True, asker.device_key, psk, bound, f"the machine {self.host}")
        self._known = asker.known
        self._channel: Channel | None = None
        self.proven: Sighting | None = None
        """The machine, once it has proved that it is one of this workspace."""

    def opening(self) -> list[bytes]:
        """What begins it: two frames."""
        return [
            control_frame(self.stream_id, Open(self.machine.machine_id, self._role)),
            encode_frame(FrameKind.SEALED, self.stream_id, self._handshake.write()),
        ]

    def sealed(self, payload: bytes) -> list[bytes] | None:
        """What to send on a SEALED frame; None once everything is told. Raises CmdopError."""
        if self._channel is None:
            self._handshake.read(payload)
            self._known.check(self._seen)  # before it is told anything of ours
            third = encode_frame(FrameKind.SEALED, self.stream_id, self._handshake.write())
            self._channel = self._handshake.channel()
            return [third, self._ask(self._channel)]
        record = decode_record(self._channel.open(payload))
        self.proven = self._seen
        answer = answer_in(record.payload) if record.kind == RecordKind.CONTROL else None
        if answer is None:
            return []
        if isinstance(answer, Refused):
            return [self._prove(self._channel, refusal(answer, self.host))]
        if isinstance(answer, AuthSuccess) and self._offer is not None:
            self._shown.right(self._offer, answer)
            return [self._ask(self._channel)]
        if not isinstance(answer, Sessions):
            raise RemoteProtocolError(reason=f"{type(answer).__name__} for an answer to ListSessions")
        self.records += answer.sessions
        if not answer.more:
            return None
        if not answer.sessions or len(self.records) > SESSIONS_MAX:
            raise RemoteProtocolError(reason="sessions without end")
        return [self._ask(self._channel)]

    @property
    def _seen(self) -> Sighting:
        return Sighting(self.machine.machine_id, self.machine.name, self._handshake.remote_static)

    def _ask(self, channel: Channel) -> bytes:
        """Ask for the sessions that were not told yet."""
        self._wait(AUTH_TIMEOUT_SECONDS)
        return self._call(channel, ListSessions(len(self.records), self._shown.token))

    def _prove(self, channel: Channel, refused: CmdopError) -> bytes:
        """Tell the next password. Raises why it refused when there is none, or it is about something else."""
        if isinstance(refused, TokenMissing) and self._offers is None:
            self._offers = self._shown.offers()
        elif isinstance(refused, PasswordRefused) and self._offer is not None:
            self._shown.wrong(self._offer)
        else:
            raise refused
        self._offer = next(self._offers, None) if self._offers is not None else None
        if self._offer is None:
            raise refused
        self._wait(JUDGED_SECONDS)
        return self._call(channel, padded(Authenticate(METHOD, self._offer.text)))

    def _wait(self, seconds: float) -> None:
        """It has so long to answer, from now on."""
        self.patience_seconds = seconds
        self.deadline = Deadline(seconds)

    def _call(self, channel: Channel, call: Message) -> bytes:
        sealed = channel.seal(encode_record(RecordKind.CONTROL, 0, CALL_MESSAGES.encode(call)))
        return encode_frame(FrameKind.SEALED, self.stream_id, sealed)


def control_frame(stream: int, message: Message) -> bytes:
    """A message for the relay about a stream."""
    return encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message))
