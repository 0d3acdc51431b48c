"""The relay without its network: everything from an accepted connection onwards.

Threads. Each connection is served by the one thread that reads it (`serve`), which
sends straight into other connections; a send never blocks. What comes from elsewhere
(a revocation, silence, the relay's own end) only ends connections, which wakes the
thread that reads them. Beside those there are `silence->peers` and `notes->store`.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from cmdop.deadline import Deadline
from cmdop.limits import CLOSE_TIMEOUT_SECONDS, HELLO_TIMEOUT_SECONDS, LINK_DEAD_SECONDS
from cmdop.relay.board import STOPPING, Board, Clock
from cmdop.relay.conversation import Conversation, Services
from cmdop.relay.directory import Directory
from cmdop.relay.gate import NOT_ENROLLED, REVOKED, Gate
from cmdop.relay.key_desk import KeyDesk
from cmdop.relay.peer import Caller, Peer
from cmdop.relay.pulse import Verdict
from cmdop.relay.recorder import Recorder
from cmdop.relay.timer import PulseTimer
from cmdop.store.interface import Store
from cmdop.transport.connection import Connection
from cmdop.wire.relay_messages import Closed

_LOG = logging.getLogger(__name__)
_LAST_WORDS: Final = {
    Verdict.DEAD: Closed("connection-closed", f"nothing was heard for {LINK_DEAD_SECONDS:g} s"),
    Verdict.NO_HELLO: Closed("timed-out", f"there was no Hello within {HELLO_TIMEOUT_SECONDS:g} s"),
}
_LEAVE_TIMEOUT_SECONDS: Final = 4 * CLOSE_TIMEOUT_SECONDS


class Switch:
    """Serves connections over one store, which the caller closes after it."""

    def __init__(self, store: Store, now: Clock = time.monotonic, unix_now: Clock = time.time) -> None:
        self.gate = Gate(store, now)
        self._recorder = Recorder(store)
        self._board = Board(self._recorder, now, unix_now)
        directory = Directory(store, self._board.presence)
        desk = KeyDesk(store, self._board)
        self._services = Services(store, self.gate, self._board, directory, self._recorder, desk)
        self._timer: PulseTimer[Peer] = PulseTimer(self._on_silence, now)

    def serve(self, connection: Connection, caller: Caller, *, wants_list: bool = False) -> None:
        """Serve one connection until it ends, on the calling thread. No exception leaves it."""
        peer = Peer(connection, caller, self._board.now())
        self._timer.watch(peer)
        try:
            Conversation(peer, self._services, wants_list=wants_list).run()
        finally:
            self._timer.unwatch(peer)

    def revoke_key(self, key_id: str) -> int:
        """Close a revoked key's connections, and wait for that; how many they were.

        Machines that were enrolled with it have a token of their own, and stay.
        """
        peers = self._board.peers_with_key(key_id)
        for peer in peers:
            self._board.dismiss(peer, Closed("key-refused", REVOKED))
        self._wait_until_left(peers)
        return len(peers)

    def remove_machine(self, machine_id: str) -> int:
        """Close a removed machine's connections, and wait for that; how many they were."""
        peers = self._board.peers(lambda peer: machine_id in (peer.machine_id, peer.caller.machine_id))
        for peer in peers:
            self._board.dismiss(
                peer,
                Closed("not-enrolled", NOT_ENROLLED),
                Closed("no-such-machine", "it was removed from this workspace"),
            )
        self._wait_until_left(peers)
        self._board.forget(machine_id)
        return len(peers)

    def online(self) -> dict[str, float]:
        """The machines that are online: id and seconds since the last heartbeat."""
        now = self._board.now()
        return {machine_id: now - seen.heard for machine_id, seen in self._board.presence.online(now).items()}

    def close(self) -> None:
        """Tell everybody that the relay stops, close all connections, write the last notes.

        Waits for the threads that serve, but not for ever. Twice is quiet.
        """
        self._board.dismiss_all(STOPPING)
        self._wait_until_left(self._board.peers())
        self._timer.close()
        self._recorder.close()

    def _wait_until_left(self, peers: list[Peer]) -> None:
        if not self._board.wait_until_left(peers, Deadline(_LEAVE_TIMEOUT_SECONDS)):
            _LOG.warning("some connections do not end; nothing of them is passed on any more")

    def _on_silence(self, peer: Peer, verdict: Verdict) -> None:
        if verdict is Verdict.PING:
            self._board.ping(peer)
        else:
            self._board.dismiss(peer, _LAST_WORDS[verdict])
