from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop.agent.account import Account, current_account
from cmdop.agent.environment import Installed, Wishes, login_shell, open_login_shell, shell_command, start_folder
from cmdop.agent.installed import has_locale, has_terminfo
from cmdop.errors import ShellUnusable
from cmdop.wire.session_messages import Register
from tests.ptyhost.driver import Screen

ANN = Account("ann", "/home/ann", "/bin/bash")
AGENTS = {
    "PATH": "/opt/bin:/bin",
    "TZ": "Europe/Berlin",
    "CMDOP_API_KEY": "ck_secret",
    "CMDOP_HOME": "/x",
    "CMDOP_SESSION": "another",
    "SECRET": "of whoever started it",
    "LC_ALL": "fr_FR.UTF-8",
    "TERM": "dumb",
}
EVERYTHING = Installed(terminfo=lambda term, home: True, locale=lambda name: True)
NOTHING = Installed(terminfo=lambda term, home: False, locale=lambda name: False)


def env_of(wishes: Wishes, installed: Installed = EVERYTHING) -> dict[str, str]:
    return login_shell(ANN, None, AGENTS, wishes, "abcd", installed).env


class TestEnvironment:
    def test_it_is_the_accounts_and_the_clients_and_little_of_the_agents(self) -> None:
        assert env_of(Wishes("xterm-kitty", "truecolor", "de_DE.UTF-8")) == {
            "PATH": "/opt/bin:/bin",
            "TZ": "Europe/Berlin",
            "HOME": "/home/ann",
            "USER": "ann",
            "LOGNAME": "ann",
            "SHELL": "/bin/bash",
            "TERM": "xterm-kitty",
            "COLORTERM": "truecolor",
            "LANG": "de_DE.UTF-8",
            "CMDOP_SESSION": "abcd",
        }

    def test_without_a_path_there_is_the_usual_one(self) -> None:
        assert login_shell(ANN, None, {}, Wishes(), "abcd", EVERYTHING).env["PATH"] == "/usr/local/bin:/usr/bin:/bin"
        root = login_shell(Account("root", "/root", "/bin/sh", True), None, {}, Wishes(), "abcd", EVERYTHING)
        assert "/sbin" in root.env["PATH"].split(":")

    def test_where_programs_expect_everything_they_get_it_but_for_what_is_ours(self) -> None:
        account = Account("ann", "C:\\Users\\ann", "C:\\cmd.exe", inherits_all=True)
        env = login_shell(account, None, {"SystemRoot": "C:\\Windows", "Cmdop_Key": "x"}, Wishes(), "abcd").env
        assert env == {"PATH": "", "SystemRoot": "C:\\Windows", "TERM": "xterm-256color", "CMDOP_SESSION": "abcd"}

    @given(term=st.text(max_size=80), colorterm=st.text(max_size=80), locale=st.text(max_size=80))
    def test_whatever_a_client_sends_becomes_a_name_or_nothing(self, term: str, colorterm: str, locale: str) -> None:
        env = env_of(Wishes(term, colorterm, locale))
        for name in ("TERM", "COLORTERM", "LANG"):
            value = env.get(name, "x")
            assert value.isascii()
            assert value.isprintable()
            assert not set(value) & set(" /$`;:=\\'\"(){}")


class TestTerm:
    def test_one_that_is_unknown_here_becomes_another_with_one_note(self) -> None:
        login = login_shell(ANN, None, AGENTS, Wishes("xterm-kitty"), "abcd", NOTHING)
        assert login.env["TERM"] == "xterm-256color"
        assert login.note == 'this machine does not know the terminal "xterm-kitty": using xterm-256color'

    def test_one_that_is_known_needs_no_note(self) -> None:
        assert login_shell(ANN, None, AGENTS, Wishes("xterm-kitty"), "abcd", EVERYTHING).note == ""

    def test_a_client_without_one_gets_one_without_a_note(self) -> None:
        login = login_shell(ANN, None, AGENTS, Wishes(), "abcd", NOTHING)
        assert (login.env["TERM"], login.note) == ("xterm-256color", "")

    @pytest.mark.parametrize("term", ["../../etc/passwd", "xterm\n", "\x1b[2J", "x" * 65, ".hidden", "a b", "xtérm"])
    def test_one_that_is_no_name_is_not_repeated(self, term: str) -> None:
        login = login_shell(ANN, None, AGENTS, Wishes(term), "abcd", EVERYTHING)
        assert login.env["TERM"] == "xterm-256color"
        assert term not in login.note
        assert login.note

    def test_this_machine_knows_the_most_usual_ones(self, tmp_path: Path) -> None:
        assert has_terminfo("xterm-256color", str(tmp_path))
        assert not has_terminfo("no-such-terminal", str(tmp_path))

    @pytest.mark.parametrize("group", ["n", "6e"])
    def test_one_of_the_users_own_counts(self, tmp_path: Path, group: str) -> None:
        (tmp_path / ".terminfo" / group).mkdir(parents=True)
        (tmp_path / ".terminfo" / group / "no-such-terminal").touch()
        assert has_terminfo("no-such-terminal", str(tmp_path))


