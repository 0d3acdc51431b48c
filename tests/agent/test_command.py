"""What is started for an Execute."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from cmdop.agent.account import Account
from cmdop.agent.command import prepare
from cmdop.errors import CommandUnusable
from cmdop.exechost.interface import ShellCommand
from cmdop.wire.exec_messages import Execute

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the paths are POSIX")
AGENTS = {"PATH": "/usr/bin:/bin", "CMDOP_API_KEY": "ck_secret", "SECRET": "x", "TERM": "dumb"}


@pytest.fixture
def ann(tmp_path: Path) -> Account:
    return Account("ann", str(tmp_path), "/bin/bash")


def test_one_word_is_for_the_accounts_shell_and_several_are_run_as_they_are(ann: Account) -> None:
    assert prepare(Execute((b"ls | wc",)), ann, AGENTS).command == ShellCommand("/bin/bash", ("bash", "-c", "ls | wc"))
    found = prepare(Execute((b"sh", b"-c", b"\xff")), ann, AGENTS).command
    assert found.path in ("/usr/bin/sh", "/bin/sh")
    assert found.argv == ("sh", "-c", "\udcff")


def test_on_windows_the_shell_gets_its_line_as_it_was_written() -> None:
    account = Account("ann", "/", "C:\\cmd.exe", inherits_all=True)
    prepared = prepare(Execute((b'dir "a b"',)), account, {"SystemRoot": "C:\\"})
    assert prepared.command.argv == ("cmd.exe", "/d", "/s", "/c", '"dir "a b""')
    assert prepared.as_written


def test_the_environment_is_the_accounts_with_what_was_asked_for(ann: Account) -> None:
    env = prepare(Execute((b"env",), env=(b"A=b=c", b"HOME=/x"), locale=""), ann, AGENTS).env
    assert (env["A"], env["HOME"], env["USER"]) == ("b=c", "/x", "ann")
    assert not {"CMDOP_API_KEY", "CMDOP_SESSION", "SECRET", "TERM"} & set(env)


def test_with_a_terminal_there_is_its_name(ann: Account) -> None:
    assert prepare(Execute((b"vi",), tty=True), ann, AGENTS).env["TERM"] == "xterm-256color"


def test_a_command_is_looked_for_in_its_own_path(ann: Account, tmp_path: Path) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    wanted = Execute((b"mine", b"x"), env=(f"PATH={tmp_path}".encode(),))
    assert prepare(wanted, ann, AGENTS).command.path == str(program)
    assert prepare(Execute((b"./mine", b"x")), ann, AGENTS).command.path == f"{tmp_path}/./mine"


def test_the_folder_is_the_home_or_in_it_or_anywhere(ann: Account, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    folders = [prepare(Execute((b"ls",), cwd=cwd), ann, AGENTS).cwd for cwd in (b"", b"sub", b"/usr")]
    assert folders == [str(tmp_path), str(tmp_path / "sub"), "/usr"]


@pytest.mark.parametrize("cwd", [b"no/such", b"file", b"\0"])
def test_a_folder_that_is_none_is_not_the_commands_fault(ann: Account, tmp_path: Path, cwd: bytes) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandUnusable) as refused:
        prepare(Execute((b"ls",), cwd=cwd), ann, AGENTS)
    assert "errno" not in refused.value.details


def test_who_is_not_there_and_who_may_not_be_run_are_two_things(ann: Account, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    for name, number in (("nosuch", errno.ENOENT), ("plain", errno.EACCES), ("", errno.ENOENT)):
        wanted = Execute((name.encode(), b"x"), env=(f"PATH={tmp_path}".encode(),))
        with pytest.raises(CommandUnusable) as refused:
            prepare(wanted, ann, AGENTS)
        assert refused.value.details["errno"] == number


@pytest.mark.parametrize("variable", [b"A", b"=b", b"", b"A=\0"])
def test_what_is_no_variable_is_refused(ann: Account, variable: bytes) -> None:
    with pytest.raises(CommandUnusable, match="is no variable"):
        prepare(Execute((b"ls",), env=(variable,)), ann, AGENTS)


def test_nothing_cannot_be_run(ann: Account) -> None:
    with pytest.raises(CommandUnusable, match="no command was named"):
        prepare(Execute(()), ann, AGENTS)
