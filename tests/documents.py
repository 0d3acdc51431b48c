"""The JSON documents that cmdop prints, held against docs/schemas/.

`watched` holds every document that a test sees against its schema: those that are printed
in the test's own process, and those of a `cmdop` that it runs. Which schema a verb has is
said in docs/schemas/README.md. A schema lets keys pass that it does not know; here every
key has to be described.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from cmdop.cli import output
from cmdop.cli.root import cmdop

FOLDER = Path(__file__).parents[1] / "docs/schemas"
ERROR, ATTACH_EVENT = "error.json", "attach-event.json"
ATTACHING, LISTING = "cmdop connect HOST", "cmdop connect --list"
"""The two documents of one verb."""

SCHEMAS: dict[str, str] = dict(
    re.findall(r"^\| `(cmdop [^`]+)` \| \[([^\]]+)\]", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
)
"""Verb -> the file of its schema."""

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_rfc3339_in_utc(value: object) -> bool:
    return not isinstance(value, str) or (value.endswith("Z") and datetime.fromisoformat(value) is not None)


def schema(name: str) -> dict[str, Any]:
    """A schema as it stands in its file."""
    loaded: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def strict(part: Any) -> Any:
    """The same schema without room for keys that it does not describe."""
    if isinstance(part, list):
        return [strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    narrow = {name: one if name == "if" else strict(one) for name, one in part.items()}
    # An event's root describes only which event it is.
    if isinstance(part.get("properties"), dict) and "$defs" not in part:
        narrow["additionalProperties"] = False
    return narrow


VALIDATORS = {
    name: Draft202012Validator(strict(schema(name)), format_checker=_FORMATS) for name in {ERROR, *SCHEMAS.values()}
}


def mistakes(name: str, document: Any) -> list[str]:
    """What is wrong with a document by the schema in that file."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(document)]


def check(verb: str, document: Any) -> None:
    """Raises AssertionError unless a verb's document is as its schema says."""
    name = ERROR if isinstance(document, dict) and set(document) == {"error"} else SCHEMAS.get(verb)
    if name is not None and (found := mistakes(name, document)):
        raise AssertionError(f"{verb}, by docs/schemas/{name}: {found}\n{json.dumps(document, indent=2)}")


def check_event(line: str) -> None:
    """The same for a line of an attach."""
    event = json.loads(line)
    assert event.get("event") in schema(ATTACH_EVENT)["$defs"], line
    assert mistakes(ATTACH_EVENT, event) == [], line


def verb_of(words: list[str]) -> str:
    """The verb that a command line names."""
    command: click.Command = cmdop
    name = ["cmdop"]
    for word in words:
        below = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if below is not None:
            command, name = below, [*name, word]
    if name == ["cmdop", "connect"]:
        return LISTING if "--list" in words else ATTACHING
    return " ".join(name)


class _Watched:
    """The module `json` for `cmdop.cli.output`: what it writes has to be as its schema says."""

    @staticmethod
    def dumps(document: Any, **how: Any) -> str:
        context = click.get_current_context(silent=True)
        if context is not None:
            listing = context.command_path == "cmdop connect"
            check(LISTING if listing else context.command_path, document)
        return json.dumps(document, **how)


def check_run(argv: list[str], done: subprocess.CompletedProcess[Any]) -> None:
    """The document, or the events, of a command line that was run to its end."""
    words = argv[argv.index("cmdop") + 1 :] if "cmdop" in argv else argv[1:]
    words = words[: words.index("--")] if "--" in words else words
    if "--json" not in words or done.returncode < 0:
        return
    verb = verb_of(words)
    if SCHEMAS.get(verb) == ATTACH_EVENT:  # standard output is the shell's
        for line in (done.stderr or "").splitlines():
            check_event(line)
    elif done.stdout:
        check(verb, json.loads(done.stdout))


@contextmanager
def watched() -> Iterator[None]:
    """As long as the block takes no document goes by unseen."""
    really_run = subprocess.run

    def run(argv: Any, *args: Any, **how: Any) -> subprocess.CompletedProcess[Any]:
        done = really_run(argv, *args, **how)
        words = [os.fsdecode(word) for word in argv] if isinstance(argv, list) else [""]
        if "cmdop" in words or Path(words[0]).name == "cmdop":
            check_run(words, done)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", run)
        patch.setattr(output, "json", _Watched)
        yield
