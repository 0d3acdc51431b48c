"""The entry point: quick where it can be, and no traceback whatever is wrong around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cmdop import __version__
from cmdop.auth.keys import new_workspace_key
from cmdop.home import Home
from tests.cli.process import ROOT, TIMEOUT_SECONDS, cmdop, environment, shell

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")

HEAVY = {"click", "msgspec", "websocket", "websockets", "cryptography", "noise", "keyring", "logging", "json", "ssl"}


def test_the_version_is_told_without_importing_anything_heavy(home: Home) -> None:
    code = (
        "import sys; sys.argv = ['cmdop', '--version']\n"
        "from cmdop.cli.main import main; main()\n"
        "print(*sorted(name for name in sys.modules if '.' not in name))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('cmdop')))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment(home), capture_output=True, text=True, check=True
    )
    version, modules, ours = done.stdout.splitlines()
    assert version == f"cmdop {__version__}"
    assert set(modules.split()) & HEAVY == set()
    assert ours.split() == ["cmdop", "cmdop.cli", "cmdop.cli.main"]
    assert not home.path.exists()


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "wss://localhost:1"])
def test_who_needs_no_proxy_imports_nothing_for_one(url: str, home: Home) -> None:
    code = (
        "import sys; from cmdop.cli.root import run\n"
        f"status = run(['connect', '--list', '--server', '{url}', '--api-key', '{new_workspace_key().text}'])\n"
        "print(status, *sorted(name for name in sys.modules if '.' not in name))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('cmdop.transport')))\n"
        "import cmdop.transport.proxied, websocket"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home), capture_output=True, text=True, check=True
    )
    status, *modules = done.stdout.splitlines()[0].split()
    assert status == "4"
    unwanted = {"python_socks"} if sys.platform in ("darwin", "win32") else {"python_socks", "truststore"}
    assert set(modules) & unwanted == set()
    assert set(done.stdout.splitlines()[1].split()) & {"cmdop.transport.proxied", "cmdop.transport.presented"} == set()


@pytest.mark.parametrize("words", [("--version",), ("--version", "--help")])
def test_the_version_is_the_same_however_it_is_asked_for(home: Home, words: tuple[str, ...]) -> None:
    assert cmdop(home, *words) == (0, f"cmdop {__version__}\n", "")


def test_help_needs_no_state(home: Home) -> None:
    done = cmdop(home, "--help", CMDOP_HOME="/nowhere/at/all")
    assert done.status == 0
    for verb in ("connect", "agent", "relay", "demo"):
        assert f"  {verb} " in done.out


# -- where the output goes --------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["--version", "--help", "connect --help", "agent status --json"])
def test_a_reader_that_has_gone_is_no_error(home: Home, words: str) -> None:
    """The pipe is closed before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "cmdop", *words.split()]
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, env=environment(home), check=False, timeout=TIMEOUT_SECONDS
        )
    assert done.returncode == (4 if "status" in words else 0)
    assert done.stderr == b""


@needs_full
@pytest.mark.parametrize("buffering", ["", "PYTHONUNBUFFERED=1 "])
@pytest.mark.parametrize("words", ["--version", "--help", "completion bash"])
def test_a_full_disk_is_said_in_a_sentence(home: Home, words: str, buffering: str) -> None:
    done = shell(home, f"{buffering}$CMDOP {words} > /dev/full")
    assert done.status == 1
    assert done.err.splitlines()[0] == "cmdop: the output cannot be written: no space left on device"
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err


@needs_full
def test_an_error_keeps_its_status_though_it_cannot_be_said(home: Home) -> None:
    assert shell(home, "$CMDOP agent status 2> /dev/full") == (4, "", "")
    assert (
        shell(home, "$CMDOP agent status --json 2>&1 > /dev/full | head -1").out == "cmdop: no agent is running here\n"
    )
    assert shell(home, "$CMDOP agent status --json > /dev/full 2>&1") == (4, "", "")
    assert shell(home, "$CMDOP connect prod 2> /dev/full") == (5, "", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_is_no_crash(home: Home, closed: str) -> None:
    statuses = {"--version": 0, "--help": 0, "agent status": 4, "connect prod": 5, "connect": 2, "nonsense": 2}
    script = "".join(f"$CMDOP {words} {closed}; echo $?;" for words in statuses)
    done = shell(home, script)
    found = [int(line) for line in done.out.splitlines() if line.isdecimal()]
    assert found == list(statuses.values()), done
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err


def test_what_is_opened_never_gets_the_number_of_a_standard_descriptor(home: Home) -> None:
    """Or else a socket would be taken for the terminal."""
    code = (
        "import os, sys; sys.argv = ['cmdop', '--help']\n"
        "from cmdop.cli.main import _fill_standard_descriptors; _fill_standard_descriptors()\n"
        "os._exit(os.open('/dev/null', os.O_RDONLY))"
    )
    done = shell(home, f'{sys.executable} -c "{code}" <&- >&- 2>&-')
    assert done.status > 2


# -- around it --------------------------------------------------------------------------------------


def test_without_home_the_password_file_knows_where_it_is(home: Home) -> None:
    done = cmdop(home, "connect", "prod", HOME=None, CMDOP_HOME=None, CMDOP_API_KEY="ck_nonsense")
    assert (done.status, done.out) == (5, "")
    assert done.err.startswith("cmdop: that is not an API key:")


@pytest.mark.skipif(os.name != "posix", reason="there is no such thing")
@pytest.mark.parametrize("named", ["~nobody-of-that-name/x"])
def test_a_home_that_nobody_knows_is_said_in_a_sentence(home: Home, named: str) -> None:
    done = cmdop(home, "connect", "prod", CMDOP_HOME=named)
    assert done.status == 1
    assert done.err.startswith(f"cmdop: {named} cannot be used: nobody knows where")


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}],
)
def test_text_that_the_locale_does_not_have_is_no_crash(home: Home, locale: dict[str, str]) -> None:
    code = r"from cmdop.cli.progress import say; say('[connect] attached \u2014 Ctrl-D to disconnect')" + "\n"
    code += "from cmdop.cli.output import print_json, print_table\n"
    code += r"name = 'gr\u00f6\u00dfe'; print_json({'name': name}); print_table(('NAME',), [(name,)])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home, **locale), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[connect] attached " in done.stderr
    document, _, table = done.stdout.partition("}\n")
    assert json.loads(document + "}") == {"name": "größe"}
    assert table.startswith("NAME\ngr")


def test_a_word_that_is_no_text_is_no_crash(home: Home) -> None:
    command = [sys.executable, "-m", "cmdop", "connect", b"\xff\xfe", "--api-key", b"\xff", "--json"]
    done = subprocess.run(command, env=environment(home), capture_output=True, check=False, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 5
    assert b'"code": "bad-key"' in done.stdout
    assert done.stderr == b""


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal")
def test_ctrl_c_at_any_moment_leaves_without_a_traceback(home: Home) -> None:
    """Sent as soon as the process can be: while it still imports, most likely."""
    for _ in range(3):
        command = [sys.executable, "-c", "import sys; print(flush=True); from cmdop.cli.main import main; main()"]
        with subprocess.Popen(
            [*command, "agent", "logs", "-f"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home, PYTHONPATH=str(ROOT)),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
            status = process.wait(TIMEOUT_SECONDS)
        assert status in (0, 130, -signal.SIGINT), said
        assert b"cmdop/cli/root" not in said
