"""`cmdop agent`: start, stop and look at the agent of this machine."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmdop.cli import debug
from cmdop.cli.agent_install import install, uninstall
from cmdop.cli.agent_password import password
from cmdop.cli.options import api_key_option, as_kept, home, json_option, server_option
from cmdop.cli.output import print_json
from cmdop.cli.way import ca_file_option, told_of_proxies, trusted_file
from cmdop.printable import printable
from cmdop.transport.proxy import names_proxies, variables_of

if TYPE_CHECKING:
    from cmdop.agent.options import AgentOptions

_FOLLOW_SECONDS = 0.2
"""Nothing portable wakes who waits for a file to grow; so `logs -f` looks again this often."""


@click.group()
def agent() -> None:
    """Make this machine reachable.

    \b
      cmdop agent start --name office --server relay.example.org -k ck_...
      cmdop agent status
    """


agent.add_command(password)
agent.add_command(install)
agent.add_command(uninstall)


@agent.command()
@click.option("--foreground", is_flag=True, help="Stay here instead of going into the background.")
@click.option("--detached", is_flag=True, hidden=True, help="The key comes on stdin; say failures to who started us.")
@click.option("--renew", is_flag=True, hidden=True, help="A session host that is there becomes this program.")
@click.option("--supervised", is_flag=True, hidden=True, help="A service manager starts the next one (--foreground).")
@click.option("--as-before", is_flag=True, hidden=True, help="With the proxies of the last start, if none are named.")
@click.option("--name", metavar="NAME", help="The machine's friendly name (default: its hostname).")
@server_option
@api_key_option
@click.option("--shell", metavar="CMD", help="What to run in sessions (default: your login shell).")
@click.option("--insecure", is_flag=True, help="Allow plain text (ws://) over a network.")
@ca_file_option
def start(foreground: bool, detached: bool, renew: bool, as_before: bool, ca_file: Path | None, **flags: Any) -> int:
    """Start the agent.

    The first time with --api-key, to enrol this machine. Sessions that an agent left when it died are taken up again.

    \b
      cmdop agent start --name office --server relay.example.org -k ck_...
      cmdop agent start
    """
    from cmdop.agent.options import AgentOptions

    proxies = _proxies(as_before or flags["supervised"])
    trusted = _trusted(ca_file, flags["server"])
    options = AgentOptions(**flags, ca_file=trusted, proxies=proxies, environment=dict(os.environ))
    if foreground:
        return _run_here(options, detached, renew)
    from cmdop.agent import daemon

    _tell_started(daemon.start(home(), options))
    return 0


@agent.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the agent and end its sessions.

    \b
      cmdop agent stop
    """
    from cmdop.agent import daemon

    daemon.stop(home())
    if as_json:
        print_json({"stopped": True})
    else:
        click.echo("the agent has stopped")


@agent.command()
@json_option
def restart(as_json: bool) -> None:
    """Start the agent anew with the same flags; its sessions go on.

    \b
      cmdop agent restart
    """
    from cmdop.agent import daemon
    from cmdop.agent.options import AgentOptions

    found = daemon.restart(home(), AgentOptions(environment=dict(os.environ)))
    if as_json:
        print_json(found)
    else:
        _tell_started(found)


@agent.command()
@json_option
def status(as_json: bool) -> None:
    """Show whether the agent runs, and what it does.

    \b
      cmdop agent status
      cmdop agent status --json
    """
    from cmdop.agent import daemon

    found = daemon.status(home())
    if as_json:
        print_json(found)
        return
    for label, value in _status_lines(found):
        click.echo(f"{label:<10} {printable(value)}")


