"""What the relay does with one connection, from its first message to its end.

What may be said when is `_MAY_SAY`; whatever is not in it breaks the protocol, and
whoever breaks it is closed and nobody else.
"""

from __future__ import annotations

import contextlib
import logging
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cmdop import __version__
from cmdop.auth.keys import Role
from cmdop.errors import (
    CmdopError,
    ConnectionClosed,
    EnrollmentRefused,
    NoSuchRecord,
    RemoteProtocolError,
    RoleTooLow,
    StoreUnusable,
)
from cmdop.limits import (
    AGENT_BACKLOG_MAX_BYTES,
    HEARTBEAT_INTERVAL_SECONDS,
    MESSAGE_MAX_BYTES,
    PING_INTERVAL_SECONDS,
    PING_MAX_BYTES,
    PROTOCOL_VERSION,
    QUESTIONS_PER_SECOND_MAX,
    RECORD_INTERVAL_SECONDS,
    SESSIONS_MAX,
    UPLINK_LOW_WATER_BYTES,
)
from cmdop.relay.board import Board
from cmdop.relay.directory import Directory
from cmdop.relay.enrollment import enroll, take_up
from cmdop.relay.gate import NOT_ENROLLED, Gate
from cmdop.relay.key_desk import KeyDesk
from cmdop.relay.names import check_heard
from cmdop.relay.pace import Pace
from cmdop.relay.peer import Peer, Stage
from cmdop.relay.recorder import Recorder
from cmdop.store.interface import Heard, Store
from cmdop.wire.frame import CONNECTION_STREAM, FRAME_OVERHEAD_BYTES, FrameKind, decode_frame, encode_frame
from cmdop.wire.message import Message, Unknown
from cmdop.wire.relay_messages import (
    RELAY_MESSAGES,
    AddKey,
    Closed,
    Goodbye,
    Heartbeat,
    Hello,
    ListKeys,
    ListMachines,
    Machines,
    Open,
    RevokeKey,
    Welcome,
)

_LOG = logging.getLogger(__name__)
_HEADER = struct.Struct("!BI")
"""That of wire.frame: read here without copying the payload, which is only passed on."""
_SEALED: Final = int(FrameKind.SEALED)


@dataclass(frozen=True)
class Services:
    """What all conversations of a relay share."""

    store: Store
    gate: Gate
    board: Board
    directory: Directory
    recorder: Recorder
    desk: KeyDesk


