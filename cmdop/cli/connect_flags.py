"""The options of those `cmdop connect` verbs that speak with the relay."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from cmdop.auth.credentials import Given
from cmdop.cli.options import (
    api_key_option,
    given_by,
    json_option,
    no_interactive_option,
    server_option,
    workspace_option,
)
from cmdop.cli.way import way_options
from cmdop.transport.way import PLAIN_WAY, Way

Verb = Callable[..., int | None]


@dataclass(frozen=True)
class Flags:
    """What they said."""

    given: Given
    as_json: bool = False
    no_interactive: bool = False
    way: Way = PLAIN_WAY


def takes_flags(verb: Verb) -> Verb:
    """Give a verb these options; they arrive as one argument, its first.

    What stood before the verb, behind `connect`, holds where the verb itself has nothing.
    """

    @functools.wraps(verb)
    def with_flags(
        *args: Any, server: str | None, api_key: str | None, workspace: str | None, as_json: bool, **rest: Any
    ) -> int | None:
        context = click.get_current_context()
        here = given_by(context, server, api_key, workspace)
        before = context.find_object(Given) or Given()
        given = Given(
            here.server or before.server,
            before.api_key if here.api_key is None else here.api_key,
            here.workspace or before.workspace,
            here.environment_key,
        )
        flags = Flags(given, as_json, rest.pop("no_interactive") or as_json, rest.pop("way"))
        return verb(flags, *args, **rest)

    options = (
        json_option,
        no_interactive_option,
        way_options,
        api_key_option,
        workspace_option,
        server_option,
    )
    for option in options:
        with_flags = option(with_flags)
    return with_flags
