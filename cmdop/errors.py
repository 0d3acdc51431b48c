"""The one error tree: what can go wrong, as the user reads it.

The docstring of a class is the sentence that the user reads, with the details in
braces filled in. `code` is stable and goes into JSON, `exit_status` is what the
process ends with (docs/cli.md has the table), and `hint` is the next thing to type.
Code below `cli/` raises these and nothing else; foreign exceptions are translated
where they enter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class CmdopError(Exception):
    """something unexpected went wrong: {reason}"""

    code: ClassVar[str] = "unexpected"
    exit_status: ClassVar[int] = 1
    hint: ClassVar[str] = "run it again with CMDOP_DEBUG=1 and look into the log"

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What happened, to what; one sentence. A peer's own words where it sent any."""
        told: str | None = self.details.get("told")
        return _shown(told or (type(self).__doc__ or "").format_map(_Known(self.details)))

    @property
    def next_step(self) -> str:
        """What to type next, or an empty text."""
        return _shown(self.hint.format_map(_Known(self.details)))


def _shown(text: str) -> str:
    """A text without control characters, as it may hold what a peer said."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


class _Known(dict[str, Any]):
    """Details for a sentence; one that is missing shows as `?`, never as a crash."""

    def __missing__(self, key: str) -> str:
        return _Missing("?")


class _Missing(str):
    """Shows as it is whatever format a sentence asks for: peers send codes without details."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return str(self)


# -- usage ------------------------------------------------------------------------------


class UsageError(CmdopError):
    """{reason}"""

    code = "usage"
    exit_status = 2
    hint = "see cmdop --help"


class NotATerminal(CmdopError):
    """{what} needs a terminal, and this is not one"""

    code = "not-a-terminal"
    exit_status = 2
    hint = "pass a hostname, or use --no-interactive: cmdop connect HOST"


class OutputLost(CmdopError):
    """the output cannot be written: {reason}"""

    code = "output-lost"
    hint = "free some space or let it go somewhere else; what it tells of was done"


class TerminalGone(CmdopError):
    """your terminal is gone: {reason}"""

    code = "terminal-gone"
    hint = "attach again from another one: cmdop connect HOST"


class HostMissing(CmdopError):
    """no machine was named"""

    code = "host-missing"
    exit_status = 2
    hint = "name one: cmdop connect HOST (cmdop connect --list shows them)"


class BadServer(CmdopError):
    """the server "{server}" is not a relay's address: {reason}"""

    code = "bad-server"
    exit_status = 2
    hint = "write ws://HOST:PORT, wss://HOST or HOST[:PORT]"


class BadKey(CmdopError):
    """that is not an API key: {reason}"""

    code = "bad-key"
    exit_status = 5
    hint = "a key looks like ck_... and is printed once by: cmdop relay key create"


# -- the files of CMDOP_HOME ----------------------------------------------------------------


class ConfigCorrupt(CmdopError):
    """{path} cannot be read: {reason}"""

    code = "config-corrupt"
    hint = "it was set aside as {aside}; set things up again with: cmdop connect key set KEY"


class HomeUnusable(CmdopError):
    """{path} cannot be used: {reason}"""

    code = "home-unusable"
    hint = "free some space or fix its permissions, or set CMDOP_HOME to another folder"


class KeyringUnusable(CmdopError):
    """the system's keyring does not work: {reason}"""

    code = "keyring-unusable"
    hint = "unlock it, or pass the key with --api-key or CMDOP_API_KEY"


# -- which machine ------------------------------------------------------------------------------


class NoSuchMachine(CmdopError):
    """no machine matches "{query}\""""

    code = "no-such-machine"
    exit_status = 3
    hint = "{nearest}"


class AmbiguousMachine(CmdopError):
    """ambiguous machine "{query}\""""

    code = "ambiguous-machine"
    exit_status = 3
    hint = "type more characters or use the UUID:\n{candidates}"


class MachineOffline(CmdopError):
    """machine "{name}" is offline"""

    code = "machine-offline"
    exit_status = 4
    hint = "{last_heard}; on that machine, look at: cmdop agent status"


# -- the relay ---------------------------------------------------------------------------------------


class RelayUnreachable(CmdopError):
    """cannot reach the relay {server}: {reason}"""

    code = "relay-unreachable"
    exit_status = 4
    hint = "is it running, and is the address right? cmdop relay serve starts one, --server names another"


class RelayLost(CmdopError):
    """lost the relay {server}: {reason}"""

    code = "relay-lost"
    exit_status = 4
    hint = "the shell is kept for {grace_seconds} s: cmdop connect {host}"


class RelayUntrusted(RelayUnreachable):
    """the relay {server} is not to be trusted: {reason}"""

    code = "relay-untrusted"
    hint = "if you know whose certificate it is, set SSL_CERT_FILE to the file of its CA"


class PlainTextRefused(CmdopError):
    """{server} would be plain text over a network"""

    code = "plain-text-refused"
    exit_status = 4
    hint = "use wss:// (cmdop relay serve --tls-cert FILE --tls-key FILE), or say --insecure"


class VersionMismatch(CmdopError):
    """{peer} speaks cmdop protocol {theirs}, and this cmdop speaks {ours}"""

    code = "version-mismatch"
    exit_status = 4
    hint = "upgrade the older one; cmdop --version shows what runs here"


class ConnectionClosed(CmdopError):
    """the connection was closed: {reason}"""

    code = "connection-closed"
    exit_status = 4
    hint = "try again"


class TimedOut(CmdopError):
    """{what} did not answer within {seconds:g} s"""

    code = "timed-out"
    exit_status = 4
    hint = "try again; cmdop connect --list shows what is online"


# -- who may enter -------------------------------------------------------------------------------------


