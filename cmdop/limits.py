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
CALL_DATA_MAX_BYTES: Final = 48 * KIB
"""Terminal bytes in one call or its answer."""
STREAM_ID_MAX: Final = 2**32 - 1
OFFSET_MAX: Final = 2**63 - 1
COUNT_MAX: Final = 2**53
"""The largest number in a message: what every program that reads msgpack or JSON can hold."""

# -- files of CMDOP_HOME ------------------------------------------------------------------
HOME_FILE_MAX_BYTES: Final = 64 * MIB
"""No file of ours comes near it: the largest, ten thousand known machines, has some 3 MB."""

KEYRING_TIMEOUT_SECONDS: Final = 120.0
"""For somebody to unlock it; past it the keyring is one that does not work, and others need not wait behind it."""

# -- names and texts -----------------------------------------------------------------
NAME_MAX_CHARS: Final = 255
"""Hostnames (RFC 1035 §2.3.4), friendly names, labels, workspace names."""
TEXT_MAX_CHARS: Final = 4096
REASON_MAX_CHARS: Final = 500
"""Of the sentence with which a machine refuses something."""
COMMAND_WORDS_MAX: Final = 1024
PASSWORD_MAX_BYTES: Final = 1024
PADDED_BYTES: Final = 256
"""A message with a password is as long as a multiple of this, so that nearly all are of one length."""
WINSIZE_MAX: Final = 10_000

# -- sessions --------------------------------------------------------------------------
RING_BYTES: Final = 1 * MIB
RING_MAX_BYTES: Final = 16 * MIB
"""What a ring grows to when a client's window asks for it: what is under way when a connection
breaks has to be sent again."""
GRACE_SECONDS: Final = 30.0
HOLD_SECONDS: Final = 15.0
"""The program waits so long for a client that vanished, as it would for one that is slow:
one that comes back in time has missed nothing, however much the program has to say."""
SESSIONS_MAX: Final = 64
CLIENTS_PER_SESSION_MAX: Final = 64
OBSERVERS_PER_SESSION_MAX: Final = 48
"""Of those: who may only watch keeps out nobody who may type."""
SESSION_TOKEN_SECONDS: Final = 24 * 3600.0
TOKENS_MAX: Final = 10_000
IDLE_SECONDS: Final = 30 * 60.0
"""How long a session made by `cmdop session create` lives that nobody uses."""
IDLE_MAX_SECONDS: Final = 30 * 24 * 3600.0
DEPARTED_CLIENTS_MAX: Final = 256
"""Clients of one session that left and whose typing is still counted, should they resume."""
GONE_INPUT_MAX_BYTES: Final = 16 * MIB
"""Typed into one session by clients that are gone, and not read by its program yet; of more the oldest is lost."""
GRAVES_MAX: Final = 256
"""Sessions that are over and of which it is still known what they were running."""
PASTE_STALL_SECONDS: Final = 2.0
"""The keys of others wait for the rest of a bracketed paste, but no longer than this for more of it."""
HANGUP_TO_KILL_SECONDS: Final = 2.0
"""From SIGHUP to SIGKILL when a session is ended."""
WAITING_CALLS_MAX: Final = 4
"""Calls of one stream that wait for the one before them; they come one after the other."""
CALL_WAIT_SECONDS: Final = 8.0
"""How long a call waits for a program to read, or to end: less than its client waits for the answer."""
ASKED_MACHINES_MAX: Final = 128
"""Machines that are asked for their sessions at once."""
UUID_PREFIX_MIN_CHARS: Final = 4
RECENT_MACHINES_MAX: Final = 1000
"""Machines of which a client remembers when it was used last."""

# -- completing command lines --------------------------------------------------------------
COMPLETION_WAIT_SECONDS: Final = 1.0
"""How long a shell that completes a word waits for a relay's list of machines."""
COMPLETION_FRESH_SECONDS: Final = 30.0
"""How long such a list is taken for the truth."""
COMPLETION_RETRY_SECONDS: Final = 5.0
"""A relay that had no list in time is not asked again before."""
COMPLETION_MACHINES_MAX: Final = 1000
"""Machines of a workspace that are kept to complete words."""
COMPLETION_PLACES_MAX: Final = 16
"""Lists that are kept, one for each relay, workspace and key; the oldest go first."""

