"""`cmdop logout`: a workspace's key, forgotten."""

from __future__ import annotations

import click

from cmdop.auth.credentials import forget_key
from cmdop.auth.workspaces import load_workspaces
from cmdop.cli.keeping import warn_of_environment
from cmdop.cli.options import home, json_option
from cmdop.cli.output import print_json
from cmdop.cli.progress import say


@click.command()
@click.option("--workspace", metavar="NAME", help="Another workspace than the active one.")
@json_option
def logout(workspace: str | None, as_json: bool) -> None:
    """Forget the key of the active workspace; the workspace and its relay stay known.

    The key itself stays valid: cmdop relay key revoke ends that.

    \b
      cmdop logout
      cmdop logout --workspace home
    """
    known = load_workspaces(home())
    name = workspace or known.active
    key = forget_key(home(), name)
    masked = key.masked if key else None
    if as_json:
        print_json({"workspace": name, "server": known.servers.get(name), "key": masked})
    else:
        say(f'the key {masked or "(which could not be read)"} of workspace "{name}" is forgotten')
    warn_of_environment()
