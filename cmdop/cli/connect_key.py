"""`cmdop connect key`: the API key that this client keeps; and, for an admin, those of the workspace."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from cmdop.auth.credentials import Credential, Given, find_credential, forget_key
from cmdop.auth.keys import parse_key
from cmdop.auth.workspaces import load_workspaces
from cmdop.cli.connect_key_afar import create_key, list_keys, revoke_key
from cmdop.cli.keeping import checked_name, keep
from cmdop.cli.options import home, json_option, server_option
from cmdop.cli.output import print_json
from cmdop.cli.progress import say
from cmdop.limits import DEFAULT_SERVER
from cmdop.transport.address import parse_server

_workspace = click.option("--workspace", metavar="NAME", help="Another workspace than the active one.")


@click.group()
def key() -> None:
    """Keep, show or forget the workspace's API key; an admin makes and revokes others'.

    \b
      cmdop connect key set - < key
      cmdop connect key create --label anna --role operator > anna.key
    """


key.add_command(create_key)
key.add_command(list_keys)
key.add_command(revoke_key)


@key.command("set")
@click.argument("text", metavar="KEY")
@server_option
@_workspace
@json_option
@click.pass_obj
def set_key(given: Given, text: str, server: str | None, workspace: str | None, as_json: bool) -> None:
    """Keep KEY for this workspace; `-` reads it from standard input.

    \b
      cmdop connect key set - < key
    """
    chosen = parse_key(sys.stdin.readline() if text == "-" else text)
    known = load_workspaces(home())
    name = checked_name(workspace or given.workspace or known.active)
    url = parse_server(server or given.server or known.servers.get(name, DEFAULT_SERVER)).url
    kept = keep(Credential(chosen, url, name, known.ca_file(name, url)))
    if as_json:
        print_json(_fields(name, url, chosen.role.value, chosen.masked, key_in=kept.where))
        return
    say(f'{chosen.masked} ({chosen.role.value}) is kept for workspace "{name}" at {url}, in {kept.place}')


@key.command("get")
@_workspace
@json_option
@click.pass_obj
def get_key(given: Given, workspace: str | None, as_json: bool) -> None:
    """Print the key that is used here, whole.

    \b
      cmdop connect key get > key
    """
    found = find_credential(home(), replace(given, workspace=workspace or given.workspace))
    if as_json:
        print_json(_fields(found.workspace, found.server, found.key.role.value, found.key.text))
    else:
        click.echo(found.key.text)


@key.command("clear")
@_workspace
@json_option
@click.pass_obj
def clear_key(given: Given, workspace: str | None, as_json: bool) -> None:
    """Forget the key that is kept for this workspace.

    \b
      cmdop connect key clear --workspace home
    """
    known = load_workspaces(home())
    name = workspace or given.workspace or known.active
    gone = forget_key(home(), name)
    if as_json:
        role, masked = (gone.role.value, gone.masked) if gone else (None, None)
        print_json(_fields(name, known.servers.get(name), role, masked))
    else:
        say(f'the key of workspace "{name}" is forgotten')


def _fields(
    workspace: str, server: str | None, role: str | None, key: str | None, **more: str
) -> dict[str, str | None]:
    return {"workspace": workspace, "server": server, "role": role, "key": key, **more}
