"""The table of sessions: who gets which, how many there may be, and when one is ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cmdop.agent import called, pump, workings
from cmdop.agent import shell as shell_module
from cmdop.agent import shells as shells_module
from cmdop.agent.shell import Shell
from cmdop.agent.shells import Shells
from cmdop.agent.viewer import Entry
from cmdop.errors import AmbiguousSession, SessionGone, SessionRefused, ShellUnusable, TimedOut
from cmdop.limits import GRACE_SECONDS, HANGUP_TO_KILL_SECONDS, RING_BYTES, SESSIONS_MAX
from cmdop.screen.ring import RingScreen
from cmdop.session import keyboard
from cmdop.wire.call_messages import CreateSession, Output
from cmdop.wire.relay_messages import SessionSummary
from cmdop.wire.session_messages import Register
from tests.agent.fake_pty import TIMEOUT_SECONDS, FakePty
from tests.agent.watcher import Watcher


def wish(session: str = "", new: bool = False, resume: bool = False, client_id: str = "0123456789abcdef") -> Register:
    return Register(1, "test", client_id, 24, 80, session=session, new=new, resume=resume)


class Clock:
    """A clock that the test turns, in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Screen(RingScreen):
    """Tells when it is closed."""

    def __init__(self, closed: threading.Semaphore) -> None:
        super().__init__()
        self._closed = closed

    def close(self) -> None:
        super().close()
        self._closed.release()


