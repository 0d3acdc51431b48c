"""Client, relay and agent in one process, without threads, I/O or a clock of their own.

A schedule says what happens next: what is typed and printed, which record arrives, what
breaks. After each step the invariants are checked, and `settle` makes the faults stop
and checks that everything arrives.
"""

from __future__ import annotations

from cmdop.limits import GRACE_SECONDS, HOLD_SECONDS, PASTE_STALL_SECONDS
from tests.session.simulation.agent import Agent
from tests.session.simulation.client import Client
from tests.session.simulation.ledger import Ledger
from tests.session.simulation.network import Connection, Entry, Record
from tests.session.simulation.program import REPLAY_MAX, Program
from tests.session.simulation.scale import INPUT_WINDOW, LAG_MAX, RING_MAX, WINDOW_MAX
from tests.session.simulation.viewer import Viewer

CLIENTS_MAX = 4
_TYPED_MAX = 400
_ROUNDS_MAX = 400


class World:
    """One session from its first client to its end."""

    def __init__(self, early_bytes: int = 0, told: bool = True) -> None:
        """The program prints `early_bytes` before its client is attached, which was `told` or is about to be."""
        self.now = 0.0
        self.program = Program()
        self.agent = Agent(self.program)
        self.clients: list[Client] = []
        self.connections: list[Connection] = []
        """Those of which an end still believes in it."""
        self.relay_up = True
        self._idle_seconds = 0.0
        self._vanished_at = 0.0
        self.ledger = Ledger(self.program.log)
        self.program.print(early_bytes)
        self.agent.turn()
        self.join(Entry("", created=True))
        self.deliver_up(self.connections[0])
        self.agent.owners = dict.fromkeys(self.agent.owners, "0")
        if told:
            self.deliver_down(self.connections[0])

    # -- what people do ---------------------------------------------------------------------

    def join(self, entry: Entry) -> Client | None:
        """Somebody new."""
        alive = [client for client in self.clients if not client.outcome]
        if not self.relay_up or len(alive) >= CLIENTS_MAX or self.agent.end is not None:
            return None
        client = Client(len(self.clients), entry._replace(client_id=str(len(self.clients))), self.agent.output)
        client.now = self.now
        self.clients.append(client)
        self._connect(client)
        return client

    def dial(self, client: Client, spoilt: bool = False) -> None:
        """A client without a connection tries to get one; the user may have been told that there is none."""
        if not client.outcome and client.end is None and client.connection is None:
            if spoilt:
                client.spoil()
            if self.relay_up:
                self._connect(client)

    def _connect(self, client: Client) -> None:
        self.connections.append(client.dial())

    def type(self, client: Client, size: int) -> None:
        if self._may_type(client):
            client.type(size)

    def paste(self, client: Client) -> None:
        if self._may_type(client):
            client.paste()

    def _may_type(self, client: Client) -> bool:
        return not client.outcome and client.received is not None and len(client.typed) < _TYPED_MAX

    def leave(self, client: Client, politely: bool) -> None:
        """Ctrl-D, or a client that dies and never comes back."""
        if not client.outcome and client.end is None:
            client.leave("left" if politely else "lost", "detach" if politely else "")

    def resize(self, client: Client, size: object) -> None:
        if client.connection is not None and client.ready:
            client.connection.send_up(Record("resize", about=size))

    def call(self, data: bytes, seconds: float) -> None:
        """`cmdop session send`, on a stream that always works."""
        if self.agent.end is None and not self.program.exited:
            self.agent.call(data, self.now + seconds)
            self._idle_seconds = 0.0

    # -- what the network does --------------------------------------------------------------

    def deliver_up(self, connection: Connection, count: int = 1) -> bool:
        """The agent gets the next records of a client; whether there were any."""
        did = False
        while connection.up and count:
            record = connection.up.popleft()
            before = dict(self.agent.core.members)
            if record.kind == "input":
                viewer = self.agent.streams.get(connection)
                if viewer is not None:
                    self.ledger.came(viewer.client_id, self.now)
            self.agent.receive(connection, record)
            self._watched(before)
            did, count = True, count - 1
        return did

    def deliver_down(self, connection: Connection, count: int = 1) -> bool:
        """A client gets the next records of its machine; whether there were any."""
        did = False
        while connection.down and count:
            congested = connection.congested
            record = connection.take_down()
            for client in self.clients:
                if client.connection is connection:
                    client.receive(record)
            viewer = self.agent.streams.get(connection)
            if viewer is not None and congested and not connection.congested:
                self.agent.pump(viewer)
            did, count = True, count - 1
        return did

    def client_notices(self, connection: Connection) -> None:
        """A client learns that its connection is lost, or thinks so."""
        for client in self.clients:
            if client.connection is connection:
                client.lose()

    def agent_notices(self, connection: Connection) -> None:
        """The relay tells the agent that a client's connection is lost."""
        if connection.agent_open and (connection.cut or not (connection.client_open or connection.up)):
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        before = dict(self.agent.core.members)
        self.agent.close(connection)
        self._watched(before)

    def _watched(self, before: dict[str, Viewer]) -> None:
        """Keep account of the grace and of what vanished, told who was attached `before` a step."""
        members = self.agent.core.members
        for viewer in before.values():
            if members.get(viewer.client_id) is not viewer:
                self._vanished_at = self.now
                if viewer.typist not in self.agent.core.departed():
                    self.ledger.excuse(viewer.typist)
        if members or before:
            self._idle_seconds = 0.0
        self.connections = [each for each in self.connections if each.client_open or each.agent_open]

    def relay_stops(self) -> None:
        """All connections are gone, and the agent's too."""
        self.relay_up = False
        self.agent.relay_is(False)
        for connection in self.connections:
            connection.lose()
            self._close(connection)
        for client in self.clients:
            client.lose()

    def relay_starts(self) -> None:
        if not self.relay_up:
            self.relay_up = True
            self.agent.relay_is(True)

    def agent_renews(self) -> None:
        """The agent goes on in another process; its connection is a new one."""
        if self.agent.end is None and all(call.over for call in self.agent.calls):
            up = self.relay_up
            self.relay_stops()
            self.agent.renew()
            if up:
                self.relay_starts()

    # -- time ---------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        if not self.agent.core.members and self.relay_up and self.agent.end is None:
            self._idle_seconds += seconds
        self.now += seconds
        for client in self.clients:
            client.now = self.now
        core = self.agent.core
        self.ledger.tick([*(viewer.typist for viewer in core.members.values()), *core.departed()], self.now)
        self.agent.tick(self.now)

    # -- invariants ---------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at every moment."""
        self.ledger.check(self.clients)
        self._check_grace()
        if self.program.unread:
            self._check_progress()

    def _check_bounds(self) -> None:
        """Whoever is at fault, nothing grows without end."""
        core = self.agent.core
        assert core.output.ring.head == len(self.agent.output)
        assert core.output.ring.capacity <= RING_MAX
        for client in self.clients:
            assert client.received is None or client.received.credit_bytes <= WINDOW_MAX
            assert client.queued_bytes <= WINDOW_MAX + REPLAY_MAX
        for viewer in core.members.values():
            assert viewer.typist.typed.received - viewer.typist.typed.taken <= INPUT_WINDOW
            assert len(viewer.replay) <= 3
        typed = sum(len(data) for typist, data in core.keyboard.pending() if typist.client_id)
        assert typed <= INPUT_WINDOW * len(self.clients)

    def _check_grace(self) -> None:
        core = self.agent.core
        if self.agent.end is not None:
            return
        counted = not core.members and self.relay_up
        wanted = max(0.0, GRACE_SECONDS - self._idle_seconds) if counted else None
        assert core.grace.due_in_seconds(self.now) == wanted
        if wanted == 0.0:
            assert self.program.exited, "its grace is over"

    def _check_progress(self) -> None:
        """The program is held up only by clients without credit, or by one that vanished lately."""
        core, head = self.agent.core, self.agent.core.output.ring.head
        pacing = [member.view for member in core.members.values() if not member.observer]
        current = any(view.credit.limit > head and head - view.cursor < LAG_MAX for view in pacing)
        alone = not pacing and self.now - self._vanished_at >= HOLD_SECONDS
        if current or alone:
            assert core.may_read(self.now), "the program waits for nobody"

    # -- quiescence ---------------------------------------------------------------------------

    def settle(self) -> None:
        """The faults stop: everything typed arrives, everything printed is shown."""
        self._check_bounds()
        self.relay_starts()
        for connection in list(self.connections):
            if connection.cut:
                self.client_notices(connection)
            self.agent_notices(connection)
        self._until_quiet()
        for seconds in (HOLD_SECONDS, *[PASTE_STALL_SECONDS] * CLIENTS_MAX):
            self.tick(seconds)
            self.check()
            self._until_quiet()
        alive = [client for client in self.clients if not client.outcome]
        for client in alive:
            self._check_arrived(client)
        self._check_questions()
        if not alive and self.agent.end is None:
            self.tick(GRACE_SECONDS)
        self.program.exited = True
        self._until_quiet()
        self._check_end()

    def _until_quiet(self) -> None:
        for _ in range(_ROUNDS_MAX):
            if not self._round():
                return
            self.check()
        raise AssertionError("it never comes to rest")

    def _round(self) -> bool:
        """Everything moves once; whether anything did."""
        did = False
        for client in self.clients:
            did |= not client.outcome and client.end is None and client.connection is None
            self.dial(client)
        for connection in list(self.connections):
            did |= self.deliver_up(connection, 1000) | self.deliver_down(connection, 1000)
            self.agent_notices(connection)
        for client in self.clients:
            did |= client.pending
            if client.pending or client.end is not None:
                client.take(1000)
        did |= self.agent.turn()
        self.program.read_input(1000)
        return did

    def _check_arrived(self, client: Client) -> None:
        name = str(client.number)
        assert client.ready, f"{name} is not attached"
        assert not self.program.unread, "all that was printed was read"
        client.check_all_shown()
        assert self.ledger.written.get(name, 0) == len(client.typed), f"the PTY has not got all that {name} typed"

    def _check_questions(self) -> None:
        """Each question is one party's to answer, and all agree on whose."""
        agent = self.agent
        for offset in agent.model.answered:
            assert agent.owners[offset] == "", f"the model answers {offset}, which {agent.owners[offset]} was asked"
        for offset, owner in agent.owners.items():
            assert owner or offset >= agent.model.fed or offset in agent.model.answered, f"nobody answers {offset}"
        for client in self.clients:
            for offset, mine in client.answered.items():
                owner = agent.owners[offset]
                assert mine == (owner == str(client.number)), f"{client.number} says {mine} of {offset}: {owner!r} was"

    def _check_end(self) -> None:
        """Who was attached, or came back, was told of the end behind the last byte."""
        assert self.agent.end == len(self.agent.output), "the session is over"
        for client in self.clients:
            assert client.outcome, f"{client.number} was not told of the end"
            if client.outcome == "ended":
                assert client.end == self.agent.end
                client.check_screen(client.end)
            elif client.outcome == "gone" and client.received is not None:
                late = client.over_at - self.agent.ended_at >= GRACE_SECONDS
                assert late or str(client.number) in self.agent.core.sent_away, f"{client.number} came back in time"
            elif client.outcome == "detached":
                assert any(other.first.takeover for other in self.clients), f"nobody sent {client.number} away"
        for call in self.agent.calls:
            typed = b"".join(data for typist, data in self.program.log if typist is call.typist)
            assert call.data.startswith(typed)
            assert len(typed) == call.typist.typed.taken
