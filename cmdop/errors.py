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
    """Details for a sentence; one that is missing shows as `?`, never as a crash.

    Each is one line, or a peer's name could put lines of its own among ours. Only `candidates`
    are several: whoever lists them has looked at each.
    """

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        return _printable(value) if type(value) is str and key != "candidates" else value

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
    hint = "see {command} --help"

    def __init__(self, command: str = "cmdop", **details: Any) -> None:
        """`command` is how the help begins that explains it."""
        super().__init__(command=command, **details)


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


class InputMissing(CmdopError):
    """{what} is missing, and nobody may be asked for it"""

    code = "input-missing"
    exit_status = 2
    hint = "{how}"


class BadServer(CmdopError):
    """the server "{server}" is not a relay's address: {reason}"""

    code = "bad-server"
    exit_status = 2
    hint = "write ws://HOST:PORT, wss://HOST or HOST[:PORT]"


class BadProxy(CmdopError):
    """the proxy in {variable} cannot be used: {reason}"""

    code = "bad-proxy"
    exit_status = 2
    hint = "write http://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before HOST if it wants them"


class BadCaFile(CmdopError):
    """the certificates in {path} cannot be used: {reason}"""

    code = "bad-ca-file"
    exit_status = 2
    hint = "name a file of certificates (PEM): --ca-file FILE; cmdop login --ca-file FILE keeps it with the workspace"


class BadKey(CmdopError):
    """that is not an API key: {reason}"""

    code = "bad-key"
    exit_status = 5
    hint = "a key looks like ck_... and is printed once by: cmdop relay key create"


# -- the files of CMDOP_HOME ----------------------------------------------------------------


class ConfigCorrupt(CmdopError):
    """{path} cannot be read: {reason}"""

    code = "config-corrupt"
    hint = "it was set aside as {aside}; {again}"


class KnownMachinesCorrupt(ConfigCorrupt):
    """{path} cannot be read, so no machine is known any more: {reason}"""

    code = "known-machines-corrupt"
    hint = (
        "it was set aside as {aside}; compare keys with what cmdop agent status shows on the machines, "
        "and accept those: cmdop connect machine accept HOST"
    )


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


class NoMachines(CmdopError):
    """the workspace "{workspace}" has no machines yet"""

    code = "no-machines"
    exit_status = 3
    hint = "add one; on that machine, run: cmdop agent start --server {server} --api-key KEY"


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
    hint = "the session may still be there: cmdop connect {host}"


class RelayUntrusted(RelayUnreachable):
    """the relay {server} is not to be trusted: {reason}"""

    code = "relay-untrusted"
    hint = "if you know whose that is and it may vouch for the relay, name the file of its certificate: --ca-file FILE"


class ProxyUnreachable(RelayUnreachable):
    """cannot reach the relay {server}: the proxy {proxy} is in between, and {reason}"""

    code = "proxy-unreachable"
    hint = "it is the one of {variable}; see what works: cmdop doctor"


class ProxyRefused(RelayUnreachable):
    """the proxy {proxy} does not let us through to the relay {server}: {reason}"""

    code = "proxy-refused"
    hint = "ask who runs it to allow CONNECT to the relay, or name the relay in NO_PROXY; see more: cmdop doctor"


class ProxyPasswordRefused(RelayUnreachable):
    """the proxy {proxy} wants another user and password: {reason}"""

    code = "proxy-password"
    hint = "put them into {variable}: http://USER:PASSWORD@HOST:PORT, with %40 for an @ in them"


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

    @property
    def next_step(self) -> str:
        """With the workspace that was named; and what is odd about the places that were looked at."""
        import shlex  # for who needs it

        option = f" --workspace {shlex.quote(str(self.details['workspace']))}" if self.details.get("named") else ""
        step = self.hint.replace("KEY", f"KEY{option}") + option
        odd = [f"{each['source']}: {each['reason']}" for each in self.details.get("sources", ()) if each["odd"]]
        return _shown("\n".join([step, *odd]))


class NoSuchWorkspace(CmdopError):
    """there is no workspace "{workspace}" here"""

    code = "no-such-workspace"
    exit_status = 3
    hint = "known here: {known}; add one with: cmdop login"


class WorkspaceTaken(CmdopError):
    """the workspace "{workspace}" that is known here has another relay, {server}"""

    code = "workspace-taken"
    exit_status = 2
    hint = "give this one a name of its own: --workspace NAME; cmdop connect workspace list shows those that are taken"


class AdminKeyMissing(CmdopError):
    """making a key for workspace "{workspace}" needs its admin key"""

    code = "admin-key-missing"
    exit_status = 5
    hint = "put it into CMDOP_API_KEY; the first one was printed by: cmdop relay workspace create"


class KeyRefused(CmdopError):
    """the relay {server} refused the API key {key}: {reason}"""

    code = "key-refused"
    exit_status = 5
    hint = "use one that is valid there: cmdop login, or cmdop connect key set KEY"


class RoleTooLow(CmdopError):
    """{what} needs the role {needed}, and this key has the role {role}"""

    code = "role-too-low"
    exit_status = 5
    hint = "ask an admin for such a key: cmdop connect key create --role {needed}"


class NoSuchKey(CmdopError):
    """this workspace has no key "{key}\""""

    code = "no-such-key"
    exit_status = 3
    hint = "see which there are: cmdop connect key list"


class LastAdminKey(CmdopError):
    """{key} is the last admin key of the workspace {workspace}: without one nobody can make keys for it"""

    code = "last-admin-key"
    exit_status = 5
    hint = "make another one first (cmdop connect key create --role admin), or say --last-admin"


class TooManyKeys(CmdopError):
    """the workspace {workspace} has {most} keys already, revoked ones included"""

    code = "too-many-keys"
    hint = "go on in a new workspace: cmdop relay workspace create NAME"


