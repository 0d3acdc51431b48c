"""The states of one stream between client and agent, as a table.

A missing entry is an event that may not come in that state: `StreamState.after` raises
and changes nothing.
"""

from __future__ import annotations

from enum import Enum

from cmdop.errors import RemoteProtocolError
from cmdop.limits import AUTH_TIMEOUT_SECONDS, GUESS_QUEUED_SECONDS, PASSWORD_ANSWER_SECONDS


class StreamState(Enum):
    """Where a stream is; the agent's view."""

    GREETING = "waiting for the first handshake message"
    PROVING = "waiting for the third handshake message"
    REGISTERING = "waiting for Register"
    ADMITTING = "being admitted"
    AUTHENTICATING = "waiting for AuthResponse"
    JUDGING = "waiting for its password to be judged"
    ATTACHED = "attached"
    CALLING = "making calls"
    EXECUTING = "running a command"
    CLOSED = "closed"

    def after(self, event: StreamEvent) -> StreamState:
        """The next state. Raises RemoteProtocolError when the event may not come now."""
        try:
            return TRANSITIONS[self, event]
        except KeyError:
            raise RemoteProtocolError(reason=f"{event.value} while {self.value}") from None


class StreamEvent(Enum):
    """What can happen to a stream."""

    HANDSHAKE = "a handshake message"
    REGISTER = "Register"
    CHALLENGED = "a challenge"
    RESPONSE = "AuthResponse"
    JUDGED = "the right password"
    ADMITTED = "admission"
    CALL = "a call"
    EXECUTE = "Execute"
    NOT_EXECUTED = "a command that was refused"
    DATA = "session data"
    CLOSE = "the end"


PATIENCE_SECONDS: dict[StreamState, float] = {
    StreamState.GREETING: AUTH_TIMEOUT_SECONDS,
    StreamState.PROVING: AUTH_TIMEOUT_SECONDS,
    StreamState.REGISTERING: AUTH_TIMEOUT_SECONDS,
    StreamState.ADMITTING: AUTH_TIMEOUT_SECONDS,
    StreamState.AUTHENTICATING: PASSWORD_ANSWER_SECONDS,
    StreamState.JUDGING: GUESS_QUEUED_SECONDS + AUTH_TIMEOUT_SECONDS,
}
"""How long a stream may be in a state; in one that is missing as long as it likes."""

TRANSITIONS: dict[tuple[StreamState, StreamEvent], StreamState] = {
    (StreamState.GREETING, StreamEvent.HANDSHAKE): StreamState.PROVING,
    (StreamState.PROVING, StreamEvent.HANDSHAKE): StreamState.REGISTERING,
    (StreamState.REGISTERING, StreamEvent.REGISTER): StreamState.ADMITTING,
    (StreamState.REGISTERING, StreamEvent.CALL): StreamState.CALLING,
    (StreamState.CALLING, StreamEvent.CALL): StreamState.CALLING,
    (StreamState.REGISTERING, StreamEvent.EXECUTE): StreamState.EXECUTING,
    (StreamState.CALLING, StreamEvent.EXECUTE): StreamState.EXECUTING,
    (StreamState.EXECUTING, StreamEvent.DATA): StreamState.EXECUTING,
    (StreamState.EXECUTING, StreamEvent.NOT_EXECUTED): StreamState.CALLING,
    (StreamState.ADMITTING, StreamEvent.CHALLENGED): StreamState.AUTHENTICATING,
    (StreamState.AUTHENTICATING, StreamEvent.RESPONSE): StreamState.JUDGING,
    (StreamState.JUDGING, StreamEvent.CHALLENGED): StreamState.AUTHENTICATING,
    (StreamState.JUDGING, StreamEvent.JUDGED): StreamState.ADMITTING,
    (StreamState.ADMITTING, StreamEvent.ADMITTED): StreamState.ATTACHED,
    (StreamState.ATTACHED, StreamEvent.DATA): StreamState.ATTACHED,
    **{(state, StreamEvent.CLOSE): StreamState.CLOSED for state in StreamState},
}
