"""How relays are reached: the options of every verb that dials one, and the environment behind them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from cmdop.cli.system_proxies import system_proxies
from cmdop.transport.proxy import names_proxies, proxies_in
from cmdop.transport.way import PLAIN_WAY, Way

F = TypeVar("F", bound=Callable[..., Any])
_META = "cmdop.way"


def ca_file_option(command: F) -> F:
    """--ca-file, also from CMDOP_CA_FILE."""
    option = click.option(
        "--ca-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar="CMDOP_CA_FILE",
        show_envvar=True,
        help="Whose certificates to trust (PEM), in place of the system's.",
    )
    return option(command)


def way_options(command: F) -> F:
    """--insecure and --ca-file; they arrive as one argument, `way`.

    What stood before the verb holds where the verb itself has nothing.
    """

    @functools.wraps(command)
    def with_way(*args: Any, insecure: bool, ca_file: Path | None, **rest: Any) -> Any:
        context = click.get_current_context()
        before = context.meta.get(_META, PLAIN_WAY)
        if context.get_parameter_source("ca_file") is not ParameterSource.COMMANDLINE:
            ca_file = before.ca_file or ca_file
        way = context.meta[_META] = the_way(insecure or before.insecure, ca_file)
        return command(*args, way=way, **rest)

    option = click.option("--insecure", is_flag=True, help="Allow ws:// over a network.")
    return cast(F, option(ca_file_option(with_way)))


def the_way(insecure: bool, ca_file: Path | None) -> Way:
    """The way with these options in this environment."""
    return Way(insecure, ca_file, proxies_in(told_of_proxies()), trusted_file())


def trusted_file() -> Path | None:
    """What SSL_CERT_FILE names, as for every program with OpenSSL."""
    named = os.environ.get("SSL_CERT_FILE")
    return Path(named) if named else None


def told_of_proxies() -> Mapping[str, str]:
    """The environment; with the system's settings behind it, unless it says something of proxies."""
    return os.environ if names_proxies(os.environ) else {**system_proxies(), **os.environ}
