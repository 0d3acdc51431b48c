"""`cmdop connect key set|get|clear`: the API key that this client keeps."""

from __future__ import annotations

import sys

import click

from cmdop.auth.credentials import Given, find_credential, secret_name
from cmdop.auth.keys import parse_key
from cmdop.auth.vault import Vault
from cmdop.auth.workspaces import load_workspaces, save_workspaces
from cmdop.cli.options import home, server_option
from cmdop.cli.progress import say
from cmdop.errors import NoApiKey
from cmdop.limits import DEFAULT_SERVER
from cmdop.transport.address import parse_server

_workspace = click.option("--workspace", metavar="NAME", help="Another workspace than the active one.")


@click.group()
def key() -> None:
    """Keep, show or forget the workspace's API key."""


@key.command("set")
@click.argument("text", metavar="KEY")
@server_option
@_workspace
@click.pass_obj
def set_key(given: Given, text: str, server: str | None, workspace: str | None) -> None:
    """Keep KEY for this workspace; `-` reads it from standard input."""
    chosen = parse_key(sys.stdin.readline() if text == "-" else text)
    known = load_workspaces(home())
    name = workspace or given.workspace or known.active
    url = parse_server(server or given.server or known.servers.get(name, DEFAULT_SERVER)).url
    where = Vault(home()).keep(secret_name(name), chosen.text)
    save_workspaces(home(), known.with_server(name, url))
    place = "the keyring" if where == "keyring" else f"{home().path}/secrets.json (there is no keyring here)"
    say(f'{chosen.masked} ({chosen.role.value}) is kept for workspace "{name}" at {url}, in {place}')


@key.command("get")
@_workspace
@click.pass_obj
def get_key(given: Given, workspace: str | None) -> None:
    """Print the key that is used here, whole, for another machine or program."""
    found = find_credential(home(), Given(given.server, given.api_key, workspace or given.workspace))
    click.echo(found.key.text)


@key.command("clear")
@_workspace
@click.pass_obj
def clear_key(given: Given, workspace: str | None) -> None:
    """Forget the key that is kept for this workspace."""
    name = workspace or given.workspace or load_workspaces(home()).active
    if not Vault(home()).forget(secret_name(name)):
        raise NoApiKey(workspace=name)
    say(f'the key of workspace "{name}" is forgotten')
