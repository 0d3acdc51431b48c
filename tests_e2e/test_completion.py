"""Completion in the real shells: what is offered, and what Tab makes of a line."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cmdop.limits import DIAL_TIMEOUT_SECONDS
from tests_e2e.conftest import User, as_operator
from tests_e2e.stack import Stack
from tests_e2e.terminal import CMDOP
from tests_e2e.timing import START_SECONDS

Complete = Callable[..., list[str]]
PROMPT = b"re-dy> "

ASK = {
    "bash": """eval "$(cmdop completion bash)"
        COMP_WORDS=($LINE) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        case $LINE in *' ') COMP_CWORD=$((COMP_CWORD + 1)) ;; esac
        _cmdop_completion cmdop; printf '%s\\n' "${COMPREPLY[@]}" """,
    "fish": 'cmdop completion fish | source; complete -C "$LINE"',
}
"""Scripts that print what could stand at the end of LINE."""
PROMPT_IS = f"PS1='{PROMPT.decode()[0]}''{PROMPT.decode()[1:]}'"
INTERACTIVE = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], PROMPT_IS),
    "zsh": (["zsh", "-f", "-i"], f"{PROMPT_IS}; zle_highlight=(none); autoload -Uz compinit; compinit -u -D"),
}
"""How a shell is started without anybody's files, and what it is told first."""


def shells(names: Mapping[str, object]) -> list[Any]:
    missing = "{} is not installed"
    return [
        pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=missing.format(name)))
        for name in names
    ]


@pytest.fixture
def ann(user: User, stack: Stack) -> User:
    """Somebody with an operator's key, and cmdop on the PATH."""
    user.env["PATH"] = f"{Path(CMDOP).parent}{os.pathsep}{user.env['PATH']}"
    return as_operator(user, stack)


@pytest.fixture(params=shells(ASK))
def complete(request: pytest.FixtureRequest, ann: User) -> Complete:
    """What a shell has for the end of a line, without what it says about it. Nothing is said beside it."""

    def complete(line: str, timeout_seconds: float = START_SECONDS) -> list[str]:
        done = subprocess.run(
            [request.param, "-c", ASK[request.param]],
            env={**ann.env, "LINE": line},
            cwd=ann.home,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=True,
        )
        assert done.stderr == ""
        return [offered.split("\t")[0] for offered in done.stdout.splitlines() if offered]

    return complete


def test_verbs_are_offered_and_not_those_that_nobody_is_told_of(complete: Complete) -> None:
    assert {"connect", "session", "agent", "completion"} <= set(complete("cmdop "))
    assert complete("cmdop sess") == ["session"]
    assert {"start", "stop", "status"} <= set(complete("cmdop agent st"))


def test_options_are_offered_before_and_behind_a_host(complete: Complete) -> None:
    assert complete("cmdop connect --read") == ["--read-only"]
    assert complete("cmdop connect alpha --read") == ["--read-only"]
    assert set(complete("cmdop connect --replay ")) == {"all", "screen", "none"}


def test_machines_are_offered_wherever_a_host_is_taken(complete: Complete) -> None:
    assert complete("cmdop connect al") == ["alpha"]
    assert {"alpha", "beta", "key", "machine"} <= set(complete("cmdop connect "))
    for before in ("connect exec", "session create", "session list", "connect machine accept", "session list --host"):
        assert set(complete(f"cmdop {before} ")) == {"alpha", "beta"}, before
    assert complete("cmdop connect alpha ") == []


def test_workspaces_are_offered_by_name(complete: Complete, ann: User, stack: Stack) -> None:
    for name in ("home", "office", "with blank"):
        command = [CMDOP, "connect", "workspace", "add", name, "--server", stack.url]
        subprocess.run(command, env=ann.env, check=True, capture_output=True)
    for before in ("connect --workspace", "connect workspace use", "logout --workspace"):
        assert sorted(complete(f"cmdop {before} ")) == ["home", "office"], before
    assert complete("cmdop connect workspace remove of") == ["office"]


@pytest.fixture
def silence() -> Iterator[str]:
    """The URL of a relay that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


def test_a_relay_that_says_nothing_is_not_waited_for(complete: Complete, ann: User, silence: str) -> None:
    ann.env["CMDOP_SERVER"] = silence
    assert "key" in complete("cmdop connect ", DIAL_TIMEOUT_SECONDS)
    assert complete("cmdop connect al", DIAL_TIMEOUT_SECONDS) == []


def test_without_a_key_there_are_verbs_and_no_word_of_an_error(complete: Complete, ann: User) -> None:
    del ann.env["CMDOP_API_KEY"]
    assert complete("cmdop connect k") == ["key"]
    assert complete("cmdop session create ") == []
    assert complete("cmdop connect one two ") == []


@pytest.mark.parametrize("shell", shells(INTERACTIVE))
def test_tab_completes_what_is_typed(shell: str, ann: User) -> None:
    start, first = INTERACTIVE[shell]
    terminal = ann.terminal
    job = terminal.run(start, ann.env, ann.home)
    terminal.type(f'{first}; eval "$(cmdop completion {shell})"\r'.encode())
    terminal.expect_exact(PROMPT, START_SECONDS)
    for typed, completed in [(b"cmdop conn", b"connect "), (b"al", b"alpha "), (b"--read", b"--read-only ")]:
        terminal.type(typed + b"\t")
        terminal.expect_exact(completed[len(typed.split()[-1]) :], START_SECONDS)
    terminal.type(b"\x01echo that is: \r")  # Ctrl-A: to the beginning of the line
    terminal.expect_exact(b"that is: cmdop connect alpha --read-only\r\n", START_SECONDS)
    terminal.type(b"exit\r")
    assert job.wait(START_SECONDS) == 0
