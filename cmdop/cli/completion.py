"""`cmdop completion bash|zsh|fish`: a script that lets a shell complete cmdop's command lines.

The scripts and the way in which they ask are click's: they run `cmdop` with the line so
far in the environment, and COMPLETION_VARIABLE set (`cmdop/cli/root.py`). Verbs and
options are click's answers; what a HOST and a workspace could be is ours.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    # What click's own get_completions stands on: it has no other way to learn which word is asked for.
    _resolve_context,
    _resolve_incomplete,
)

from cmdop.cli.debug import note
from cmdop.cli.options import as_kept, home
from cmdop.cli.root import COMPLETION_VARIABLE, cmdop
from cmdop.printable import printable

if TYPE_CHECKING:
    from cmdop.client.machine_names import MachineName

_HOSTS = {"host", "at_host"}
"""Arguments and options that name a machine."""
_NAMES_OF_WORKSPACES = {"cmdop connect workspace use", "cmdop connect workspace remove"}
"""Verbs whose NAME is a workspace's that is known here."""


class _Words(ShellComplete):
    """What the next word could be: click's answer, and names."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        context = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        asked, incomplete = _resolve_incomplete(context, args, incomplete)
        if isinstance(asked, click.Parameter):
            return _values(context, asked, incomplete)
        if context.command_path == "cmdop connect":
            return _host_or_verb(context, asked, incomplete)
        return asked.shell_complete(context, incomplete)


class _Bash(_Words, BashComplete):
    pass


class _Zsh(_Words, ZshComplete):
    pass


class _Fish(_Words, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print a script that lets SHELL complete verbs, options, machines and workspaces.

    In ~/.bashrc; in ~/.zshrc, behind compinit; and once for fish:

    \b
      eval "$(cmdop completion bash)"
      eval "$(cmdop completion zsh)"
      cmdop completion fish > ~/.config/fish/completions/cmdop.fish
    """
    click.echo(SHELLS[shell](cmdop, {}, "cmdop", COMPLETION_VARIABLE).source(), nl=False)


def answer(instruction: str) -> int:
    """Tell a script what the word could be, e.g. for `bash_complete`; the exit status.

    Nothing else is ever said: it would stand in the middle of a line that is being typed.
    """
    shell, _, wanted = instruction.partition("_")
    if shell not in SHELLS or wanted != "complete":
        return 1
    try:
        answered = SHELLS[shell](cmdop, {}, "cmdop", COMPLETION_VARIABLE).complete()
    except Exception as error:  # noqa: BLE001 - see above
        note(error)
        return 1
    click.echo(answered.encode())
    return 0


def _values(context: click.Context, asked: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """What an option's value or an argument could be."""
    if asked.name in _HOSTS:
        return _hosts(context, incomplete)
    if context.command_path in _NAMES_OF_WORKSPACES or (asked.name == "workspace" and isinstance(asked, click.Option)):
        return _workspaces(incomplete)
    if getattr(asked, "metavar", None) == "FILE":
        return [CompletionItem(incomplete, type="file")]
    return asked.shell_complete(context, incomplete)


def _host_or_verb(context: click.Context, connect: click.Command, incomplete: str) -> list[CompletionItem[str]]:
    """The word behind `cmdop connect`: a verb, a machine, or an option; behind HOST only options are left."""
    from cmdop.cli.connect import SUBCOMMANDS

    options = click.Command.shell_complete(connect, context, incomplete)
    if incomplete.startswith("-") or "host" in context.meta or context.params.get("host"):
        return options
    verbs = [
        CompletionItem(name, help=about) for name, (_, about) in SUBCOMMANDS.items() if name.startswith(incomplete)
    ]
    return [*_hosts(context, incomplete, SUBCOMMANDS), *verbs]


def _hosts(context: click.Context, incomplete: str, verbs: Collection[str] = ()) -> list[CompletionItem[str]]:
    from cmdop.client.machine_names import offered

    found = offered(_machines(context), incomplete, verbs)
    return [CompletionItem(word, help=about or None) for word, about in found]


def _machines(context: click.Context) -> tuple[MachineName, ...]:
    """The machines of the workspace that the line so far means."""
    from cmdop.auth.credentials import Given, find_credential
    from cmdop.auth.keys import parse_key
    from cmdop.auth.workspaces import load_workspaces
    from cmdop.cli.way import the_way
    from cmdop.client.connect import reach_relay
    from cmdop.client.machine_names import Place, machine_names
    from cmdop.limits import DEFAULT_SERVER
    from cmdop.wire.relay_messages import MachineRecord

    said = {name: _said(context, name) for name in ("server", "api_key", "workspace", "insecure", "ca_file")}
    given = Given(as_kept(said["server"]), said["api_key"], said["workspace"])
    known = load_workspaces(home())
    workspace = given.workspace or known.active
    server = given.server or known.servers.get(workspace, DEFAULT_SERVER)
    key_id = parse_key(given.api_key).key_id if given.api_key else ""

    def ask() -> tuple[MachineRecord, ...]:
        link = reach_relay(find_credential(home(), given), the_way(bool(said["insecure"]), said["ca_file"]))
        try:
            return link.machines()
        finally:
            link.close()

    return machine_names(home(), Place(server, workspace, key_id), ask, time.time())


def _said(context: click.Context | None, name: str) -> Any:
    """What an option says here, or further to the left, or in the environment."""
    while context is not None:
        if context.params.get(name):
            return context.params[name]
        context = context.parent
    return None


def _workspaces(incomplete: str) -> list[CompletionItem[str]]:
    """Those that are known here, and the active one first."""
    from cmdop.auth.workspaces import load_workspaces
    from cmdop.client.machine_names import is_plain

    known = load_workspaces(home())
    names = [name for name in known.servers if name.startswith(incomplete) and is_plain(name)]
    names.sort(key=lambda name: (name != known.active, name))
    return [CompletionItem(name, help=printable(known.servers[name])) for name in names]
