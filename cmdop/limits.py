"""Every size, count and time that cmdop promises or believes, in one place.

Numbers carry their unit in the name. What a peer sends is checked against one of
these before it is stored or acted on. A *timeout* is a length of time for one
step, an *interval* repeats.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- on the wire (docs/protocol.md §2) ----------------------------------------------
PROTOCOL_VERSION: Final = 1
SUBPROTOCOL: Final = "cmdop.v1"
MESSAGE_MAX_BYTES: Final = 64 * KIB
"""One frame, header included, is one WebSocket message of at most this."""
DATA_MAX_BYTES: Final = 60 * KIB
"""Terminal bytes in one record: what fits a message after headers and seal."""
DIRECTORY_MAX_BYTES: Final = 8 * MIB
"""The one larger message: the list of machines, relay to client."""
STREAM_ID_MAX: Final = 2**32 - 1
OFFSET_MAX: Final = 2**63 - 1

# -- names and texts -----------------------------------------------------------------
NAME_MAX_CHARS: Final = 255
"""Hostnames (RFC 1035 §2.3.4), friendly names, labels, workspace names."""
TEXT_MAX_CHARS: Final = 4096
COMMAND_WORDS_MAX: Final = 1024
PASSWORD_MAX_BYTES: Final = 1024
WINSIZE_MAX: Final = 10_000

# -- sessions --------------------------------------------------------------------------
RING_BYTES: Final = 1 * MIB
GRACE_SECONDS: Final = 30.0
SESSIONS_MAX: Final = 64
CLIENTS_PER_SESSION_MAX: Final = 64
SESSION_TOKEN_SECONDS: Final = 24 * 3600.0
HANGUP_TO_KILL_SECONDS: Final = 2.0
"""From SIGHUP to SIGKILL when a session is ended."""
UUID_PREFIX_MIN_CHARS: Final = 4

# -- the terminal model behind replay ------------------------------------------------------
REPLAY_MAX_BYTES: Final = 1 * MIB
"""Scrollback and screen as drawn for a client that joins; the oldest lines are left out."""
SCROLLBACK_MAX_BYTES: Final = 8 * MIB
"""What the model's scrollback takes in memory: some 13,000 lines of 80 columns."""
MODEL_CELLS_MAX: Final = 1_000_000
"""Rows times columns; a larger terminal is modelled with fewer rows."""
SEQUENCE_MAX_BYTES: Final = 256 * KIB
"""An unfinished control string is kept up to here, to be finished by live output."""
ANSWERS_MAX_BYTES: Final = 64 * KIB
"""Of a model to questions that nobody has read yet; further ones are lost."""
MODEL_EARLY_BYTES: Final = 64 * KIB
"""Output that is kept until it is known that a session needs its model."""
MODEL_SNAPSHOT_MAX_BYTES: Final = 64 * MIB
MODEL_TIMEOUT_SECONDS: Final = 5.0
"""For one step of the model's process; past it the model is given up."""

# -- flow control ------------------------------------------------------------------------
WINDOW_MIN_BYTES: Final = 256 * KIB
WINDOW_MAX_BYTES: Final = 8 * MIB
INPUT_WINDOW_BYTES: Final = 256 * KIB
"""Input that a client may have sent and not yet seen acknowledged."""
INPUT_BACKLOG_MAX_BYTES: Final = 4 * MIB
"""Typed beyond the input window and kept; past it the terminal is not read, so that
what comes before a leaving key can still be read while a program reads nothing."""
STDOUT_PIECE_BYTES: Final = 4 * KIB
"""Written to a terminal at once, so that an interrupt finds something to drop."""
PTY_READ_BYTES: Final = 64 * KIB
UPLINK_LOW_WATER_BYTES: Final = 64 * KIB
"""Bulk output waits, unsealed, while more than this is queued for the relay."""
CLIENT_QUEUE_MAX_BYTES: Final = 32 * MIB
"""Relay to one client; past it the client ignores its credit and is closed."""
AGENT_QUEUE_MAX_BYTES: Final = 64 * MIB
AGENT_BACKLOG_MAX_BYTES: Final = AGENT_QUEUE_MAX_BYTES // 2
"""A client that still sends when so much waits for the machine is the one that is closed."""
STREAMS_PER_CONNECTION_MAX: Final = 1024
PING_MAX_BYTES: Final = 64
MACHINES_PER_WORKSPACE_MAX: Final = 10_000
HANDSHAKES_MAX: Final = 1024
"""Connections to a relay that have not yet shown a credential, at once."""
HANDSHAKES_PER_SOURCE_MAX: Final = 128
"""Of those, from one address: who says nothing keeps out no more than the neighbours."""

# -- liveness ------------------------------------------------------------------------------
HEARTBEAT_INTERVAL_SECONDS: Final = 15.0
OFFLINE_AFTER_SECONDS: Final = 45.0
RECORD_INTERVAL_SECONDS: Final = 60.0
"""How often a relay writes down that a machine still lives, for after its own crash."""
PING_INTERVAL_SECONDS: Final = 4.0
LINK_DEAD_SECONDS: Final = 9.0
"""Nothing heard for this long, pings included: the link is half open."""

# -- timeouts of single steps ------------------------------------------------------------------
DIAL_TIMEOUT_SECONDS: Final = 10.0
OPEN_TIMEOUT_SECONDS: Final = 10.0
AUTH_TIMEOUT_SECONDS: Final = 10.0
HELLO_TIMEOUT_SECONDS: Final = 10.0
RESTORE_WITHIN_SECONDS: Final = 0.15
"""From the key that leaves to a restored terminal, whatever else hangs."""
BACKOFF_FIRST_SECONDS: Final = 0.25
BACKOFF_MAX_SECONDS: Final = 10.0
CLOSE_TIMEOUT_SECONDS: Final = 1.0

# -- the user's keyboard and terminal ------------------------------------------------------------
KEY_HOLD_SECONDS: Final = 0.05
"""How long the beginning of a key's encoding waits for its rest; a lone ESC is late by this."""
KEY_SEQUENCE_MAX_BYTES: Final = 64
"""The longest encoding of one key that is looked at."""
DETACH_KEYS_MAX: Final = 16
TERMINAL_READ_BYTES: Final = 64 * KIB
TERMINAL_SEQUENCE_MAX_BYTES: Final = 1 * KIB
"""What is kept of an unfinished control sequence or string of a remote program."""
ANSWER_DUE_BYTES: Final = 64 * KIB
"""A question this close to the end of the output may still be unanswered."""
ANSWER_DRAIN_SECONDS: Final = 0.05
"""How long leaving waits for a terminal's late answers; part of `RESTORE_WITHIN_SECONDS`."""

# -- where things listen by default ---------------------------------------------------------------
DEFAULT_PORT: Final = 7420
DEFAULT_SERVER: Final = f"ws://127.0.0.1:{DEFAULT_PORT}"
