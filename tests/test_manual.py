"""The manual page says what `--help` says: docs/cmdop.1 is made from the same tree of verbs.

`python -m tests.test_manual --write` writes it anew.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from cmdop.cli.root import cmdop
from tests.test_docs import ROOT, TREE, options

PAGE = ROOT / "docs/cmdop.1"
GROFF = shutil.which("groff")


def manual() -> str:
    """The page in the macros of man(7)."""
    lines = ['.TH CMDOP 1 "" cmdop', ".SH NAME", "cmdop \\- a shell on any of your machines"]
    lines += [".SH SYNOPSIS", ".B cmdop", ".I VERB", "[OPTIONS] [ARGUMENTS]", ".SH DESCRIPTION", *_text(cmdop)]
    lines += [".SH VERBS", "Every verb takes \\fB\\-h\\fR and \\fB\\-\\-help\\fR."]
    for name, command in TREE.items():
        if name != "cmdop":
            lines += [f".SS {_safe(_usage(name, command))}", *_text(command), *_options(command)]
    return "\n".join(lines) + "\n"


def _usage(name: str, command: click.Command) -> str:
    return " ".join([name, *command.collect_usage_pieces(click.Context(command))])


def _text(command: click.Command) -> Iterator[str]:
    r"""The help in paragraphs; what stands behind a \b keeps its lines."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        as_it_is = paragraph.startswith("\b\n")
        yield ".PP"
        yield from [".nf"] * as_it_is
        yield from (_safe(line) for line in paragraph.removeprefix("\b\n").splitlines())
        yield from [".fi"] * as_it_is


def _options(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            spelling, about = record
            yield from (".TP", f".B {_safe(spelling)}", _safe(about))


def _safe(text: str) -> str:
    """A line that troff shows as it is: no escape, no request, and hyphens that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def test_the_manual_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual(), "python -m tests.test_manual --write"


@pytest.mark.parametrize("name", [name for name in TREE if name != "cmdop"])
def test_the_manual_page_has_every_verb_and_option(name: str) -> None:
    section = re.search(rf"^\.SS {name} .*?(?=^\.SS |\Z)", manual(), re.M | re.S)
    assert section is not None
    plain = section[0].replace("\\-", "-")
    assert [one for one in options(TREE[name]) - {"-h", "--help"} if one not in plain] == []


def test_what_troff_would_act_on_is_shown_as_it_is() -> None:
    assert _safe(".SH no") == "\\&.SH no"
    assert _safe("a\\fBb --c") == "a\\efBb \\-\\-c"


@pytest.mark.skipif(GROFF is None, reason="groff is not installed")
def test_troff_has_nothing_to_say_against_it() -> None:
    assert GROFF is not None
    done = subprocess.run(
        [GROFF, "-man", "-Tutf8", "-ww", "-k"], input=manual(), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    assert "cmdop connect exec [OPTIONS]" in re.sub(".\b|\x1b\\[[0-9;]*m", "", done.stdout).replace("\N{HYPHEN}", "-")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.test_manual --write")
    PAGE.write_text(manual(), encoding="utf-8")