# -- commands without a session ------------------------------------------------------------
EXECUTIONS_MAX: Final = 256
"""Commands that run on a machine at once, each with a thread."""
JSON_OUTPUT_MAX_BYTES: Final = 10 * MIB
"""Of each output of a command in a JSON document; the rest is cut."""
JSON_TIMEOUT_SECONDS: Final = 30.0
"""How long a command may take whose result is to be a JSON document, unless --timeout says it."""
COMMAND_TIMEOUT_MAX_SECONDS: Final = 30 * 24 * 3600.0

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
MODEL_BACKLOG_BYTES: Final = 1 * MIB
"""Output that waits for its model; past it the session is held up by the model's speed."""
MODEL_WAITING_PIECES_MAX: Final = 512
MODEL_SNAPSHOT_MAX_BYTES: Final = 64 * MIB
MODEL_TIMEOUT_SECONDS: Final = 5.0
"""For one step of the model's process; past it the model is given up."""

# -- flow control ------------------------------------------------------------------------
WINDOW_MIN_BYTES: Final = 256 * KIB
"""The first window, and enough where the path is short."""
WINDOW_FLOOR_BYTES: Final = 16 * KIB
"""The window on a path so slow that more would stand in it for too long."""
WINDOW_MAX_BYTES: Final = 8 * MIB
INPUT_WINDOW_BYTES: Final = 1 * MIB
"""Input that a client may have sent and not yet seen acknowledged."""
INPUT_BACKLOG_MAX_BYTES: Final = 4 * MIB
"""Typed beyond the input window and kept; past it the terminal is not read, so that
what comes before a leaving key can still be read while a program reads nothing."""
REPLAY_TAKEN_MAX_BYTES: Final = 4 * MIB
"""Generated bytes on end, without output in between, that a client takes."""
STDOUT_PIECE_BYTES: Final = 4 * KIB
"""Written to a terminal at once, so that an interrupt finds something to drop."""
PTY_READ_BYTES: Final = 64 * KIB
UPLINK_LOW_WATER_BYTES: Final = 64 * KIB
"""Bulk output waits, unsealed, while more than this is queued for the relay."""
CLIENT_QUEUE_MAX_BYTES: Final = 32 * MIB
"""Relay to one client; past it the client ignores its credit and is closed."""
AGENT_QUEUE_MAX_BYTES: Final = 64 * MIB
AGENT_BACKLOG_MAX_BYTES: Final = 4 * MIB
"""While so much waits for a machine nothing more is taken from its clients: whatever they send
stands before the keys of all."""
STREAMS_PER_CONNECTION_MAX: Final = 1024
STREAMS_PER_KEY_MAX: Final = 256
"""Of those, to one machine with one API key: a member alone keeps nobody else out."""
PING_MAX_BYTES: Final = 64
HANDSHAKE_MAX_BYTES: Final = 256
"""One of the seal's handshake; the longest of the three is the second: 32 + 48 + 16 bytes."""
MACHINES_PER_WORKSPACE_MAX: Final = 10_000
KEYS_PER_WORKSPACE_MAX: Final = 10_000
"""Revoked ones included: they stay in the records."""
KEY_CONNECTIONS_MAX: Final = 256
"""Open connections of one key or machine at a relay: a credential that leaked takes no more of it than that."""
QUESTIONS_PER_SECOND_MAX: Final = 20
"""Lists and changes of keys that one client's connection may ask for; past it the client is closed."""
FREE_FAILURES_MAX: Final = 5
"""Wrong credentials from one address before it is told to wait."""
FAILURE_WAIT_FIRST_SECONDS: Final = 1.0
"""The wait after the first that was not free; it doubles from one to the next."""
FAILURE_WAIT_MAX_SECONDS: Final = 60.0
FAILURES_FORGOTTEN_SECONDS: Final = 600.0
FAILING_SOURCES_MAX: Final = 10_000
"""Addresses remembered at once; past it the one that failed longest ago is forgotten."""
HANDSHAKES_MAX: Final = 1024
"""Connections to a relay that have not yet shown a credential, at once."""
HANDSHAKES_PER_SOURCE_MAX: Final = 128
"""Of those, from one address: who says nothing keeps out no more than the neighbours."""

# -- liveness ------------------------------------------------------------------------------
HEARTBEAT_INTERVAL_SECONDS: Final = 15.0
HEARTBEAT_INTERVAL_MIN_SECONDS: Final = 1.0
"""However often a relay wants them."""
HEARTBEAT_SESSIONS_MAX: Final = 16
"""Sessions in one heartbeat, the newest first: lists of machines show one."""
OFFLINE_AFTER_SECONDS: Final = 45.0
RECORD_INTERVAL_SECONDS: Final = 60.0
"""How often a relay writes down that a machine still lives, for after its own crash."""
REFRESH_INTERVAL_SECONDS: Final = 3.0
"""How often a list of machines is fetched while somebody looks at it: less than PING_INTERVAL_SECONDS,
so that the relay has no need to ask who does nothing else."""
PING_INTERVAL_SECONDS: Final = 4.0
LINK_DEAD_SECONDS: Final = 9.0
"""Nothing heard for this long, pings included: the link is half open."""

