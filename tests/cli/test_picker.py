"""`cmdop connect` without HOST, with a real relay but for the network: what leads where."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from cmdop.auth.credentials import Given, find_credential
from cmdop.auth.kept_passwords import KeptPasswords
from cmdop.auth.keys import Role
from cmdop.cli import prompt
from cmdop.cli.connect import ConnectOptions, attach_with
from cmdop.cli.root import run
from cmdop.client.recent import FILE
from cmdop.home import Home
from cmdop.store.sqlite import SqliteStore
from cmdop.terminal import factory
from cmdop.wire.relay_messages import Goodbye
from tests.cli.process import TIMEOUT_SECONDS, environment
from tests.client.fake_terminal import FakeTerminal
from tests.network import Network, RunningAgent, wire_up

Said = pytest.CaptureFixture[str]
Typed = Callable[[str], None]
ENTER, CTRL_C, CTRL_D = "\r", "\x03", "\x04"
OFFLINE_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def network(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    network.rig.unix_now.now = time.time()
    wire_up(network, monkeypatch.setattr)
    monkeypatch.setattr("cmdop.cli.runtime.settle", lambda: None)
    monkeypatch.setattr(prompt, "can_ask", lambda: True)
    monkeypatch.setattr("cmdop.cli.attach.can_ask", lambda: True)
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "anna").text)
    yield network
    network.close()
    store.close()


@pytest.fixture
def agent(network: Network, tmp_path: Path) -> Iterator[RunningAgent]:
    agent = RunningAgent(Home(tmp_path / "machine"), network.rig.key(Role.AGENT))
    agent.until_online()
    yield agent
    agent.stop()


@pytest.fixture
def away(network: Network) -> None:
    """A machine that was there once."""
    talker = network.rig.connect(network.rig.key(Role.AGENT, "away").bearer)
    talker.hello_agent(OFFLINE_ID, "away", "away.example.org")
    talker.hear_welcome()
    talker.say(Goodbye())
    talker.leave()


@pytest.fixture
def typed() -> Iterator[Typed]:
    """Types at the terminal that questions are asked on; what one does not take, the next one gets."""
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys.send_text


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """The terminal that the shell is shown on."""
    terminal = FakeTerminal(is_tty=False, blind=True)
    monkeypatch.setattr(factory, "open_terminal", lambda: terminal)
    return terminal


def machine_id(agent: RunningAgent) -> str:
    return str(agent.service.status()["machine_id"])


def test_after_a_detach_there_is_another_choice(
    agent: RunningAgent, typed: Typed, terminal: FakeTerminal, capsys: Said, home: Home
) -> None:
    terminal.press(b"\x04")
    typed(ENTER + ENTER + CTRL_D)
    assert run(["connect"]) == 0
    said = capsys.readouterr().err
    assert f"  id         {machine_id(agent)}\n" in said
    assert f"  workspace  {agent.service.status()['workspace']}\n" in said
    assert "  attached   nobody\n" in said
    assert "  password   asked for, if it has one\n" in said
    assert "[connect] resolving prod ... ok" in said
    assert "[connect] detached — the session is kept for 30 s: cmdop connect prod" in said
    assert machine_id(agent) in home.file(FILE).read_text()


def test_that_a_password_is_remembered_is_said_before_it_is_used(
    agent: RunningAgent, typed: Typed, capsys: Said, home: Home
) -> None:
    KeptPasswords(home).keep(machine_id(agent), "prod", "correct horse")
    typed(ENTER + "n" + CTRL_D)
    assert run(["connect"]) == 0
    said = capsys.readouterr().err
    assert "  password   remembered here\n" in said
    assert "correct horse" not in said


def test_after_the_end_of_the_shell_there_is_another_choice(
    agent: RunningAgent, typed: Typed, terminal: FakeTerminal, capsys: Said
) -> None:
    terminal.press(b"exit 3\n")
    typed(ENTER + "y" + CTRL_C)
    assert run(["connect"]) == 130
    assert "[connect] session ended (exit 3)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        (CTRL_D, 0),
        (CTRL_C, 130),
        (ENTER + CTRL_D, 0),
        (ENTER + CTRL_C, 130),
        (ENTER + "n" + CTRL_D, 0),
        ("nothing has this" + ENTER + CTRL_D, 0),
        ("x" + "\x7f" + ENTER + "N" + CTRL_C, 130),
    ],
)
def test_who_leaves_is_attached_to_nothing(
    agent: RunningAgent, typed: Typed, terminal: FakeTerminal, keys: str, status: int, home: Home
) -> None:
    typed(keys)
    assert run(["connect"]) == status
    assert terminal.log == []
    assert agent.service.status()["sessions"] == []
    assert not home.file(FILE).exists()


def test_a_machine_that_is_offline_is_explained_and_cannot_be_chosen(
    away: None, network: Network, typed: Typed, terminal: FakeTerminal, capsys: Said
) -> None:
    typed(ENTER + ENTER + CTRL_D)
    assert run(["connect"]) == 0
    said = capsys.readouterr().err
    assert said.count('cmdop: machine "away" is offline') == 2
    assert "it stopped cleanly; on that machine, look at: cmdop agent status" in said
    assert terminal.log == []


def test_the_machine_that_was_used_last_is_the_first(
    away: None, agent: RunningAgent, typed: Typed, terminal: FakeTerminal, capsys: Said, home: Home
) -> None:
    typed(ENTER + "n" + CTRL_D)
    assert run(["connect"]) == 0
    assert "  name       prod" in capsys.readouterr().err  # it is online
    terminal.press(b"\x04")
    assert run(["connect", "prod"]) == 0
    used = home.file(FILE).read_text()
    home.file(FILE).write_text(used.replace(machine_id(agent), OFFLINE_ID))
    typed(ENTER + CTRL_D)
    assert run(["connect"]) == 0
    assert 'machine "away" is offline' in capsys.readouterr().err


def test_without_a_usable_list_of_recent_machines_the_order_is_another(
    agent: RunningAgent, typed: Typed, terminal: FakeTerminal, capsys: Said, home: Home
) -> None:
    home.write_bytes(FILE, b"nonsense")
    typed(CTRL_D)
    assert run(["connect"]) == 0
    assert f"the machines used last are not known: {home.file(FILE)} cannot be read" in capsys.readouterr().err


def test_what_fails_with_one_machine_leads_back_to_the_list(
    agent: RunningAgent, typed: Typed, terminal: FakeTerminal, capsys: Said
) -> None:
    typed(ENTER + ENTER + CTRL_D)
    assert run(["connect", "--session", "0123"]) == 0
    assert "cmdop: session 0123 is gone" in capsys.readouterr().err


def test_what_fails_with_every_machine_ends_it(
    agent: RunningAgent, network: Network, typed: Typed, terminal: FakeTerminal, capsys: Said
) -> None:
    typed(ENTER + ENTER + CTRL_D)
    assert run(["connect", "--detach-keys", "nonsense"]) == 2
    network.down = True
    assert run(["connect"]) == 4
    assert run(["connect", "-k", "ck_x"]) == 5


def test_a_signal_in_the_shell_ends_it(agent: RunningAgent, typed: Typed, terminal: FakeTerminal) -> None:
    def kill() -> None:
        terminal.until_read()
        terminal.kill(15)

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    typed(ENTER + ENTER)
    assert run(["connect"]) == 143
    killing.join(10.0)


def test_what_was_chosen_is_found_by_its_id_whatever_its_name_means_by_then(
    agent: RunningAgent, terminal: FakeTerminal, capsys: Said, home: Home
) -> None:
    terminal.press(b"\x04")
    given = Given(environment_key=os.environ["CMDOP_API_KEY"])
    options = ConnectOptions("somebody else", given, machine_id=machine_id(agent))
    assert attach_with(options, find_credential(home, given), home) == 0
    assert "[connect] resolving somebody else ... ok" in capsys.readouterr().err
    assert len(agent.service.status()["sessions"]) == 1


def test_an_empty_workspace_says_how_to_add_a_machine(network: Network, typed: Typed, capsys: Said) -> None:
    assert run(["connect"]) == 3
    said = capsys.readouterr().err
    assert "has no machines yet" in said
    assert "cmdop agent start --server " in said


def test_without_a_terminal_or_prompts_nothing_is_asked(
    agent: RunningAgent, typed: Typed, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    assert run(["connect", "-q"]) == 2
    assert "no machine was named" in capsys.readouterr().err
    monkeypatch.setattr(prompt, "can_ask", lambda: False)
    assert run(["connect"]) == 2
    assert "the picker needs a terminal" in capsys.readouterr().err


def test_a_direct_attach_imports_nothing_of_the_picker(home: Home) -> None:
    code = (
        "import sys\nfrom cmdop.cli.root import run\nimport cmdop.cli.attach\n"
        "run(['connect', 'host', '-s', 'ws://127.0.0.1:1', '-k', 'ck_x'])\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} | {n for n in sys.modules if 'picker' in n}))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment(home), capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS
    )
    assert "cmdop" in done.stdout.split()
    assert not {"questionary", "prompt_toolkit", "asyncio", "cmdop.cli.picker"} & set(done.stdout.split())
