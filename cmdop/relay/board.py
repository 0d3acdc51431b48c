"""Who is connected right now: the relay's shared state, and its one lock.

The lock is never held while anything is sent, so the messages that a change calls for
are sent after it; those of one stream in one direction come from one thread, which
keeps them in order.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from cmdop.deadline import Deadline
from cmdop.errors import ConnectionClosed, TooManyConnections
from cmdop.limits import AGENT_QUEUE_MAX_BYTES, KEY_CONNECTIONS_MAX
from cmdop.relay.peer import Peer, Stage
from cmdop.relay.presence import Presence
from cmdop.relay.recorder import Recorder
from cmdop.relay.router import Router, Send
from cmdop.store.interface import Heard
from cmdop.wire.frame import CONNECTION_STREAM, FrameKind, encode_frame
from cmdop.wire.message import Message
from cmdop.wire.relay_messages import RELAY_MESSAGES, Closed, Open, SessionSummary

_PING = encode_frame(FrameKind.PING, CONNECTION_STREAM, b"relay")

Clock = Callable[[], float]

STOPPING = Closed("relay-stopping", "the relay is stopping")
CLIENT_LEFT = Closed("connection-closed", "the client's connection ended")


class Board:
    """Connections, presence and joins. Usable from any thread; nothing here blocks.

    `presence` may be asked without the lock: what it keeps of a machine is replaced
    whole.
    """

    def __init__(self, recorder: Recorder, now: Clock = time.monotonic, unix_now: Clock = time.time) -> None:
        self._recorder, self.now, self.unix_now = recorder, now, unix_now
        # Guards the router, changes of presence, the sets of peers, `Peer.ending` and
        # `_stopping`; told when a peer is gone.
        self._lock = threading.Condition()
        self._router: Router[Peer] = Router()
        self._peers: set[Peer] = set()
        self._of: defaultdict[str, set[Peer]] = defaultdict(set)
        """Id of a key, or of a machine that came with its own token -> its connections. Those of machines
        that have just been enrolled with a key are not the key's."""
        self._stopping = False
        self.presence = Presence()

    # -- coming and going -----------------------------------------------------------------

    def enter(self, peer: Peer) -> Closed | None:
        """Count a connection in; or what to tell it when it may not be."""
        with self._lock:
            if self._stopping:
                return STOPPING
            if len(self._of.get(peer.caller.credential, ())) >= KEY_CONNECTIONS_MAX:
                error = TooManyConnections(most=KEY_CONNECTIONS_MAX)
                return Closed(error.code, error.sentence)
            self._peers.add(peer)
            self._of[peer.caller.credential].add(peer)
        return None

    def seat_client(self, peer: Peer) -> None:
        """A client has said hello. Raises ConnectionClosed when it is being ended."""
        with self._lock:
            self._need_staying(peer)
            peer.far = self._router.add_client(peer, peer.caller.workspace)
            peer.stage = Stage.CLIENT

    def seat_agent(self, peer: Peer, machine_id: str) -> None:
        """An agent has said hello: it is online, and replaces an older connection of its machine."""
        now = self.now()
        with self._lock:
            self._need_staying(peer)
            older = self._router.agent(machine_id)
        if older is not None:
            self.dismiss(
                older,
                Closed("connection-closed", f"it was replaced by a newer one, from {peer.connection.remote}"),
                Closed("machine-offline", "its agent has just connected anew"),
            )
        with self._lock:
            self._need_staying(peer)
            if self._router.agent(machine_id) is not None:
                raise ConnectionClosed(reason="a newer connection of this machine was faster")
            peer.machine_id = machine_id
            peer.far = self._router.add_agent(peer, peer.caller.workspace, machine_id)
            peer.stage = Stage.AGENT
            peer.connection.queue_max_bytes = AGENT_QUEUE_MAX_BYTES
            if peer.caller.key_id:
                self._uncount(peer)
            self.presence.hello(machine_id, now)
        self._recorder.machine_heard(machine_id, Heard(self.unix_now(), stopped_cleanly=False))

    def unseat(self, peer: Peer, far_closed: Closed | None = None) -> None:
        """End all that a connection had: its joins, whose other sides are told, and its presence.

        `far_closed` is what they are told, if it is not what they would be told of any
        client or agent that has left. Twice is quiet.
        """
        with self._lock:
            sends, heard = self._unseat(peer, far_closed)
        self._after_unseating(peer, sends, heard)

    def leave(self, peer: Peer) -> None:
        """Count a connection out, as the last act of its thread."""
        with self._lock:
            self._peers.discard(peer)
            self._uncount(peer)
            self._lock.notify_all()

    def dismiss(self, peer: Peer, closed: Closed, far_closed: Closed | None = None) -> None:
        """End somebody's connection: nothing of it is passed on from now on.

        The connection is told why and closed on a thread of its own (`closing REMOTE`),
        which waits up to CLOSE_TIMEOUT_SECONDS for one that does not read.
        """
        with self._lock:
            first = peer.end(closed.reason)
            sends, heard = self._unseat(peer, far_closed)
        if first:
            self.say(peer, CONNECTION_STREAM, closed)
            self._close_aside(peer, closed.reason)
        self._after_unseating(peer, sends, heard)

    def dismiss_all(self, closed: Closed) -> None:
        """The relay stops: nobody enters any more, and everybody is told and closed.

        All are told before the first is closed, and nobody of the ends of the others.
        """
        with self._lock:
            self._stopping = True
            peers = [peer for peer in self._peers if not peer.ending]
            notes = []
            for peer in peers:
                peer.end(closed.reason)
                notes.append((peer, self._unseat(peer, None)[1]))
        for peer in peers:
            self.say(peer, CONNECTION_STREAM, closed)
        for peer, heard in notes:
            self._after_unseating(peer, [], heard)
            self._close_aside(peer, closed.reason)

    def forget(self, machine_id: str) -> None:
        """A machine was removed: nothing is known of it any more."""
        with self._lock:
            self.presence.forget(machine_id)

    def wait_until_left(self, peers: Iterable[Peer], deadline: Deadline) -> bool:
        """Block until all of them have left; False when the deadline passed before."""
        waited_for = set(peers)
        with self._lock:
            return self._lock.wait_for(lambda: not waited_for & self._peers, deadline.remaining_seconds)

    def peers(self, wanted: Callable[[Peer], bool] = lambda _: True) -> list[Peer]:
        """The connections that are wanted."""
        with self._lock:
            return [peer for peer in self._peers if wanted(peer)]

    def peers_with_key(self, key_id: str) -> list[Peer]:
        """The connections of a key, but those of machines that it enrolled."""
        with self._lock:
            return list(self._of.get(key_id, ()))

    # -- what they do ---------------------------------------------------------------------

    def heartbeat(self, peer: Peer, session: SessionSummary | None) -> None:
        """An agent lives."""
        with self._lock:
            if self._router.agent(peer.machine_id) is peer:
                self.presence.heartbeat(peer.machine_id, self.now(), session)

    def goodbye(self, peer: Peer) -> None:
        """An agent stops cleanly: offline at once, its streams go on until its connection ends."""
        with self._lock:
            if self._router.agent(peer.machine_id) is not peer:
                return
            self.presence.goodbye(peer.machine_id, self.now())
            peer.stage = Stage.LEAVING
        self._recorder.machine_heard(peer.machine_id, Heard(self.unix_now(), stopped_cleanly=True))

    def reachable(self, peer: Peer, machine_id: str) -> bool:
        """Whether a machine of the peer's workspace is connected and online."""
        with self._lock:
            agent = self._router.agent(machine_id)
            seen = self.presence.seen(machine_id)
        same = agent is not None and agent.caller.workspace == peer.caller.workspace
        return same and seen is not None and seen.online(self.now())

    def machine(self, machine_id: str) -> Peer | None:
        """The connection of a machine, of whatever workspace."""
        with self._lock:
            return self._router.agent(machine_id)

    def open(self, peer: Peer, stream: int, request: Open) -> None:
        """Join a client's stream to a machine. Raises RemoteProtocolError."""
        with self._lock:
            sends = [] if peer.ending else self._router.open(peer, stream, request)
        self._tell(sends)

    def refuse(self, peer: Peer, stream: int, closed: Closed) -> None:
        """Answer a client's Open with a refusal. Raises RemoteProtocolError."""
        with self._lock:
            sends = [] if peer.ending else self._router.refuse(peer, stream, closed)
        self._tell(sends)

    def close_stream(self, peer: Peer, stream: int, closed: Closed) -> None:
        """One side of a join closes it."""
        with self._lock:
            sends = [] if peer.ending else self._router.close(peer, stream, closed)
        self._tell(sends)

    # -- sending --------------------------------------------------------------------------

    def say(self, peer: Peer, stream: int, message: Message) -> None:
        """Send a control message."""
        self.send(peer, encode_frame(FrameKind.CONTROL, stream, RELAY_MESSAGES.encode(message)))

    def ping(self, peer: Peer) -> None:
        """Ask for a sign of life, and give one."""
        self.send(peer, _PING)

    def send(self, peer: Peer, frame: bytes) -> None:
        """Send a frame; one that cannot be sent is dropped, and its connection closed."""
        try:
            peer.connection.send(frame)
        except ConnectionClosed:
            self.cut(peer)

    def cut(self, peer: Peer) -> None:
        """A connection took no more: make sure that the thread which reads it notices."""
        with self._lock:
            first = peer.end("it takes less than it asked for")
        if first:
            self._close_aside(peer, peer.why)

    # -- with the lock held, or after it --------------------------------------------------

    def _uncount(self, peer: Peer) -> None:
        """Lock held. The connection counts no more as one of its credential. Twice is quiet."""
        left = self._of.get(peer.caller.credential)
        if left is not None:
            left.discard(peer)
            if not left:
                del self._of[peer.caller.credential]

    def _need_staying(self, peer: Peer) -> None:
        if peer.ending or self._stopping:
            raise ConnectionClosed(reason="it is being ended")

    def _unseat(self, peer: Peer, far_closed: Closed | None) -> tuple[list[Send[Peer]], Heard | None]:
        """Lock held. What is to be sent, and to be noted of a machine."""
        heard = None
        usual = CLIENT_LEFT
        if peer.machine_id and self._router.agent(peer.machine_id) is peer:
            self.presence.broke_off(peer.machine_id, peer.heard)
            seen = self.presence.seen(peer.machine_id)
            cleanly = seen is not None and seen.stopped_cleanly
            heard = Heard(self.unix_now() - (self.now() - peer.heard), cleanly)
            how = "it stopped cleanly" if cleanly else "its connection broke off"
            usual = Closed("machine-offline", f"{how} just now")
        return self._router.end(peer, far_closed or usual), heard

    def _after_unseating(self, peer: Peer, sends: list[Send[Peer]], heard: Heard | None) -> None:
        if heard is not None:
            self._recorder.machine_heard(peer.machine_id, heard)
        self._tell(sends)

    def _tell(self, sends: list[Send[Peer]]) -> None:
        for send in sends:
            self.say(send.to, send.stream, send.message)

    def _close_aside(self, peer: Peer, reason: str) -> None:
        name = f"closing {peer.connection.remote}"
        threading.Thread(target=peer.connection.close, args=(reason,), name=name, daemon=True).start()