class TooManyConnections(CmdopError):
    """the relay has {most} connections of this key already"""

    code = "too-many-connections"
    exit_status = 4
    hint = "end some, or give each program a key of its own: cmdop connect key create"


class SealRefused(CmdopError):
    """{peer} could not prove that it holds this workspace's keys"""

    code = "seal-refused"
    exit_status = 5
    hint = "the key and the machine belong to different workspaces, or someone is in between"


class MachineChanged(CmdopError):
    """the key of {name} has CHANGED: it is {fingerprint} now, and was {known} since {since}"""

    code = "machine-changed"
    exit_status = 5
    hint = (
        "either the machine was set up anew, or somebody else answers in its place; nothing was typed or told there.\n"
        "On the machine, cmdop agent status shows its key. If that is the new one: cmdop connect machine accept {host}"
    )


class MachineUnknown(CmdopError):
    """{name} is not known here: its key is {fingerprint}, and only known ones are let in (--machine-keys strict)"""

    code = "machine-unknown"
    exit_status = 5
    hint = "on the machine, cmdop agent status shows its key; if it is that one: cmdop connect machine accept {host}"


class FingerprintDiffers(CmdopError):
    """the key of {name} is {fingerprint}, and not {wanted}"""

    code = "fingerprint-differs"
    exit_status = 5
    hint = "nothing was accepted; look again on the machine itself: cmdop agent status"


class PasswordRefused(CmdopError):
    """wrong password for {host}"""

    code = "wrong-password"
    exit_status = 5
    hint = "try again: cmdop connect {host}"


class PasswordMissing(CmdopError):
    """{host} asks for a password"""

    code = "password-missing"
    exit_status = 5
    hint = "pass --password-file FILE, set CMDOP_AGENT_PASSWORD, or keep it: cmdop connect password set {host}"


class PasswordUnusable(CmdopError):
    """the machine lets nobody in: its password in {path} cannot be read: {reason}"""

    code = "password-unusable"
    exit_status = 5
    hint = "on that machine, set it anew: cmdop agent password set"


class TooManyGuesses(CmdopError):
    """too many clients wait for {host} to look at their passwords"""

    code = "too-many-guesses"
    exit_status = 5
    hint = "try again later; on that machine, see who it is: cmdop agent logs"


class TokenMissing(CmdopError):
    """Session requires password. Authenticate via ConnectTerminal first."""

    code = "token-missing"
    exit_status = 5
    hint = "pass --password-file FILE, set CMDOP_AGENT_PASSWORD, or keep it: cmdop connect password set {host}"


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

    @property
    def next_step(self) -> str:
        """With the sessions to choose from, where they are known."""
        return super().next_step + _shown(str(self.details.get("candidates", "")))


class SessionRefused(CmdopError):
    """{host} opened no session: {reason}"""

    code = "session-refused"
    exit_status = 6
    hint = "see what runs there: cmdop session list"


class CommandUnusable(CmdopError):
    """{command} cannot be run: {reason}"""

    code = "command-unusable"
    hint = "look what there is: cmdop connect exec HOST -- ls"


class CommandRefused(CmdopError):
    """{host} runs no command for you: {reason}"""

    code = "command-refused"
    hint = "try again when others have ended"


class CommandLost(CmdopError):
    """lost {host} while the command ran: {reason}"""

    code = "command-lost"
    exit_status = 4
    hint = "it is ended there (SIGHUP, then SIGKILL); see when the machine is back: cmdop connect --list"


class SignalLost(CmdopError):
    """signal {signal} reached nobody in session {session}"""

    code = "signal-lost"
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


class AgentDied(AgentNotRunning):
    """no agent is running here; the last one left {sessions}"""

    code = "agent-died"
    hint = "go on with: cmdop agent start; or end what is left with: cmdop agent stop"


class AgentRunning(CmdopError):
    """an agent is already running here (pid {pid})"""

    code = "agent-running"
    exit_status = 1
    hint = "cmdop agent restart starts it anew with the same options; for other ones run cmdop agent stop first"


class ShellUnusable(CmdopError):
    """the shell {shell} cannot be started: {reason}"""

    code = "shell-unusable"
    hint = "name another: cmdop agent start --shell CMD"


class ShellLost(CmdopError):
    """a shell did not outlive the restart of the agent: {reason}"""

    code = "shell-lost"
    hint = "open a new one: cmdop connect {host}"


class NotEnrolled(CmdopError):
    """this machine is not enrolled with {server}"""

    code = "not-enrolled"
    exit_status = 5
    hint = "give it a key once: cmdop agent start --server {server} --api-key KEY"


class NoServiceManager(CmdopError):
    """nothing here can keep the agent running as a service: {reason}"""

    code = "no-service-manager"
    hint = "start it by hand: cmdop agent start; or as a container's own program: cmdop agent start --foreground"


class ServiceRefused(CmdopError):
    """the agent's service cannot be changed: {what}: {reason}"""

    code = "service-refused"
    hint = "see what it would be: cmdop agent install --dry-run; or go without: cmdop agent start"


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


class StoreMissing(StoreUnusable):
    """there are no records of a relay in {path}"""

    code = "store-missing"
    hint = "name their file with --db FILE, or begin some: cmdop relay workspace create NAME"


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


def from_peer(code: str, sentence: str, needed: str = "", **details: Any) -> CmdopError:
    """The error that a peer named by its code, in the peer's words where it sent any.

    `needed` is the role that whoever may not do what was asked for lacks. An unknown code
    becomes a ConnectionClosed. Control characters are taken out of the words, as they will
    be shown on a terminal.
    """
    told = _printable(sentence)
    if needed and code == RoleTooLow.code:
        details["needed"] = needed
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
