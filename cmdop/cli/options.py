"""Options that several verbs share, and the environment that stands behind them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from cmdop.errors import BadServer, HomeUnusable
from cmdop.home import Home
from cmdop.limits import NAME_MAX_CHARS

if TYPE_CHECKING:
    from cmdop.auth.credentials import Given

F = TypeVar("F", bound=Callable[..., Any])


def home() -> Home:
    """The user's state: CMDOP_HOME, or ~/.cmdop. Raises HomeUnusable where `~` is nowhere."""
    named = os.environ.get("CMDOP_HOME") or "~/.cmdop"
    try:
        return Home(Path(named).expanduser())
    except RuntimeError as error:
        raise HomeUnusable(path=named, reason="nobody knows where this user's home folder is") from error


def workspace_option(command: F) -> F:
    """--workspace."""
    return click.option("--workspace", metavar="NAME", help="The workspace whose key and relay to use.")(command)


def server_option(command: F) -> F:
    """--server, also from CMDOP_SERVER."""
    option = click.option(
        "--server",
        "-s",
        metavar="URL",
        envvar="CMDOP_SERVER",
        show_envvar=True,
        help="The relay: ws://, wss:// or host[:port].",
    )
    return option(command)


def api_key_option(command: F) -> F:
    """--api-key, also from CMDOP_API_KEY."""
    option = click.option(
        "--api-key", "-k", metavar="KEY", envvar="CMDOP_API_KEY", show_envvar=True, help="The workspace's API key."
    )
    return option(command)


def given_by(ctx: click.Context, server: str | None, api_key: str | None, workspace: str | None) -> Given:
    """What the options of a verb and the environment name, as the chain of credentials wants it."""
    from cmdop.auth.credentials import Given  # not every verb with options wants a credential

    server = as_kept(server)
    if ctx.get_parameter_source("api_key") is ParameterSource.COMMANDLINE:
        return Given(server, api_key, workspace)
    # Not what click has: for click an empty variable is none.
    return Given(server, None, workspace, os.environ.get("CMDOP_API_KEY"))


def as_kept(server: str | None) -> str | None:
    """A relay's address in the one spelling in which addresses are kept and compared.

    What is no address stays: whoever dials it says what is wrong.
    """
    from cmdop.transport.address import parse_server

    try:
        return parse_server(server).url if server else None
    except BadServer:
        return server


def no_interactive_option(command: F) -> F:
    """--no-interactive, before the verb or behind it."""
    option = click.option(
        "--no-interactive",
        "-q",
        is_flag=True,
        callback=here_or_before,
        help="Never ask: fail when something is missing.",
    )
    return option(command)


def json_option(command: F) -> F:
    """--json, before the verb or behind it."""
    return click.option("--json", "as_json", is_flag=True, callback=here_or_before, help="Print one JSON document.")(
        command
    )


def here_or_before(ctx: click.Context, option: click.Parameter, here: Any) -> Any:
    """What an option says here; or else what the same one said before this verb."""
    name, at = option.name or "", ctx
    while at.get_parameter_source(name) is not ParameterSource.COMMANDLINE and at.parent is not None:
        at = at.parent
    return here if at is ctx else at.params.get(name, here)


def user_locale() -> str:
    """The user's character locale, by POSIX's order of precedence (XBD §8.2)."""
    return next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := user_told(name))), "")


def user_told(name: str) -> str:
    """What a variable tells machines of the user's terminal; empty for what can be no name there."""
    value = os.environ.get(name, "")
    return value if len(value) <= NAME_MAX_CHARS and value.isprintable() else ""