# -- machine passwords ---------------------------------------------------------------------------
SCRYPT_N: Final = 2**15
"""With `SCRYPT_R` 8 and `SCRYPT_P` 1 (RFC 7914 §2): 32 MiB and some 0.1 s for each guess, also
for who stole the file. More would hurt small machines, on which agents run too."""
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SCRYPT_MEMORY_MAX_BYTES: Final = 256 * MIB
"""What a password that was kept may cost at most; OpenSSL wants some more than 128 * N * r bytes."""
PASSWORD_TRIES_MAX: Final = 6
"""Wrong answers on one stream: what a client has without asking anybody, and three from a person."""
PASSWORD_PROMPTS_MAX: Final = 3
"""How often a client asks its user."""
PASSWORD_ANSWER_SECONDS: Final = 120.0
"""How long a machine waits for somebody to type a password."""
FREE_GUESSES_MAX: Final = 3
"""Wrong passwords on a machine, from whomever, before the next answer has to wait."""
GUESS_WAIT_FIRST_SECONDS: Final = 1.0
"""The wait after the last free one; it doubles from one wrong answer to the next."""
GUESS_WAIT_MAX_SECONDS: Final = 60.0
"""1,440 guesses a day, however many clients guess."""
GUESSES_FORGOTTEN_SECONDS: Final = 3600.0
"""Wrong answers are forgotten when so long none came: waiting for it is slower than guessing on."""
GUESSERS_MAX: Final = 256
"""Clients whose wrong answers are told apart; those of more are counted and are nobody's."""
WAITING_GUESSES_MAX: Final = 64
"""Answers that wait to be judged, each with a thread."""
GUESS_QUEUED_SECONDS: Final = 600.0
"""An answer that was not judged by then is turned away."""

# -- the agent and its session host ------------------------------------------------------------
ORPHAN_SECONDS: Final = 3600.0
"""How long sessions are kept for the next agent, once theirs has died."""
ORPHAN_LOOK_SECONDS: Final = 5.0
"""How often a host without an agent looks whether its home is still there: nothing portable tells."""
LEASE_MESSAGE_MAX_BYTES: Final = 8 * MIB
"""One message between agent and host; the largest has a whole environment in it."""
LEASE_MESSAGES_MAX: Final = 1024
"""Messages that wait because the other one does not read; further ones are lost: lines of log."""

LINK_TELL_SECONDS: Final = 2.0
"""A lost link is back so soon most often that the user need not hear of it."""
LINK_TELL_SILENT_SECONDS: Final = 1.0
"""The same for one that was silent for `LINK_DEAD_SECONDS` before it was given up."""
LINK_HELD_SECONDS: Final = 1.0
"""A connection that brought nothing in this time did not help: the next try waits longer."""
ATTACH_EVENTS_MAX: Final = 1024
"""What happened to an attach and was not told yet; more is not told."""

# -- timeouts of single steps ------------------------------------------------------------------
DIAL_TIMEOUT_SECONDS: Final = 10.0
PROXY_ANSWER_MAX_BYTES: Final = 16 * KIB
"""The head of what a proxy answers to CONNECT; the ones that there are need a few hundred."""
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
SHOWN_AHEAD_BYTES: Final = 64 * KIB
"""About what waits in this process for a program that is attached and does not read."""
TERMINAL_SEQUENCE_MAX_BYTES: Final = 1 * KIB
"""What is kept of an unfinished control sequence or string of a remote program."""
ANSWER_DUE_BYTES: Final = 64 * KIB
"""A question this close to the end of the output may still be unanswered."""
ANSWER_DRAIN_SECONDS: Final = 0.05
"""How long leaving waits for a terminal's late answers; part of `RESTORE_WITHIN_SECONDS`."""
ANSWER_EXPECTED_SECONDS: Final = 10.0
"""A question that a terminal has not answered by then counts as one that it does not know."""
REPORT_EXPECTED_SECONDS: Final = 1.0
"""The same for what a terminal may say at once when it is to report; later it is news."""
ANSWER_SEQUENCE_MAX_BYTES: Final = 256
"""The longest answer that is a control sequence, and the longest beginning of one that is a string."""
QUESTIONS_MAX: Final = 1024
"""Unanswered questions, runs of the same one counted once; the oldest go first."""
ANSWER_TURNS_MAX: Final = 64
"""Changes of who answers that are remembered; the oldest go first."""

# -- where things listen by default ---------------------------------------------------------------
DEFAULT_PORT: Final = 7420
DEFAULT_SERVER: Final = f"ws://127.0.0.1:{DEFAULT_PORT}"
