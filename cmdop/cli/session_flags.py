"""The options that every `cmdop session` verb takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from cmdop.auth.credentials import Given
from cmdop.cli.machine_keys import machine_keys_option
from cmdop.cli.options import (
    api_key_option,
    given_by,
    json_option,
    no_interactive_option,
    server_option,
    workspace_option,
)
from cmdop.cli.passwords import NOT_GIVEN, GivenPassword, given_password, password_options
from cmdop.cli.way import way_options
from cmdop.errors import UsageError
from cmdop.transport.way import PLAIN_WAY, Way

Verb = Callable[..., int | None]


@dataclass(frozen=True)
class Flags:
    """What they said."""

    given: Given
    host: str | None = None
    as_json: bool = False
    no_interactive: bool = False
    way: Way = PLAIN_WAY
    machine_keys: str = "accept-new"
    password: GivenPassword = NOT_GIVEN

    def host_or(self, argument: str | None) -> str | None:
        """The HOST that stood alone, or that of --host. Raises UsageError for both."""
        if argument is not None and self.host is not None:
            raise UsageError(reason=f"one HOST, please, not 2: {self.host} {argument}")
        return argument or self.host


def takes_flags(verb: Verb) -> Verb:
    """Give a verb these options; they arrive as one argument, its first."""

    @functools.wraps(verb)
    def with_flags(
        *args: Any, server: str | None, api_key: str | None, workspace: str | None, as_json: bool, **rest: Any
    ) -> int | None:
        given = given_by(click.get_current_context(), server, api_key, workspace)
        no_interactive = rest.pop("no_interactive") or as_json
        flags = Flags(
            given,
            rest.pop("at_host"),
            as_json,
            no_interactive,
            rest.pop("way"),
            rest.pop("machine_keys"),
            given_password(rest.pop("password"), rest.pop("password_file")),
        )
        return verb(flags, *args, **rest)

    options = (
        json_option,
        api_key_option,
        server_option,
        workspace_option,
        way_options,
        no_interactive_option,
        machine_keys_option,
        password_options,
        click.option("--host", "at_host", metavar="HOST", help="The machine to look at, and no other."),
    )
    for option in options:
        with_flags = option(with_flags)
    return with_flags


class BeforeDashes(click.Command):
    """A command for which the words behind `--` are those of another one (`ctx.meta["command"]`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = tuple(args[own + 1 :])
        try:
            return super().parse_args(ctx, args[:own])
        except click.UsageError as error:
            if own < len(args) or not _about_a_command(error):
                raise
            what = error.format_message().rstrip(".")
            dashes = f"a command stands behind two dashes: {ctx.command_path} HOST -- CMD..."
            raise UsageError(reason=f"{what[:1].lower()}{what[1:]}; {dashes}") from error


def _about_a_command(error: click.UsageError) -> bool:
    """Whether what is wrong may be a command typed as for ssh: a word too many, or an option like none of ours."""
    if isinstance(error, click.NoSuchOption):
        return not error.possibilities
    return type(error) is click.UsageError
