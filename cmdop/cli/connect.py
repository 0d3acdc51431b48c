"""`cmdop connect`: a shell on a machine, the list of machines, this client's keys and workspaces."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import click
from click.core import ParameterSource

from cmdop.auth.credentials import Credential, Given
from cmdop.cli.machine_keys import machine_keys_option
from cmdop.cli.options import (
    api_key_option,
    given_by,
    home,
    no_interactive_option,
    server_option,
    workspace_option,
)
from cmdop.cli.passwords import NOT_GIVEN, GivenPassword, given_password, password_options
from cmdop.cli.way import way_options
from cmdop.errors import HostMissing, NotATerminal, UsageError
from cmdop.home import Home
from cmdop.transport.way import PLAIN_WAY, Way

SUBCOMMANDS = {
    "exec": ("cmdop.cli.connect_exec", "One command on a machine: its pipes, its exit status."),
    "key": ("cmdop.cli.connect_key", "This workspace's API key."),
    "password": ("cmdop.cli.connect_password", "The machine passwords that this client remembers."),
    "workspace": ("cmdop.cli.connect_workspace", "The workspaces that this client knows."),
    "machine": ("cmdop.cli.connect_machine", "The machines whose keys are known here."),
}

_OF_AN_ATTACH = ("new", "session", "read_only", "takeover", "replay", "detach_keys")
"""Options that mean nothing to a list or to a verb."""
_OF_CONNECT_ALONE = ("host", "list_machines", "online", *_OF_AN_ATTACH)
"""Options that mean nothing to a verb. The others hold for it, too."""


@dataclass(frozen=True)
class ConnectOptions:
    """Everything that stood on the command line."""

    host: str | None
    given: Given
    list_machines: bool = False
    online: bool = False
    as_json: bool = False
    no_interactive: bool = False
    new: bool = False
    session: str = ""
    read_only: bool = False
    detach_keys: str | None = None
    way: Way = PLAIN_WAY
    outlives: bool = True
    """Whether a session that is left is kept for a while."""
    takeover: bool = False
    replay: str = "all"
    machine_keys: str = "accept-new"
    password: GivenPassword = NOT_GIVEN
    machine_id: str = ""
    """The machine that was chosen already; `host` is only how it is called then."""


class HostOrVerb(click.Group):
    """`connect HOST`, `connect VERB ...`, or `connect` alone.

    Options may stand before or after HOST. A machine that bears a verb's name is
    reached with --host.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        import importlib

        command = getattr(importlib.import_module(SUBCOMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in SUBCOMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take HOST out of the words, so that options may follow it."""
        _, words, _ = self.make_parser(ctx).parse_args(list(args))
        if words and words[0] not in SUBCOMMANDS:
            # What follows a misspelt verb has options that are none of ours.
            plain = itertools.takewhile(lambda word: not word.startswith("-"), words)
            self._one_host(ctx, list(plain))
            args = self._without_host(ctx, args)
        return super().parse_args(ctx, args)

    def _one_host(self, ctx: click.Context, words: list[str]) -> None:
        """Raises UsageError for a second word, with the verb that the first one looks like, or with
        how a command is run, as the words may stand there as for ssh."""
        if len(words) < 2:
            return
        meant = self._verb_like(ctx, words)
        command = f"a command is run by: cmdop connect exec {words[0]} -- CMD..."
        hint = f"; did you mean cmdop connect {meant}?" if meant else f"; {command}"
        raise UsageError(reason=f"one HOST, please, not {len(words)}: {' '.join(words)}{hint}")

    def _verb_like(self, ctx: click.Context, words: list[str]) -> str:
        """The first two words with a verb instead of what looks like one; empty where nothing does."""
        from difflib import get_close_matches  # for who misspelt one

        like = get_close_matches(words[0], SUBCOMMANDS, n=1)
        if not like:
            return ""
        command = self.get_command(ctx, like[0])
        below = command.list_commands(ctx) if isinstance(command, click.Group) else []
        return f"{like[0]} {(get_close_matches(words[1], below, n=1) or words[1:])[0]}"

    def _without_host(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = self._words(ctx, args)
        self._one_host(ctx, words)
        ctx.meta["host"] = words[0]
        # An option's value may be the same word: only HOST can be left out without a loss.
        without = ([*args[:at], *args[at + 1 :]] for at, word in enumerate(args) if word == words[0])
        return next(rest for rest in without if self._is_without_host(ctx, rest))

    def _is_without_host(self, ctx: click.Context, args: list[str]) -> bool:
        try:
            return not self._words(ctx, args)
        except click.UsageError:  # what went was an option's value
            return False

    def _words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is no option and no option's value. Raises click.UsageError."""
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = True
        return parser.parse_args(list(args))[1]


@click.group(cls=HostOrVerb, invoke_without_command=True, subcommand_metavar="[HOST]")
@click.option("--host", metavar="NAME", help="A host that bears a verb's name.")
@click.option("--list", "list_machines", is_flag=True, help="List the workspace's machines.")
@click.option("--online", is_flag=True, help="With --list: only those that are online.")
@click.option("--new", is_flag=True, help="Open a new session, though one is there.")
@click.option("--session", metavar="ID", default="", help="Join this session; a unique prefix will do.")
@click.option("--read-only", is_flag=True, help="Only watch: the machine takes no input from here.")
@click.option("--takeover", is_flag=True, help="Detach everybody else from the session.")
@click.option(
    "--replay",
    type=click.Choice(["all", "screen", "none"]),
    default="all",
    help="What to show of a session that was there before: with its scrollback (all), its screen, or nothing.",
)
@click.option("--detach-keys", metavar="KEYS", help="What leaves instead of ctrl-d, e.g. ctrl-p,ctrl-q.")
@no_interactive_option
@machine_keys_option
@password_options
@way_options
@workspace_option
@server_option
@api_key_option
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="With --list: one JSON document; with HOST: what happens, as JSON lines on standard error.",
)
@click.pass_context
def connect(
    ctx: click.Context,
    host: str | None,
    list_machines: bool,
    online: bool,
    new: bool,
    session: str,
    read_only: bool,
    takeover: bool,
    replay: str,
    detach_keys: str | None,
    no_interactive: bool,
    machine_keys: str,
    password: str | None,
    password_file: str | None,
    way: Way,
    workspace: str | None,
    server: str | None,
    api_key: str | None,
    as_json: bool,
) -> int | None:
    """Open a shell on HOST: a hostname, a friendly name, or the beginning of an id.

    Ctrl-D leaves and keeps the session; everything else goes to the machine.
    Without HOST the machines are shown to choose from.

    \b
      cmdop connect
      cmdop connect prod-api-1
      cmdop connect --list
    """
    given = given_by(ctx, server, api_key, workspace)
    ctx.obj = given
    if ctx.invoked_subcommand is not None:
        for option in _said(ctx, _OF_CONNECT_ALONE):
            raise UsageError(reason=f"{option} does not go with cmdop connect {ctx.invoked_subcommand}")
        return None
    if host is not None and "host" in ctx.meta:
        raise UsageError(reason=f"one HOST, please, not 2: {host} {ctx.meta['host']}")
    options = ConnectOptions(
        host or ctx.meta.get("host"),
        given,
        list_machines,
        online,
        as_json,
        no_interactive or as_json,
        new,
        session,
        read_only,
        detach_keys,
        way,
        takeover=takeover,
        replay=replay,
        machine_keys=machine_keys,
        password=given_password(password, password_file),
    )
    if reason := _at_odds(ctx, options):
        raise UsageError(reason=reason)
    if list_machines:
        from cmdop.cli.connect_list import list_all

        return list_all(options)
    if options.host is None:
        return _pick(options)
    return attach(options)


def _said(ctx: click.Context, names: tuple[str, ...]) -> list[str]:
    """Which of these options stood on the command line, as they are written."""
    said = [name for name in names if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    return [param.opts[0] for name in said for param in ctx.command.params if param.name == name]


def _at_odds(ctx: click.Context, options: ConnectOptions) -> str:
    """What does not go together, in a sentence; empty where all does."""
    if options.list_machines:
        too_much = ["HOST"] * (options.host is not None) + _said(ctx, _OF_AN_ATTACH)
        return f"--list shows all machines; it takes no {too_much[0]}" if too_much else ""
    if options.online:
        return "--online goes with --list alone"
    if options.new and options.session:
        return "--new opens a session, and --session joins one that is there; give one"
    if options.read_only and (options.new or options.takeover):
        return f"--read-only watches what is there; it does not go with {'--new' if options.new else '--takeover'}"
    return ""


def _pick(options: ConnectOptions) -> int:
    """Let the user choose. Raises HostMissing where nobody may be asked, NotATerminal where nobody can."""
    from cmdop.cli.prompt import can_ask

    if options.no_interactive:
        raise HostMissing
    if not can_ask():
        raise NotATerminal(what="the picker")
    from cmdop.cli.picker import pick

    return pick(options)


def attach(options: ConnectOptions) -> int:
    """Attach with the credential that the options lead to; the exit status."""
    from cmdop.auth.credentials import find_credential

    return attach_with(options, find_credential(home(), options.given), home())


def attach_with(options: ConnectOptions, credential: Credential, where: Home) -> int:
    """Attach to a session and say how it ended; the exit status."""
    from cmdop.cli.attach import attach_to

    return attach_to(options, credential, where)
