"""Options that the verbs of `cmdop relay` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cmdop.cli.options import home

F = TypeVar("F", bound=Callable[..., Any])


def db_option(command: F) -> F:
    """--db, with the file in CMDOP_HOME behind it."""
    option = click.option(
        "--db",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        default=lambda: home().file("relay.db"),
        show_default="relay.db in CMDOP_HOME",
        help="The relay's records.",
    )
    return option(command)
