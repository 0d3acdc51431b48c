"""Options that several verbs share, and the environment that stands behind them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cmdop.errors import HomeUnusable
from cmdop.home import Home

F = TypeVar("F", bound=Callable[..., Any])


def home() -> Home:
    """The user's state: CMDOP_HOME, or ~/.cmdop. Raises HomeUnusable where `~` is nowhere."""
    named = os.environ.get("CMDOP_HOME") or "~/.cmdop"
    try:
        return Home(Path(named).expanduser())
    except RuntimeError as error:
        raise HomeUnusable(path=named, reason="nobody knows where this user's home folder is") from error


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


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)
