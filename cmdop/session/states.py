"""The states of one stream between client and agent, as a table.

A missing entry is an event that may not come in that state: `StreamState.after` raises
and changes nothing.
"""

from __future__ import annotations

from enum import Enum

from cmdop.errors import RemoteProtocolError


class StreamState(Enum):
    """Where a stream is; the agent's view."""

    GREETING = "waiting for the first handshake message"
    PROVING = "waiting for the third handshake message"
    REGISTERING = "waiting for Register"
    AUTHENTICATING = "waiting for AuthResponse"
    ATTACHED = "attached"
    CALLING = "making calls"
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
    ADMITTED = "admission"
    CALL = "a call"
    DATA = "session data"
    CLOSE = "the end"


TRANSITIONS: dict[tuple[StreamState, StreamEvent], StreamState] = {
    (StreamState.GREETING, StreamEvent.HANDSHAKE): StreamState.PROVING,
    (StreamState.PROVING, StreamEvent.HANDSHAKE): StreamState.REGISTERING,
    (StreamState.REGISTERING, StreamEvent.REGISTER): StreamState.AUTHENTICATING,
    (StreamState.REGISTERING, StreamEvent.CALL): StreamState.CALLING,
    (StreamState.CALLING, StreamEvent.CALL): StreamState.CALLING,
    (StreamState.AUTHENTICATING, StreamEvent.CHALLENGED): StreamState.AUTHENTICATING,
    (StreamState.AUTHENTICATING, StreamEvent.RESPONSE): StreamState.AUTHENTICATING,
    (StreamState.AUTHENTICATING, StreamEvent.ADMITTED): StreamState.ATTACHED,
    (StreamState.ATTACHED, StreamEvent.DATA): StreamState.ATTACHED,
    **{(state, StreamEvent.CLOSE): StreamState.CLOSED for state in StreamState},
}
