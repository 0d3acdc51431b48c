"""Options that several verbs share, and the environment that stands behind them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cmdop.home import Home

F = TypeVar("F", bound=Callable[..., Any])


def home() -> Home:
    """The user's state: CMDOP_HOME, or ~/.cmdop."""
    named = os.environ.get("CMDOP_HOME")
    return Home(Path(named).expanduser() if named else Path.home() / ".cmdop")


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
