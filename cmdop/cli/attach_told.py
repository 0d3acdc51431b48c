"""What an attach says on stderr: `[connect]` lines for people, or JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cmdop.cli.progress import Banner, Line, raw_line_end, say
from cmdop.client.events import Event, GracePassed, LinkDown, LinkLost, Resumed
from cmdop.client.outcome import Detached, Failed, Killed, Outcome, SessionEnded
from cmdop.errors import CmdopError
from cmdop.limits import GRACE_SECONDS
from cmdop.wire.session_messages import PeerJoined, PeerLeft, Ready

if TYPE_CHECKING:
    from cmdop.auth.known_machines import FirstSight
    from cmdop.cli.connect import ConnectOptions

_STEP_EVENTS: Final = {"resolving": "resolved", "dialing": "dialing", "auth": "auth"}
"""The first word of a step -> the event that it came to."""


class Words(Banner):
    """For people. What comes while the terminal is raw is only what they cannot do without."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        self._keys = options.detach_keys or "Ctrl-D"
        self._is_tty = self._watches = False
        self._kept_seconds = GRACE_SECONDS

    def joined(self, ready: Ready, is_tty: bool, watches: bool) -> None:
        """The session is ready; from now on the terminal is being made raw, if it is one.

        Who `watches` types nothing into it.
        """
        self._is_tty, self._watches, self._kept_seconds = is_tty, watches, ready.kept_seconds
        if ready.notice:
            say(f"[connect] {ready.notice}")

    def notice(self, text: str) -> None:
        """Something that the user is to know, before the session is there."""
        say(f"[connect] {text}")

    def attached(self) -> None:
        others = "read-only: no other key is sent" if self._watches else "Ctrl-C forwards as SIGINT"
        say(f"[connect] attached — {self._keys} to disconnect, {others}", end=raw_line_end())

    def event(self, event: Event, at_line_start: bool) -> None:
        """Something happened; only a link that is down is worth a line."""
        leaves = f", {self._keys} leaves" if self._is_tty else ""
        if isinstance(event, LinkDown):
            kept = f"the session is kept for {length_text(event.left_seconds)}"
            text = f"[connect] link {event.leg} is down — redialling; {kept}{leaves}"
        elif isinstance(event, GracePassed):
            text = f"[connect] link {event.leg} is still down — redialling; the session may be gone{leaves}"
        else:
            return
        if self._is_tty and not at_line_start:
            say("", end=raw_line_end())
        say(text, end=raw_line_end())

    def put_back(self, at_line_start: bool) -> None:
        """The terminal is as it was before."""
        if self._is_tty and not at_line_start:
            say("")

    def over(self, outcome: Outcome) -> None:
        """How it ended, as far as no error says it."""
        if isinstance(outcome, SessionEnded):
            say(f"[connect] session ended (exit {outcome.status})")
        elif isinstance(outcome, Detached):
            kept = f" — the session is kept for {length_text(self._kept_seconds)}: cmdop connect {self._options.host}"
            say("[connect] detached" + (kept if self._options.outlives else ""))
        elif isinstance(outcome, Failed):
            say("[connect] disconnected")

    def failed(self, error: CmdopError) -> None:
        """Said where all errors are."""


class JsonLines:
    """For programs: one JSON object a line, each with its `event`. Keys stay once released."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._kept_seconds = GRACE_SECONDS

    @contextmanager
    def step(self, name: str) -> Iterator[Line]:
        line = Line()
        yield line
        _emit(_STEP_EVENTS[name.split(maxsplit=1)[0]], host=self._host, **line.fields)

    def first_sight(self, sight: FirstSight) -> None:
        namesake = sight.namesake.machine_id if sight.namesake else None
        fields = {"machine_id": sight.machine_id, "name": sight.name, "fingerprint": sight.fingerprint}
        _emit("first_sight", host=self._host, **fields, namesake=namesake)

    def notice(self, text: str) -> None:
        _emit("notice", text=text)

    def interrupt(self, text: str) -> None:
        """Each event has a line of its own anyway."""

    def joined(self, ready: Ready, is_tty: bool, watches: bool) -> None:
        self._kept_seconds = ready.kept_seconds
        if ready.notice:
            _emit("notice", text=ready.notice)

    def attached(self) -> None:
        _emit("attached", host=self._host)

    def event(self, event: Event, at_line_start: bool) -> None:
        if isinstance(event, LinkLost):
            _emit("link_lost", leg=event.leg, reason=event.reason)
        elif isinstance(event, LinkDown):
            _emit("grace", leg=event.leg, seconds_left=round(event.left_seconds, 3))
        elif isinstance(event, GracePassed):
            _emit("grace", leg=event.leg, seconds_left=0.0)
        elif isinstance(event, Resumed):
            _emit("resumed", down_seconds=round(event.down_seconds, 3))
        elif isinstance(event, PeerJoined):
            _emit("peer_joined", client_id=event.client_id, operator=event.operator, role=event.role)
        elif isinstance(event, PeerLeft):
            _emit("peer_left", client_id=event.client_id, operator=event.operator)
        else:
            _emit("notice", text=event.text)

    def put_back(self, at_line_start: bool) -> None:
        pass

    def over(self, outcome: Outcome) -> None:
        if isinstance(outcome, SessionEnded):
            _emit("ended", exit_status=outcome.status, signal=outcome.ended.signal)
        elif isinstance(outcome, Detached):
            _emit("detached", kept_seconds=self._kept_seconds)
        elif isinstance(outcome, Killed):
            _emit("killed", signal=outcome.signal)

    def failed(self, error: CmdopError) -> None:
        _emit("error", code=error.code, message=error.sentence, hint=error.next_step)


def length_text(seconds: float) -> str:
    """A length of time as a person would say it, in its largest unit that says enough."""
    for unit_seconds, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit_seconds:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{seconds:.0f} s"


def _emit(event: str, **fields: object) -> None:
    say(json.dumps({"event": event, **fields}), end=raw_line_end())