@agent.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option(
    "-n", "--lines", metavar="LINES", type=click.IntRange(min=0), default=100, help="How many (default: 100)."
)
def logs(follow: bool, lines: int) -> None:
    """Print the agent's log.

    \b
      cmdop agent logs --follow
    """
    from cmdop.agent.logfile import LogTail, last_lines

    tail = LogTail(home()) if follow else None
    for line in last_lines(home(), lines):
        click.echo(line)
    if tail is None:
        return
    import threading

    try:
        while True:
            click.echo(tail.read(), nl=False)
            threading.Event().wait(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        tail.close()


def _proxies(as_before: bool) -> dict[str, str]:
    """What is said about proxies: here, or by whoever started the agent before."""
    from cmdop.agent.options import texts
    from cmdop.agent.process import PROXIES_FILE

    if as_before and not names_proxies(os.environ):
        return texts(home().read_json(PROXIES_FILE))
    return variables_of(told_of_proxies())


def _trusted(ca_file: Path | None, server: str | None) -> str | None:
    """The file of --ca-file, else that of the last start with the same relay, else SSL_CERT_FILE's.

    By its whole name: the agent has another folder, and not this environment.
    """
    if ca_file is None and (kept := _trusted_before(server)):
        return kept
    named = ca_file or trusted_file()
    return None if named is None else str(named.absolute())


def _trusted_before(server: str | None) -> str | None:
    from cmdop.agent.identity import Enrolment
    from cmdop.agent.options import AgentOptions
    from cmdop.agent.process import START_FILE
    from cmdop.errors import ConfigCorrupt

    try:
        last = AgentOptions().with_json(home().read_json(START_FILE) or {})
    except ConfigCorrupt:  # a start writes it anew
        return None
    enrolled = Enrolment.load(home()) if last.ca_file else None
    relay = enrolled.server if enrolled else as_kept(last.server)
    return last.ca_file if server is None or as_kept(server) == relay else None


def _run_here(options: AgentOptions, detached: bool, renew: bool) -> int:
    """Be the agent until SIGTERM, SIGINT or SIGHUP, or `cmdop agent stop`; the exit status."""
    from cmdop.agent import daemon
    from cmdop.agent.options import LEFT_STATUS
    from cmdop.agent.process import AgentProcess
    from cmdop.cli.runtime import log_deaths_of_threads, stop_on_signals
    from cmdop.errors import CmdopError

    where = home()
    if detached:
        options = replace(options, api_key=sys.stdin.read().strip() or None)
        os.chdir(where.folder())  # not to keep a file system busy that somebody wants to unmount
    _log(detached)
    log_deaths_of_threads()
    process = AgentProcess(where, options, onlooker=None if detached else _show, renew=renew or None)
    stop_on_signals(process.stop)
    try:
        process.run()
    except CmdopError as error:
        if detached:
            daemon.keep_failure(where, error)
        raise
    return LEFT_STATUS if options.supervised and process.comes_again else 0


def _log(detached: bool) -> None:
    """To the home's log; and to stderr, for who looks on or a service's journal."""
    import logging

    from cmdop.agent.logfile import LogLines, log_beside_host

    log_beside_host(home(), debug=debug.wanted())
    if not detached:
        logging.getLogger("cmdop").addHandler(LogLines(_show))


def _show(line: str) -> None:
    """A line of the log, for an onlooker. That nobody looks on any more is no reason to end."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def _tell_started(found: dict[str, Any]) -> None:
    from cmdop.agent.verdict import DIALLING, STARTING

    runs = f"the agent runs (pid {found['pid']})"
    if found["verdict"] == STARTING:
        click.echo(f"{runs}, but is not online yet: {printable(found.get('reason') or DIALLING)}")
        if found.get("hint"):
            click.echo(printable(found["hint"]))
        click.echo("look again with: cmdop agent status; for other options run cmdop agent stop first")
    else:
        click.echo(printable(f"{runs}: {found.get('name')} is {found['verdict']} in {found.get('workspace')}"))


def _status_lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    sessions = found.get("sessions") or []
    lines = [
        ("verdict", found["verdict"] + (f" ({found['reason']})" if found.get("reason") else "")),
        ("machine", f"{found.get('name') or '?'} ({found.get('machine_id') or 'no id yet'})"),
        ("key", found.get("fingerprint") or "?"),
        ("hostname", found.get("hostname") or "?"),
        ("workspace", found.get("workspace") or "not enrolled"),
        ("relay", (found.get("relay") or "?") + (f" through {found['proxy']}" if found.get("proxy") else "")),
        ("pid", f"{found['pid']} (its session host: {found.get('host_pid') or '?'})"),
        ("uptime", _span(found.get("uptime_seconds"))),
        ("sessions", str(len(sessions))),
    ]
    return [*lines, *(("", _session_line(session)) for session in sessions)]


def _session_line(session: dict[str, Any]) -> str:
    shown = [str(session.get("session_id", "?"))[:8], session.get("operator") or "?"]
    return "  ".join([*shown, f"{session.get('clients', 0)} attached", str(session.get("command", ""))])


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count] or ["0 s"]
    return " ".join(shown[:2])