class TestLocale:
    def test_one_that_is_not_here_becomes_plain_utf_8(self) -> None:
        only_c = Installed(terminfo=lambda term, home: True, locale=lambda name: name == "C.UTF-8")
        assert env_of(Wishes(locale="de_DE.UTF-8"), only_c)["LANG"] == "C.UTF-8"
        assert env_of(Wishes(locale=""), only_c)["LANG"] == "C.UTF-8"

    def test_where_there_is_none_at_all_none_is_set(self) -> None:
        assert "LANG" not in env_of(Wishes(locale="de_DE.UTF-8"), NOTHING)

    @pytest.mark.parametrize("locale", ["de_DE.UTF-8", "sr_RS@latin", "C", "C.utf8", "en_US.ISO-8859-15@euro"])
    def test_real_names_are_names(self, locale: str) -> None:
        assert env_of(Wishes(locale=locale))["LANG"] == locale

    def test_the_c_library_is_asked_and_not_changed(self) -> None:
        assert has_locale("C")
        assert has_locale("POSIX")
        assert not has_locale("xx_XX.no-such-charset")


class TestCommand:
    def test_without_a_command_it_is_the_accounts_login_shell(self) -> None:
        assert shell_command(ANN, None, "/bin") == ("/bin/bash", ("-bash",))

    def test_a_command_is_run_as_it_is_written(self) -> None:
        assert shell_command(ANN, "sh -c 'echo \"a b\"'", "/nowhere:/bin") == ("/bin/sh", ("sh", "-c", 'echo "a b"'))
        assert shell_command(ANN, "/bin/sh", "") == ("/bin/sh", ("/bin/sh",))

    @pytest.mark.parametrize("shell", ["", "  ", "no-such-shell", "/etc/passwd", "'unbalanced", "/"])
    def test_one_that_cannot_be_is_told(self, shell: str) -> None:
        with pytest.raises(ShellUnusable) as caught:
            shell_command(ANN, shell, "/bin")
        assert caught.value.details["shell"] == shell

    def test_without_a_home_it_starts_at_the_root(self, tmp_path: Path) -> None:
        assert start_folder(str(tmp_path)) == str(tmp_path)
        assert start_folder(str(tmp_path / "none")) == "/"


class TestAccount:
    def test_it_is_the_user_that_runs_this(self) -> None:
        account = current_account({"HOME": "/another", "SHELL": "/another"})
        assert account.home != "/another"
        assert os.path.isabs(account.shell)
        assert account.is_root == (os.geteuid() == 0)

    def test_a_user_without_a_record_has_a_shell_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000 - 1)
        assert current_account({"HOME": "/work"}) == ("3999999999", "/work", "/bin/sh", False, False)


def test_a_session_is_a_login_shell_with_the_clients_terminal_and_size() -> None:
    wanted = Register(1, "test", "0" * 16, rows=33, cols=111, term="vt100", colorterm="truecolor")
    pty, note = open_login_shell(
        wanted, "abcd", "sh -c 'stty size; env; pwd'", {"PATH": "/usr/bin:/bin", "CMDOP_X": "1"}
    )
    try:
        output, _ = Screen(pty).to_the_end()
    finally:
        pty.close()
    lines = output.decode().split("\r\n")
    assert note == ""
    assert lines[0] == "33 111"
    assert {"TERM=vt100", "COLORTERM=truecolor", "CMDOP_SESSION=abcd"} <= set(lines)
    assert "CMDOP_X=1" not in lines
    assert start_folder(current_account({}).home) in lines