class Machine:
    """A table of sessions of programs that the test plays."""

    def __init__(self) -> None:
        self.deaf = False
        self.ptys: list[FakePty] = []
        self.changes = 0
        self.may_open = threading.Event()
        self.may_open.set()
        self.opening = threading.Semaphore(0)
        """Told of each one that begins to be opened."""
        self.screens_closed = threading.Semaphore(0)
        self.shells = Shells(self.open_pty, self.changed, lambda _: Screen(self.screens_closed))

    def open_pty(self, wanted: Register | CreateSession, session_id: str) -> tuple[FakePty, str]:
        self.opening.release()
        assert self.may_open.wait(TIMEOUT_SECONDS)
        if wanted.term == "unusable":
            raise ShellUnusable(shell="sh", reason="there is no such program")
        self.ptys.append(FakePty(deaf=self.deaf, session_id=session_id))
        return self.ptys[-1], "a note"

    def changed(self) -> None:
        self.changes += 1

    def open(self) -> Shell:
        shell, created = self.shells.join_or_open(wish(new=True), "anna")
        assert created
        return shell

    def join(self, session: str = "") -> Shell | None:
        """The session that one who wants this gets; None when it was opened anew."""
        shell, created = self.shells.join_or_open(wish(session), "ben")
        return None if created else shell

    def attach(self, shell: Shell) -> Watcher:
        watcher = Watcher()
        with watcher.viewer.pumping:
            shell.attach(watcher.viewer, Entry())
        self.shells.wake()
        return watcher


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.shells.close()
    for pty in machine.ptys:
        assert pty.closed
        assert pty.misuse == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (called, pump, shell_module, shells_module, workings):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are ended soon."""
    monkeypatch.setattr(shells_module, "GRACE_SECONDS", 0.02)
    monkeypatch.setattr(shells_module, "HANGUP_TO_KILL_SECONDS", 0.02)


# -- which session --------------------------------------------------------------------------------


def test_the_first_one_opens_a_session_and_the_next_one_joins_it(machine: Machine) -> None:
    shell, created = machine.shells.join_or_open(wish(), "anna")
    assert created
    assert (shell.opened.operator, shell.opened.notice) == ("anna", "a note")
    assert shell.opened.session_id == machine.ptys[0].session_id
    assert machine.join() is shell


def test_without_a_name_the_newest_session_is_joined(machine: Machine) -> None:
    machine.open()
    newest = machine.open()
    assert machine.join() is newest


def test_a_session_is_found_by_its_id_and_by_a_prefix_of_it(machine: Machine) -> None:
    shell, other = machine.open(), machine.open()
    length = next(n for n in range(1, 17) if shell.opened.session_id[:n] != other.opened.session_id[:n])
    assert machine.join(shell.opened.session_id) is shell
    assert machine.join(shell.opened.session_id[:length]) is shell


def test_a_prefix_of_several_is_ambiguous_and_one_of_none_is_gone(machine: Machine) -> None:
    for _ in range(17):  # two of them begin with the same digit
        machine.open()
    first = [pty.session_id[0] for pty in machine.ptys]
    twice = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(AmbiguousSession):
        machine.join(twice)
    with pytest.raises(SessionGone):
        machine.join("no-such-session")
    assert len(machine.ptys) == 17


def test_a_session_that_is_over_is_gone_from_the_table(machine: Machine) -> None:
    shell = machine.open()
    machine.ptys[0].exit()
    assert shell.join(TIMEOUT_SECONDS)
    with pytest.raises(SessionGone):
        machine.join(shell.opened.session_id)
    assert machine.join() is None
    assert machine.shells.summaries()[0].session_id == machine.ptys[1].session_id


def test_a_session_that_is_being_ended_is_joined_by_nobody_who_does_not_name_it(machine: Machine, clock: Clock) -> None:
    machine.deaf = True
    shell = machine.open()
    machine.shells.relay_is(True)
    clock.now += GRACE_SECONDS
    machine.shells.wake()
    machine.ptys[0].until(lambda pty: pty.signals == ["HUP"])
    assert machine.join(shell.opened.session_id) is shell
    assert machine.join() is None
    machine.ptys[0].exit()


# -- how many -------------------------------------------------------------------------------------


def test_a_machine_has_only_so_many_sessions(machine: Machine) -> None:
    shells = [machine.open() for _ in range(SESSIONS_MAX)]
    with pytest.raises(SessionRefused, match="64 sessions"):
        machine.open()
    assert machine.join() is shells[-1]
    machine.ptys[0].exit()
    assert shells[0].join(TIMEOUT_SECONDS)
    machine.open()


def test_sessions_that_are_being_opened_count_and_those_that_failed_do_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shells_module, "SESSIONS_MAX", 2)
    machine.may_open.clear()
    openers = [threading.Thread(target=machine.open, daemon=True) for _ in range(2)]
    for opener in openers:
        opener.start()
        assert machine.opening.acquire(timeout=TIMEOUT_SECONDS)
    with pytest.raises(SessionRefused):
        machine.open()
    machine.may_open.set()
    for opener in openers:
        opener.join(TIMEOUT_SECONDS)
    machine.ptys[0].exit()
    machine.ptys[0].until(lambda pty: pty.closed)
    for _ in range(3):
        with pytest.raises(ShellUnusable):
            machine.shells.join_or_open(Register(1, "t", "0" * 16, 1, 1, term="unusable", new=True), "anna")


# -- when one is ended ----------------------------------------------------------------------------


def test_a_session_that_nobody_watches_is_hung_up_after_its_grace(machine: Machine, clock: Clock) -> None:
    shell = machine.open()
    machine.shells.relay_is(True)
    watcher = machine.attach(shell)
    clock.now += 10 * GRACE_SECONDS
    machine.shells.wake()
    machine.shells.detach(shell, watcher.viewer)
    clock.now += GRACE_SECONDS - 1
    machine.shells.wake()
    assert shell.due_in_seconds()[0] == 1.0
    assert machine.ptys[0].signals == []
    clock.now += 1
    machine.shells.wake()
    assert shell.join(TIMEOUT_SECONDS)
    assert machine.ptys[0].signals == ["HUP"]
    assert machine.shells.summaries() == ()


@pytest.mark.usefixtures("quick")
def test_the_end_of_the_grace_wakes_the_one_who_ends_sessions(machine: Machine) -> None:
    shell = machine.open()
    machine.shells.relay_is(True)
    assert shell.join(TIMEOUT_SECONDS)


def test_a_paste_that_does_not_go_on_wakes_the_one_who_lets_the_others_type(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyboard, "PASTE_STALL_SECONDS", 0.02)
    shell = machine.open()
    one, two = machine.attach(shell), machine.attach(shell)
    shell.type(one.viewer, 0, b"\x1b[200~")
    for number in range(5):  # it may be awake for another reason
        shell.type(one.viewer, 6 + number, b"a")
        shell.type(two.viewer, number, b"X")
        assert machine.ptys[0].until_typed(8 + 2 * number) == b"\x1b[200~" + b"aX" * (number + 1)


@pytest.mark.usefixtures("quick")
def test_what_ignores_the_hangup_is_killed(machine: Machine) -> None:
    machine.deaf = True
    shell = machine.open()
    machine.shells.relay_is(True)
    assert shell.join(TIMEOUT_SECONDS)
    assert machine.ptys[0].signals == ["HUP", "KILL"]


def test_the_kill_comes_its_time_after_the_hangup(machine: Machine, clock: Clock) -> None:
    machine.deaf = True
    shell = machine.open()
    machine.shells.relay_is(True)
    clock.now += GRACE_SECONDS
    machine.shells.wake()
    machine.ptys[0].until(lambda pty: pty.signals == ["HUP"])
    clock.now += HANGUP_TO_KILL_SECONDS
    machine.shells.wake()
    assert shell.join(TIMEOUT_SECONDS)
    assert machine.ptys[0].signals == ["HUP", "KILL"]


def test_the_grace_stands_still_without_a_relay(machine: Machine, clock: Clock) -> None:
    shell = machine.open()
    machine.shells.relay_is(True)
    clock.now += 20
    machine.shells.relay_is(False)
    clock.now += 1000
    machine.shells.wake()
    assert shell.due_in_seconds()[0] is None
    machine.shells.relay_is(True)
    assert shell.due_in_seconds()[0] == 10.0
    assert machine.ptys[0].signals == []


def test_who_attaches_within_the_grace_saves_the_session(machine: Machine, clock: Clock) -> None:
    shell = machine.open()
    machine.shells.relay_is(True)
    clock.now += GRACE_SECONDS - 0.5
    watcher = machine.attach(shell)
    clock.now += 1000
    machine.shells.wake()
    machine.ptys[0].print(b"alive")
    assert watcher.until_shown(5) == b"alive"
    assert machine.ptys[0].signals == []


@pytest.mark.usefixtures("quick")
def test_no_session_is_forgotten_by_who_ends_them(machine: Machine) -> None:
    """Sessions come, are watched and are left, all at once."""
    machine.shells.relay_is(True)

    def come_and_go() -> None:
        for _ in range(15):
            shell = machine.open()
            watcher = Watcher()
            with watcher.viewer.pumping:
                shell.attach(watcher.viewer, Entry(created=True))
            machine.shells.wake()
            machine.shells.detach(shell, watcher.viewer)

    threads = [threading.Thread(target=come_and_go, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    for pty in list(machine.ptys):
        pty.until(lambda pty: pty.closed)


# -- what is told ---------------------------------------------------------------------------------


def test_the_directory_hears_of_every_change_and_sees_the_newest_first(machine: Machine) -> None:
    one, two = machine.open(), machine.open()
    machine.attach(one)
    assert machine.changes > 0
    assert machine.shells.summaries() == (
        SessionSummary(two.opened.session_id, "anna", 0),
        SessionSummary(one.opened.session_id, "anna", 1),
    )
    before = machine.changes
    machine.ptys[0].exit()
    assert one.join(TIMEOUT_SECONDS)
    assert machine.changes > before


def test_the_status_names_what_runs(machine: Machine) -> None:
    shell = machine.open()
    found: list[dict[str, Any]] = machine.shells.statuses()
    assert found == [
        {"session_id": shell.opened.session_id, "operator": "anna", "clients": 0, "command": "fake"},
    ]


# -- the end of it all ----------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_close_ends_every_session_politely_and_then_firmly(machine: Machine) -> None:
    polite = machine.open()
    machine.deaf = True
    deaf = machine.open()
    watcher = machine.attach(deaf)
    machine.shells.close()
    machine.shells.close()
    assert polite.join(0)
    assert deaf.join(0)
    assert [pty.signals for pty in machine.ptys] == [["HUP"], ["HUP", "KILL"]]
    assert watcher.ended is not None


def test_a_session_that_was_being_opened_at_the_close_does_not_outlive_it(machine: Machine) -> None:
    machine.may_open.clear()
    refusals: list[Exception] = []

    def open_late() -> None:
        try:
            machine.open()
        except SessionRefused as error:
            refusals.append(error)

    opener = threading.Thread(target=open_late, daemon=True)
    opener.start()
    assert machine.opening.acquire(timeout=TIMEOUT_SECONDS)
    machine.shells.close()
    machine.may_open.set()
    opener.join(TIMEOUT_SECONDS)
    assert len(refusals) == 1
    assert machine.ptys[0].closed


# -- coming back, and coming too late -------------------------------------------------------------


def wish_back(shell: Shell, watcher: Watcher) -> Register:
    return wish(shell.opened.session_id, resume=True, client_id=watcher.viewer.client_id)


def test_a_client_that_vanished_finds_its_session_though_it_is_over(machine: Machine) -> None:
    shell = machine.open()
    watcher = machine.attach(shell)
    machine.shells.detach(shell, watcher.viewer)
    machine.ptys[0].exit(3)
    assert shell.join(TIMEOUT_SECONDS)
    assert machine.shells.join_or_open(wish_back(shell, watcher), "anna") == (shell, False)
    assert machine.shells.summaries() == ()
    with pytest.raises(SessionGone):
        machine.shells.find(shell.opened.session_id)


def test_what_is_over_is_not_kept_for_ever(machine: Machine, clock: Clock) -> None:
    shell = machine.open()
    watcher = machine.attach(shell)
    machine.shells.detach(shell, watcher.viewer)
    machine.ptys[0].exit(3)
    assert shell.join(TIMEOUT_SECONDS)
    clock.now += GRACE_SECONDS
    machine.shells.wake()
    assert machine.screens_closed.acquire(timeout=TIMEOUT_SECONDS)
    with pytest.raises(SessionGone):
        machine.shells.resumed(shell.opened.session_id)


def test_who_comes_too_late_hears_what_it_was_running(machine: Machine, clock: Clock) -> None:
    shell = machine.open()
    machine.shells.relay_is(True)
    clock.now += GRACE_SECONDS
    machine.shells.wake()
    assert shell.join(TIMEOUT_SECONDS)
    with pytest.raises(SessionGone, match="is gone; it was running: fake"):
        machine.shells.find(shell.opened.session_id)


def test_a_resume_opens_nothing(machine: Machine) -> None:
    with pytest.raises(SessionGone):
        machine.shells.join_or_open(wish("0123456789abcdef", resume=True), "anna")
    assert machine.ptys == []


# -- sessions that nobody is attached to ------------------------------------------------------------


def test_a_session_that_was_created_lives_for_as_long_as_it_was_told(machine: Machine, clock: Clock) -> None:
    shell = machine.shells.create(CreateSession(name="build", idle_seconds=600), "anna")
    machine.shells.relay_is(True)
    assert shell.record().name == "build"
    clock.now += 599
    assert shell.due_in_seconds()[0] == 1.0
    shell.type_all(b"make\n", 1)  # a use of it: the time begins anew
    assert machine.ptys[0].typed == b"make\n"
    assert shell.due_in_seconds()[0] == 600.0
    clock.now += 600
    machine.shells.wake()
    assert shell.join(TIMEOUT_SECONDS)
    assert machine.ptys[0].signals == ["HUP"]


def test_what_the_program_does_not_take_in_time_is_not_typed_later(machine: Machine) -> None:
    shell = machine.shells.create(CreateSession(), "anna")
    pty = machine.ptys[0]
    pty.make_room(2)
    with pytest.raises(TimedOut):
        shell.type_all(b"rm -r build\n", 0.01)
    pty.make_room(100)
    shell.type_all(b"!", 1)
    assert pty.typed == b"rm!"


def test_a_session_is_read_from_any_offset_that_is_kept(machine: Machine) -> None:
    shell = machine.shells.create(CreateSession(), "anna")
    machine.ptys[0].print(b"0123456789")
    machine.ptys[0].until_idle(reading=True)
    assert shell.read(4, 3) == Output(4, b"456", 10)
    assert shell.read(10, 3) == Output(10, b"", 10)
    machine.ptys[0].print(bytes(RING_BYTES))
    machine.ptys[0].until_idle(reading=True)
    assert shell.read(4, 1) == Output(10, b"\0", RING_BYTES + 10, truncated=True)


def test_a_session_s_record_names_every_client(machine: Machine) -> None:
    shell = machine.open()
    watcher = machine.attach(shell)
    record = shell.record()
    assert [(c.client_id, c.operator, c.role) for c in record.clients] == [
        (watcher.viewer.client_id, "anna", "operator")
    ]
    assert record.command == "fake"
    assert record.grace_seconds_left is None


# -- going on in the program that this process becomes -------------------------------------------------


def test_a_session_that_is_just_being_opened_is_waited_for_and_no_other_is_opened(machine: Machine) -> None:
    """One that came behind the freezing would be left without anybody who reads it."""
    machine.may_open.clear()
    opening = threading.Thread(target=machine.open, daemon=True)
    opening.start()
    assert machine.opening.acquire(timeout=TIMEOUT_SECONDS)
    kept: list[Any] = []
    handing = threading.Thread(target=lambda: kept.append(machine.shells.hand_over()), daemon=True)
    handing.start()
    handing.join(0.05)
    assert handing.is_alive()
    machine.may_open.set()
    handing.join(TIMEOUT_SECONDS)
    assert len(kept[0][0]["sessions"]) == 1
    with pytest.raises(SessionRefused, match="renewed"):
        machine.open()
    machine.shells.thaw()
    machine.open()


def test_frozen_sessions_thaw_as_they_were(machine: Machine) -> None:
    shell = machine.open()
    machine.shells.hand_over()
    machine.shells.thaw()
    watcher = machine.attach(shell)
    shell.pump(watcher.viewer)
    machine.ptys[0].print(b"alive")
    watcher.until(lambda w: (w.replay + w.output).endswith(b"alive"))
