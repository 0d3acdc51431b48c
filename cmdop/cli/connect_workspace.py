"""`cmdop connect workspace list|use|add|remove`: the workspaces that this client knows."""

from __future__ import annotations

from typing import Any

import click

from cmdop.auth.credentials import Credential, Given, forget_key, kept_places, secret_name
from cmdop.auth.keys import ApiKey, parse_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import KnownRelay, changing_workspaces, load_workspaces
from cmdop.cli.keeping import checked_name, keep, stdin_lines
from cmdop.cli.options import home, json_option, server_option
from cmdop.cli.output import print_json, print_table
from cmdop.cli.progress import say
from cmdop.errors import BadKey, InputMissing, KeyringUnusable, UsageError, WorkspaceTaken
from cmdop.transport.address import parse_server


@click.group()
def workspace() -> None:
    """The workspaces that this client knows: each has a relay, and a key.

    \b
      cmdop connect workspace list
      cmdop connect workspace use home
    """


@workspace.command("list")
@json_option
def list_workspaces(as_json: bool) -> None:
    """List the workspaces, with their relays and keys; keys are masked.

    \b
      cmdop connect workspace list
    """
    known, places = load_workspaces(home()), kept_places(home())
    rows = []
    for name in sorted({*known.servers, *places}):
        key, relay = _key_of(name), known.relays.get(name)
        rows.append(
            {
                "workspace": name,
                "active": name == known.active,
                "server": relay.server if relay else None,
                "ca_file": str(relay.ca_file) if relay and relay.ca_file else None,
                "key": key.masked if key else None,
                "role": key.role.value if key else None,
                "key_in": places.get(name),
            }
        )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(("", "NAME", "RELAY", "KEY", "ROLE", "KEPT IN"), [_cells(row) for row in rows])
    else:
        say("no workspaces are known here; add one with: cmdop login")


@workspace.command("use")
@click.argument("name")
@json_option
def use_workspace(name: str, as_json: bool) -> None:
    """Make NAME the active workspace.

    It is the one that is meant where none is named.

    \b
      cmdop connect workspace use home
    """
    with changing_workspaces(home()) as file:
        file.known = file.known.with_active(name)
        server = file.known.servers[name]
    if as_json:
        print_json({"workspace": name, "active": True, "server": server})
    else:
        say(f'"{name}" at {server} is the active workspace')


@workspace.command("add")
@click.argument("name")
@server_option
@click.option("--api-key", "-k", metavar="KEY", help="Its API key; `-` reads it from standard input.")
@json_option
@click.pass_obj
def add_workspace(given: Given, name: str, server: str | None, api_key: str | None, as_json: bool) -> None:
    """Add the workspace NAME without asking its relay.

    `cmdop login` asks it. Without a key it has none yet. The first workspace becomes the active one.

    \b
      cmdop connect workspace add home --server wss://relay.example.org
    """
    server, api_key = server or given.server, api_key or given.api_key
    if not server:
        raise InputMissing(what="the relay's URL", how=f"name it: cmdop connect workspace add {name} --server URL")
    url = parse_server(server).url
    key = parse_key(_one_line() if api_key == "-" else api_key) if api_key else None
    _add(checked_name(name), url)
    kept = keep(Credential(key, url, name, load_workspaces(home()).ca_file(name, url))) if key else None
    if as_json:
        fields = {"key": key.masked if key else None, "key_in": kept.where if kept else None}
        active = load_workspaces(home()).active == name
        print_json({"workspace": name, "active": active, "server": url, **fields})
        return
    say(f'the workspace "{name}" at {url} is known now')
    if key and kept:
        say(f"its key {key.masked} is kept in {kept.place}")


@workspace.command("remove")
@click.argument("name")
@json_option
def remove_workspace(name: str, as_json: bool) -> None:
    """Forget the workspace NAME and its key. Nothing changes at its relay.

    \b
      cmdop connect workspace remove home
    """
    known, has_key = load_workspaces(home()), name in kept_places(home())
    if not has_key:
        known.without(name)  # raises, if there is none
    key = forget_key(home(), name) if has_key else None
    with changing_workspaces(home()) as file:
        if name in file.known.servers:
            file.known = file.known.without(name)
        left = file.known
    active = left.active if left.active in left.servers else None
    if as_json:
        print_json({"workspace": name, "key": key.masked if key else None, "active": active})
        return
    keyed = f"and its key {key.masked} are" if key else "and its key are" if has_key else "(it had no key) is"
    say(f'the workspace "{name}" {keyed} forgotten')
    if known.active == name and left.servers:
        say(f'"{active}" is the active one now' if active else f"none is active now; there are: {left.names}")


def _add(name: str, url: str) -> None:
    """Raises WorkspaceTaken for a name that has another relay."""
    with changing_workspaces(home()) as file:
        before = file.known.servers.get(name, url)
        if before != url:
            raise WorkspaceTaken(workspace=name, server=before)
        file.known = file.known.with_relay(name, KnownRelay(url, file.known.ca_file(name, url)))


def _one_line() -> str:
    lines = stdin_lines()
    if len(lines) != 1:
        raise UsageError(reason=f"standard input has {len(lines)} lines, and not one, the key")
    return lines[0]


def _key_of(name: str) -> ApiKey | None:
    """A workspace's key, if it has one that can be read; if it cannot, says why."""
    try:
        text = Vault(home()).get(secret_name(name))
        return parse_key(text) if text is not None else None
    except (BadKey, KeyringUnusable) as error:
        say(f'the key of "{name}": {error.sentence}')
        return None


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    shown = [str(row[name] or "-") for name in ("workspace", "server", "key", "role", "key_in")]
    return "*" if row["active"] else "", *shown
