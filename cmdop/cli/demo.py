"""`cmdop demo`: a relay, an agent and a shell, all on this machine, to try it.

The three programs are the real ones: relay and agent run as processes of their own
under one home, which is removed at the end unless --keep names one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import click

from cmdop.agent.hosting import PROGRAM
from cmdop.auth.credentials import Credential, Given, find_credential, secret_name
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, changing_workspaces
from cmdop.cli.progress import say
from cmdop.errors import CmdopError, DemoFailed
from cmdop.home import Home
from cmdop.terminal.signals import handled

MACHINE = "demo"
_START_TIMEOUT_SECONDS = 15.0
_STOP_TIMEOUT_SECONDS = 5.0
_SHOW = ("sh", "-c", "printf 'hello from %s, through a relay that cannot read this\\n' \"$(uname -n)\"; uname -srm")


@click.command()
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Keep relay, agent and key under this home."
)
def demo(keep: Path | None) -> int:
    """Try it: relay and agent on this machine's loopback, then a shell through them.

    Nothing is left behind. Without a terminal it runs one command and prints the result.

    \b
      cmdop demo
      cmdop demo | cat
    """
    with ExitStack() as stack:
        stack.enter_context(_stopped_by_signals())
        home = Home((keep or Path(stack.enter_context(_scratch()))).absolute())
        credential = stack.enter_context(local_stack(home)).credential
        if all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
            return _attach(home, credential)
        return _run_one(home, credential)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A signal that ends us ends the block as an exception does: nothing is left running."""

    def leave(number: int) -> None:
        for later in numbers:  # the stopping itself is not to be interrupted
            signal.signal(later, signal.SIG_IGN)
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    with handled(numbers, leave, keep_ignored=True):
        yield


@contextmanager
def _scratch() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="cmdop-demo-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class LocalStack:
    """A relay and an agent that is online: the credential to reach it, and their pids."""

    credential: Credential
    relay_pid: int
    agent_pid: int


@contextmanager
def local_stack(home: Home) -> Iterator[LocalStack]:
    """Run a relay and an agent on loopback, all of it under one home, until the block ends."""
    db = home.folder() / "relay.db"
    with ExitStack() as stack:
        argv = ["relay", "serve", "--listen", "127.0.0.1:0", "--db", str(db)]
        relay = stack.enter_context(_program(home, "relay", argv, " listening on "))
        server = relay.line.rpartition(" ")[2]
        key = _workspace_key(home, db, server)
        stack.callback(_end_what_an_agent_left, home)
        argv = ["agent", "start", "--foreground", "--name", MACHINE, "--server", server]
        agent = stack.enter_context(_program(home, "agent", argv, "online", CMDOP_API_KEY=key))
        yield LocalStack(find_credential(home, Given()), relay.pid, agent.pid)


def _end_what_an_agent_left(home: Home) -> None:
    """Its shells outlive an agent that had to be killed (docs/agent.md), but not the demo."""
    from cmdop.agent import daemon

    with suppress(CmdopError):
        daemon.stop(home)


def _workspace_key(home: Home, db: Path, server: str) -> str:
    """The workspace `demo`, made on the first run and selected; its admin key."""
    kept = Vault(home).get(secret_name(MACHINE))
    if kept is None:
        argv = [*PROGRAM, "relay", "workspace", "create", MACHINE, "--db", str(db)]
        made = subprocess.run(argv, env=_environment(home), capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise DemoFailed(program="relay", reason=made.stderr.strip())
        kept = made.stdout.strip()
        Vault(home).keep(secret_name(MACHINE), kept)
    with changing_workspaces(home) as file:
        file.known = file.known.with_relay(MACHINE, KnownRelay(server))
    return kept


def _environment(home: Home, **more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CMDOP_")}
    return {**ours, "CMDOP_HOME": str(home.path), **more}


@contextmanager
def _program(home: Home, name: str, argv: list[str], ready: str, **environment: str) -> Iterator[_Started]:
    """One of our own programs, once it has said a line with `ready` in it."""
    process = subprocess.Popen(
        [*PROGRAM, *argv],
        env=_environment(home, **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the shell, not for them
    )
    assert process.stderr is not None
    heard = _Heard(process.stderr, home.file(f"{name}.demo.log"), ready)
    try:
        if not heard.said.wait(_START_TIMEOUT_SECONDS) or heard.line is None:
            raise DemoFailed(program=name, reason=heard.reason)
        yield _Started(heard.line, process.pid)
    finally:
        _end(process)
        heard.thread.join(_STOP_TIMEOUT_SECONDS)


class _Started(NamedTuple):
    line: str
    pid: int


class _Heard:
    """Listens to a program's stderr on the thread `NAME->log`, which ends with it."""

    def __init__(self, stderr: IO[str], log: Path, ready: str) -> None:
        self.said = threading.Event()
        self.line: str | None = None
        self._error = self._last = ""
        self._stderr, self._log, self._ready = stderr, log, ready
        self.thread = threading.Thread(target=self._listen, name=f"{log.stem}->log", daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        with self._log.open("a") as log:
            for line in self._stderr:
                log.write(line)
                self._last = line.strip()
                if line.startswith("cmdop: "):
                    self._error = self._last.removeprefix("cmdop: ")
                if self.line is None and self._ready in line:
                    self.line = self._last
                    self.said.set()
        self.said.set()

    @property
    def reason(self) -> str:
        """Why it does not run, as far as it said: its error, or else its last words."""
        return self._error or self._last or "it said nothing"


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _attach(home: Home, credential: Credential) -> int:
    from cmdop.cli.connect import ConnectOptions, attach_with

    say("A relay and an agent run on this machine now. This is a shell through both:")
    options = ConnectOptions(host=MACHINE, given=Given(), outlives=False)
    try:
        return attach_with(options, credential, home)
    finally:
        say("The demo is over; relay and agent are stopped.")


def _run_one(home: Home, credential: Credential) -> int:
    from cmdop.auth.device import device_key
    from cmdop.cli.machine_keys import known_machines
    from cmdop.cli.progress import Silent
    from cmdop.client.connect import TerminalAbout, Wanted, join_session
    from cmdop.client.outcome import SessionEnded
    from cmdop.client.run import collect
    from cmdop.winsize import DEFAULT_WINSIZE

    wanted = Wanted(MACHINE, TerminalAbout(DEFAULT_WINSIZE, "dumb"), new=True, command=_SHOW)
    known = known_machines(home, credential)
    joined = join_session(credential, device_key(home), known, wanted, Silent())
    output, ended = collect(joined)
    sys.stdout.buffer.write(output.replace(b"\r\n", b"\n"))
    return SessionEnded(ended).status