class NoApiKey(CmdopError):
    """no API key for workspace "{workspace}\""""

    code = "no-api-key"
    exit_status = 5
    hint = "run cmdop connect key set KEY, or cmdop login"


class AdminKeyMissing(CmdopError):
    """making a key for workspace "{workspace}" needs its admin key"""

    code = "admin-key-missing"
    exit_status = 5
    hint = "put it into CMDOP_API_KEY; the first one was printed by: cmdop relay workspace create"


class KeyRefused(CmdopError):
    """the relay {server} refused the API key {key}: {reason}"""

    code = "key-refused"
    exit_status = 5
    hint = "set one that is valid there: cmdop connect key set KEY"


class RoleTooLow(CmdopError):
    """{what} needs the role {needed}, and this key has the role {role}"""

    code = "role-too-low"
    exit_status = 5
    hint = "ask an admin for such a key: cmdop relay key create --role {needed}"


class SealRefused(CmdopError):
    """{peer} could not prove that it holds this workspace's keys"""

    code = "seal-refused"
    exit_status = 5
    hint = "the key and the machine belong to different workspaces, or someone is in between"


class PasswordRefused(CmdopError):
    """wrong password for {host}"""

    code = "wrong-password"
    exit_status = 5
    hint = "try again: cmdop connect {host}"


class PasswordMissing(CmdopError):
    """{host} asks for a password"""

    code = "password-missing"
    exit_status = 5
    hint = "pass --password-file FILE or set CMDOP_AGENT_PASSWORD"


class TokenMissing(CmdopError):
    """Session requires password. Authenticate via ConnectTerminal first."""

    code = "token-missing"
    exit_status = 5
    hint = "attach once: cmdop connect {host}"


# -- sessions -------------------------------------------------------------------------------------------------


class SessionGone(CmdopError):
    """session {session} is gone{what}"""

    code = "session-gone"
    exit_status = 6
    hint = "open a new one: cmdop connect {host}"


class AmbiguousSession(CmdopError):
    """several sessions begin with "{query}\""""

    code = "ambiguous-session"
    exit_status = 3
    hint = "type more characters: cmdop session list shows them"


class SessionRefused(CmdopError):
    """{host} opened no session: {reason}"""

    code = "session-refused"
    exit_status = 6
    hint = "see what runs there: cmdop session list"


class TakenOver(CmdopError):
    """detached: {operator} took the session over"""

    code = "taken-over"
    hint = "join it again: cmdop connect {host}"


# -- the machine's own agent and relay ---------------------------------------------------------------------------


class AgentNotRunning(CmdopError):
    """no agent is running here"""

    code = "agent-not-running"
    exit_status = 4
    hint = "start one: cmdop agent start"


class AgentRunning(CmdopError):
    """an agent is already running here (pid {pid})"""

    code = "agent-running"
    exit_status = 1
    hint = "cmdop agent status shows it, cmdop agent restart starts it anew"


class ShellUnusable(CmdopError):
    """the shell {shell} cannot be started: {reason}"""

    code = "shell-unusable"
    hint = "name another: cmdop agent start --shell CMD"


class NotEnrolled(CmdopError):
    """this machine is not enrolled with {server}"""

    code = "not-enrolled"
    exit_status = 5
    hint = "give it a key once: cmdop agent start --server {server} --api-key KEY"


class EnrollmentRefused(CmdopError):
    """the relay did not enroll this machine: {reason}"""

    code = "enrollment-refused"
    exit_status = 5
    hint = "use a key of its own workspace, or remove it from the other one: cmdop relay machine remove"


class ModelUnusable(CmdopError):
    """the terminal model cannot be used: {reason}"""

    code = "model-unusable"
    hint = "install it with: pip install pyghostty"


class StoreUnusable(CmdopError):
    """the relay's records {path} cannot be used: {reason}"""

    code = "store-unusable"
    hint = "check the path, its permissions and the free space"


class NoSuchRecord(CmdopError):
    """there is no {kind} "{name}\""""

    code = "no-such-record"
    exit_status = 3
    hint = "list what there is: cmdop relay {kind} list"


class RecordExists(CmdopError):
    """there is already a {kind} "{name}\""""

    code = "record-exists"
    hint = "choose another name"


class AddressInUse(CmdopError):
    """cannot listen on {address}: {reason}"""

    code = "address-in-use"
    hint = "choose another one: cmdop relay serve --listen HOST:PORT"


class DemoFailed(CmdopError):
    """the demo's {program} did not start: {reason}"""

    code = "demo-failed"
    hint = "run it with --keep DIR and look into DIR/{program}.demo.log"


# -- peers that break the protocol ---------------------------------------------------------------------------------
# Two errors, so that it is clear whose mistake it was.


class RemoteProtocolError(CmdopError):
    """the other side broke the protocol: {reason}"""

    code = "remote-protocol"
    hint = "upgrade both sides to the same cmdop; if it stays, report it"


class LocalProtocolError(CmdopError):
    """cmdop itself broke the protocol: {reason}"""

    code = "local-protocol"
    hint = "this is a mistake in cmdop: please report it"


def from_peer(code: str, sentence: str, **details: Any) -> CmdopError:
    """The error that a peer named by its code, in the peer's words where it sent any.

    An unknown code becomes a ConnectionClosed. Control characters are taken out of the
    words, as they will be shown on a terminal.
    """
    told = _printable(sentence)
    for kind in _tree(CmdopError):
        if kind.code == code:
            return kind(**{**details, "told": told} if told else details)
    return ConnectionClosed(**{**details, "reason": told or _printable(code)})


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _tree(kind: type[CmdopError]) -> Iterator[type[CmdopError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _tree(narrower)
