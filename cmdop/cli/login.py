"""`cmdop login`: a key that was checked with its relay, and is kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cmdop.auth.credentials import Credential
from cmdop.auth.keys import ApiKey, parse_key
from cmdop.auth.workspaces import Workspaces, load_workspaces
from cmdop.cli.keeping import Kept, checked_name, keep, stdin_lines, warn_of_environment
from cmdop.cli.options import home, json_option, no_interactive_option, server_option
from cmdop.cli.output import print_json
from cmdop.cli.progress import say
from cmdop.cli.prompt import ask_hidden, ask_text, can_ask
from cmdop.cli.way import way_options
from cmdop.errors import InputMissing, UsageError, WorkspaceTaken
from cmdop.limits import DEFAULT_SERVER
from cmdop.transport.address import parse_server
from cmdop.transport.way import Way

if TYPE_CHECKING:
    from cmdop.wire.relay_messages import Welcome


class _Entered(NamedTuple):
    """The relay's URL and a key that may connect, neither checked with the relay."""

    server: str
    key: ApiKey


@click.command()
@click.option("--workspace", metavar="NAME", help="What to call the workspace here (default: what its relay calls it).")
@server_option
@no_interactive_option
@way_options
@json_option
def login(workspace: str | None, server: str | None, no_interactive: bool, way: Way, as_json: bool) -> None:
    """Check an API key with its relay, keep it, and make its workspace the active one.

    It asks for what is missing. Where it cannot ask, standard input has the key, or
    the relay's URL on one line and the key on the next. What --ca-file names is kept
    for that relay, too:

    \b
      cmdop login
      cmdop login --server wss://relay.example.org < key
    """
    if workspace is not None:
        checked_name(workspace)
    known = load_workspaces(home())
    usual = known.servers.get(workspace or known.active)
    try:
        asking = can_ask() and not (no_interactive or as_json)
        entered = _ask(server, usual or DEFAULT_SERVER) if asking else _read(server, usual)
        ca_file = way.ca_file.absolute() if way.ca_file else known.ca_file_at(entered.server)
        welcome = _check(entered, ca_file, way)
    except (click.Abort, KeyboardInterrupt):
        say("cancelled: nothing was kept")
        raise
    name = workspace or _name(welcome, entered.server, known)
    kept = keep(Credential(entered.key, entered.server, name, ca_file), active=True)
    if as_json:
        print_json(_document(name, entered, ca_file, welcome, kept))
    else:
        say(f'logged in to {entered.server} as {welcome.operator} ({welcome.role}); "{name}" is the active workspace')
        say(f"the key {entered.key.masked} is kept in {kept.place}")
        if way.ca_file:
            say(f"{ca_file} says whom to trust there, from now on")
    before = known.servers.get(name, entered.server)
    if before != entered.server:
        say(f'the workspace "{name}" was at {before} before')
    warn_of_environment()


def _ask(server: str | None, usual: str) -> _Entered:
    url = parse_server(server or ask_text("Relay URL", usual)).url
    return _Entered(url, _usable(ask_hidden("API key")))


def _read(server: str | None, usual: str | None) -> _Entered:
    """The same from standard input, one line or two."""
    lines = [] if sys.stdin is None or sys.stdin.isatty() else stdin_lines()
    if not lines:
        raise InputMissing(what="the API key", how="write it to standard input: cmdop login --server URL < FILE")
    if len(lines) > 2:
        raise UsageError(reason=f"standard input has {len(lines)} lines, and not a key, or a URL and a key")
    written = lines[0] if len(lines) == 2 else None
    if server and written and parse_server(server) != parse_server(written):
        raise UsageError(reason=f"the relay is named twice: {server} and {written}")
    url = written or server or usual
    if url is None:
        raise InputMissing(what="the relay's URL", how="name it: cmdop login --server URL")
    return _Entered(parse_server(url).url, _usable(lines[-1]))


def _usable(text: str) -> ApiKey:
    """Raises BadKey, or RoleTooLow for a key that only enrols machines."""
    key = parse_key(text)
    _ = key.role.attaches_as
    return key


def _check(entered: _Entered, ca_file: Path | None, way: Way) -> Welcome:
    """What the relay says to the key. Raises RelayUnreachable, KeyRefused and so on."""
    from cmdop.client.connect import reach_relay

    link = reach_relay(Credential(entered.key, entered.server, "", ca_file), way, want_machines=False)
    link.close()
    return link.welcome


def _name(welcome: Welcome, server: str, known: Workspaces) -> str:
    """What the relay calls the workspace, unless another one has that name here."""
    name = checked_name(welcome.workspace)
    if known.servers.get(name, server) != server:
        raise WorkspaceTaken(workspace=name, server=known.servers[name])
    return name


def _document(name: str, entered: _Entered, ca_file: Path | None, welcome: Welcome, kept: Kept) -> dict[str, Any]:
    return {
        "workspace": name,
        "active": True,
        "server": entered.server,
        "ca_file": str(ca_file) if ca_file else None,
        "operator": welcome.operator,
        "role": welcome.role,
        "key": entered.key.masked,
        "key_in": kept.where,
    }