class _Farewell(Exception):
    """Ends the conversation with a word to the peer; raised on its own thread."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.reason)
        self.closed = closed


class Conversation:
    """One connection, served on the thread that calls `run`.

    `wants_list` tells that the upgrade request asked for the list of machines, which
    only a client does.
    """

    def __init__(self, peer: Peer, services: Services, *, wants_list: bool = False) -> None:
        self._peer, self._services, self._board = peer, services, services.board
        self._wants_list = wants_list
        self._pace = Pace(QUESTIONS_PER_SECOND_MAX)

    def run(self) -> None:
        """Serve until the connection ends, whoever ends it. No exception leaves it.

        Blocks in `receive` of the connection, and is woken by its end.
        """
        try:
            self._converse()
        except ConnectionClosed as end:
            self._end(None, self._peer.why or end.details.get("reason", ""))
        except _Farewell as farewell:
            self._end(farewell.closed, farewell.closed.reason)
        except (RemoteProtocolError, StoreUnusable) as error:
            # What is wrong with our own records is not for strangers.
            said = error.sentence if isinstance(error, RemoteProtocolError) else "the relay cannot use its records"
            self._end(Closed(error.code, said), error.sentence)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends one connection and no more
            _LOG.exception("%s: a mistake in cmdop", self._peer)
            self._end(Closed("unexpected", "something unexpected went wrong in the relay"), str(error))

    def _converse(self) -> None:
        peer = self._peer
        refused = self._board.enter(peer)
        if refused is not None:
            raise _Farewell(refused)
        self._need_valid()
        if peer.caller.key_id:
            self._services.recorder.key_used(peer.caller.key_id, self._board.unix_now())
        if self._welcomed_at_once:
            self._welcome()
        while not peer.greeted:
            self._hear(peer.connection.receive())
        _LOG.info("%s connected", peer)
        self._forward()

    def _need_valid(self) -> None:
        """Ends the conversation of a caller whose credential was withdrawn."""
        withdrawn = self._services.gate.gone(self._peer.caller)
        if withdrawn is not None:
            raise _Farewell(Closed(withdrawn.code, withdrawn.reason))

    def _forward(self) -> None:
        """Pass sealed frames on; everything else is heard. The one place where speed counts."""
        peer, receive, now = self._peer, self._peer.connection.receive, self._board.now
        find = peer.far.get
        # A client may be held up by another's slowness; a machine, which serves others too, may not.
        # Below the low water there is room, however small the messages are.
        sure: float = UPLINK_LOW_WATER_BYTES if peer.stage is Stage.CLIENT else math.inf
        while True:
            message = receive()
            if not FRAME_OVERHEAD_BYTES <= len(message) <= MESSAGE_MAX_BYTES or message[0] != _SEALED:
                self._hear(message)
                continue
            peer.heard = now()
            stream = _HEADER.unpack_from(message)[1]
            far = find(stream)
            if far is not None and far.connection.connection.backlog_bytes > sure:
                self._wait_for_room(far.connection)
                far = find(stream)
            if far is None:  # its Closed is under way, or it never was
                continue
            try:
                far.connection.connection.send(far.header + memoryview(message)[FRAME_OVERHEAD_BYTES:])
            except ConnectionClosed:
                self._board.cut(far.connection)

    def _wait_for_room(self, machine: Peer) -> None:
        """Take nothing from this client until its machine takes more, so that whoever sends too much is held up.

        Blocks until the machine's connection goes on, or ends. The client hears meanwhile that
        the relay is there, and that nothing is heard of it is not its fault.
        """
        while not machine.connection.wait_for_room(AGENT_BACKLOG_MAX_BYTES, PING_INTERVAL_SECONDS):
            if self._peer.ending:
                return
            self._peer.heard = self._board.now()
            self._board.ping(self._peer)

    # -- what the peer says -----------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        """Act on a message that is not simply passed on."""
        self._peer.heard = self._board.now()
        if len(message) > MESSAGE_MAX_BYTES:
            raise RemoteProtocolError(reason=f"a message of {len(message)} bytes")
        kind, stream, payload = decode_frame(message)
        if kind == FrameKind.CONTROL:
            self._hear_control(stream, payload)
        elif kind in (FrameKind.PING, FrameKind.PONG):
            if stream != CONNECTION_STREAM or len(payload) > PING_MAX_BYTES:
                raise RemoteProtocolError(reason="a ping that is none")
            if kind == FrameKind.PING:
                self._board.send(self._peer, encode_frame(FrameKind.PONG, CONNECTION_STREAM, payload))

    def _hear_control(self, stream: int, payload: bytes) -> None:
        message = RELAY_MESSAGES.decode(payload)
        if isinstance(message, Unknown):
            return
        act = _MAY_SAY.get((self._peer.stage, type(message), stream == CONNECTION_STREAM))
        if act is None:
            stage, name = self._peer.stage.value, type(message).__name__
            raise RemoteProtocolError(reason=f"{name} on stream {stream} of a connection that is {stage}")
        act(self, stream, message)

    def _on_hello(self, _stream: int, hello: Hello) -> None:
        if hello.role not in ("client", "agent"):
            raise RemoteProtocolError(reason="a role that is neither client nor agent")
        if hello.version != PROTOCOL_VERSION:
            reason = f"the relay speaks cmdop protocol {PROTOCOL_VERSION}, and this {hello.role} speaks {hello.version}"
            raise _Farewell(Closed("version-mismatch", reason))
        try:
            if hello.role == "client":
                self._greet_client()
            else:
                self._greet_agent(hello)
        except (RoleTooLow, EnrollmentRefused) as error:
            said = error.sentence if isinstance(error, RoleTooLow) else str(error.details["reason"])
            raise _Farewell(Closed(error.code, said)) from error
        except NoSuchRecord as error:
            raise _Farewell(Closed("not-enrolled", NOT_ENROLLED)) from error

    def _greet_client(self) -> None:
        _ = self._peer.caller.role.attaches_as  # raises where that is none
        self._board.seat_client(self._peer)
        if not self._welcomed_at_once:
            self._welcome()

    def _greet_agent(self, hello: Hello) -> None:
        peer, token = self._peer, ""
        if self._wants_list:
            raise RemoteProtocolError(reason="an agent that asks for the list of machines")
        if peer.caller.machine_id:
            take_up(self._services.store, peer.caller, hello)
        else:
            token = enroll(self._services.store, peer.caller, hello, self._board.unix_now())
        assert hello.machine is not None
        self._board.seat_agent(peer, hello.machine.machine_id)
        # Only now does a removal find this connection: one that came before is seen here.
        if self._services.store.machine(peer.machine_id) is None:
            raise NoSuchRecord(kind="machine", name=peer.machine_id)
        if token:
            self._welcome(token)

    def _on_list(self, _stream: int, _message: ListMachines) -> None:
        self._need_pace()
        machines = self._directory_now()
        self._board.say(self._peer, CONNECTION_STREAM, Machines(machines))

    def _on_keys(self, _stream: int, asked: AddKey | ListKeys | RevokeKey) -> None:
        self._need_pace()
        self._need_valid()  # a revocation may be on its way to this connection
        self._board.say(self._peer, CONNECTION_STREAM, self._services.desk.answer(self._peer, asked))
        if isinstance(asked, RevokeKey):  # it may have been this one's
            self._need_valid()

    def _need_pace(self) -> None:
        if not self._pace.keeps(self._board.now()):
            raise RemoteProtocolError(reason=f"more than {QUESTIONS_PER_SECOND_MAX} questions in a second")

    def _on_open(self, stream: int, asked: Open) -> None:
        caller = self._peer.caller
        refused = self._refusal(asked)
        if refused is not None:
            self._board.refuse(self._peer, stream, refused)
            _LOG.info("%s refused to open %s: %s", self._peer, asked.machine_id, refused.reason)
            return
        machine = self._board.machine(asked.machine_id)
        if machine is not None:
            self._wait_for_room(machine)
        request = Open(asked.machine_id, asked.role, caller.operator, caller.key_id, self._peer.connection.remote)
        self._board.open(self._peer, stream, request)

    def _refusal(self, asked: Open) -> Closed | None:
        """Why a client's Open is not passed on, or None."""
        highest = self._peer.caller.role.attaches_as
        if asked.role not in (Role.OPERATOR.value, Role.OBSERVER.value):
            return Closed("role-too-low", "there is no such role on a machine")
        if asked.role == Role.OPERATOR.value and highest is not Role.OPERATOR:
            error = RoleTooLow(what="typing into a session", needed=asked.role, role=self._peer.caller.role.value)
            return Closed(error.code, error.sentence)
        if self._board.reachable(self._peer, asked.machine_id):
            return None
        try:
            absence = self._services.directory.absence(
                self._peer.caller.workspace, asked.machine_id, self._board.now(), self._board.unix_now()
            )
        except StoreUnusable as error:
            return Closed(error.code, "the relay cannot use its records")
        return None if absence is None else Closed(*absence)

    def _on_closed_stream(self, stream: int, closed: Closed) -> None:
        self._board.close_stream(self._peer, stream, closed)

    def _on_closed(self, _stream: int, closed: Closed) -> None:
        raise ConnectionClosed(reason=closed.reason or "it left")

    def _on_heartbeat(self, _stream: int, heartbeat: Heartbeat) -> None:
        peer = self._peer
        if len(heartbeat.sessions) > SESSIONS_MAX:
            raise RemoteProtocolError(reason=f"{len(heartbeat.sessions)} sessions on one machine")
        session = heartbeat.sessions[0] if heartbeat.sessions else None
        if session is not None:
            check_heard("operator", session.operator)
        self._board.heartbeat(peer, session)
        if peer.heard - peer.recorded >= RECORD_INTERVAL_SECONDS:
            peer.recorded = peer.heard
            heard = Heard(self._board.unix_now(), stopped_cleanly=False)
            self._services.recorder.machine_heard(peer.machine_id, heard)

    def _on_late_heartbeat(self, _stream: int, _heartbeat: Heartbeat) -> None:
        """It crossed the goodbye, and changes nothing any more."""

    def _on_goodbye(self, _stream: int, _goodbye: Goodbye) -> None:
        self._board.goodbye(self._peer)

    # -- what the relay says ----------------------------------------------------------------

    @property
    def _welcomed_at_once(self) -> bool:
        """Whether the Welcome needs not wait for the Hello.

        It does when the peer may turn out to be an agent that is to be enrolled: the
        token goes into the same message.
        """
        caller = self._peer.caller
        if caller.machine_id or caller.role in (Role.OPERATOR, Role.OBSERVER):
            return True
        return caller.role is Role.ADMIN and self._wants_list

    def _welcome(self, machine_token: str = "") -> None:
        caller = self._peer.caller
        listed = self._wants_list and caller.role is not Role.AGENT
        welcome = Welcome(
            version=PROTOCOL_VERSION,
            software=f"cmdop/{__version__}",
            workspace=caller.workspace,
            operator=caller.operator,
            role=caller.role.value,
            key_id=caller.key_id,
            heartbeat_interval_seconds=HEARTBEAT_INTERVAL_SECONDS,
            machine_token=machine_token,
            machines=self._directory_now() if listed else None,
        )
        self._board.say(self._peer, CONNECTION_STREAM, welcome)

    def _directory_now(self) -> tuple[Any, ...]:
        workspace = self._peer.caller.workspace
        return self._services.directory.machines(workspace, self._board.now(), self._board.unix_now())

    def _end(self, closed: Closed | None, why: str) -> None:
        """Tell everybody whom it concerns, and give the connection back."""
        peer = self._peer
        _LOG.info("%s %s: %s", peer, "disconnected" if peer.greeted else "turned away", why)
        self._board.unseat(peer)
        if closed is not None:
            self._board.say(peer, CONNECTION_STREAM, closed)
        peer.connection.close(why)
        # A connection is given back by the thread that receives, when it learns of the end.
        with contextlib.suppress(CmdopError):
            while True:
                peer.connection.receive()
        self._board.leave(peer)


_Act = Callable[[Conversation, int, Any], None]
_MAY_SAY: Final[Mapping[tuple[Stage, type[Message], bool], _Act]] = {
    # stage, message, whether on stream 0
    (Stage.GREETING, Hello, True): Conversation._on_hello,
    (Stage.GREETING, Closed, True): Conversation._on_closed,
    (Stage.CLIENT, ListMachines, True): Conversation._on_list,
    (Stage.CLIENT, AddKey, True): Conversation._on_keys,
    (Stage.CLIENT, ListKeys, True): Conversation._on_keys,
    (Stage.CLIENT, RevokeKey, True): Conversation._on_keys,
    (Stage.CLIENT, Open, False): Conversation._on_open,
    (Stage.CLIENT, Closed, False): Conversation._on_closed_stream,
    (Stage.CLIENT, Closed, True): Conversation._on_closed,
    (Stage.AGENT, Heartbeat, True): Conversation._on_heartbeat,
    (Stage.AGENT, Goodbye, True): Conversation._on_goodbye,
    (Stage.AGENT, Closed, False): Conversation._on_closed_stream,
    (Stage.AGENT, Closed, True): Conversation._on_closed,
    (Stage.LEAVING, Heartbeat, True): Conversation._on_late_heartbeat,
    (Stage.LEAVING, Closed, False): Conversation._on_closed_stream,
    (Stage.LEAVING, Closed, True): Conversation._on_closed,
}
