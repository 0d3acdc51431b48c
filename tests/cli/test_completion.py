"""`cmdop completion`: the scripts, and what they are answered; verbs that are misspelt; examples in the help."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cmdop.auth.keys import Role
from cmdop.auth.workspaces import KnownRelay, changing_workspaces
from cmdop.cli.completion import SHELLS
from cmdop.cli.root import COMPLETION_VARIABLE, VERBS, run
from cmdop.client.machine_names import FILE
from cmdop.home import Home
from cmdop.store.sqlite import SqliteStore
from tests.network import Network, wire_up
from tests.test_docs import TREE, mistake

Said = pytest.CaptureFixture[str]
Complete = Callable[[str], list[str]]
IDS = [f"8f23a4b{number}-0000-4000-8000-000000000000" for number in range(4)]


@pytest.fixture(autouse=True)
def where(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CMDOP_HOME", str(home.path))
    return home


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Complete:
    """What a line's last word could become, as bash is told it."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv(COMPLETION_VARIABLE, "bash_complete")
        assert run([]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out.split()

    return complete


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A relay with the machines `prod`, `stage` and one with a dangerous name."""
    store = SqliteStore(tmp_path / "relay.db")
    network = Network(store)
    wire_up(network, monkeypatch.setattr)
    monkeypatch.setenv("CMDOP_API_KEY", network.rig.key(Role.OPERATOR, "anna").text)
    for number, name in enumerate(["prod", "stage", "$(reboot)"]):
        enrol(network, number, name)
    yield network
    network.close()
    store.close()


def enrol(network: Network, number: int, name: str) -> None:
    """A machine comes online."""
    agent = network.rig.connect(network.rig.key(Role.AGENT, "agent").bearer)
    agent.hello_agent(IDS[number], name, f"{name}.example.org")
    agent.hear_welcome()


# -- the scripts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_asks_this_command(shell: str, capsys: Said) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"{COMPLETION_VARIABLE}={shell}_complete" in script
    assert "cmdop" in script


def test_another_shell_is_wrong_usage(capsys: Said) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["", "bash", "bash_source", "tcsh_complete", "bash_complete"])
def test_who_asks_in_another_way_hears_nothing(asked: str, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one lacks the line that is to be completed."""
    monkeypatch.setenv(COMPLETION_VARIABLE, asked)
    assert run(["connect"]) == 1
    assert capsys.readouterr() == ("", "")


# -- words ----------------------------------------------------------------------------------------


def test_verbs_are_completed_without_importing_one(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.import_module", pytest.fail)
    assert complete("cmdop ") == [f"plain,{name}" for name in VERBS]
    assert complete("cmdop lo") == ["plain,login", "plain,logout"]
    assert complete("cmdop --v") == ["plain,--version"]


def test_machines_and_verbs_stand_behind_connect(complete: Complete, network: Network) -> None:
    assert complete("cmdop connect p") == ["plain,prod", "plain,password"]
    assert complete("cmdop connect --host p") == ["plain,prod"]
    assert complete("cmdop connect --new st") == ["plain,stage"]
    assert complete("cmdop connect key cl") == ["plain,clear"]


def test_a_machine_with_a_verbs_name_is_called_otherwise_where_that_would_be_the_verb(
    complete: Complete, network: Network
) -> None:
    enrol(network, 3, "key")
    assert complete("cmdop connect ke") == ["plain,key.example.org", "plain,key"]
    assert complete("cmdop connect --host ke") == ["plain,key"]


def test_behind_a_host_only_options_are_left(complete: Complete, network: Network) -> None:
    assert complete("cmdop connect prod ") == []
    assert complete("cmdop connect --host prod ") == []
    assert complete("cmdop connect prod --ta") == ["plain,--takeover"]
    assert complete("cmdop connect exec prod -- ") == []


def test_a_name_that_a_shell_would_act_on_stays_off_the_line(complete: Complete, network: Network) -> None:
    assert complete("cmdop connect exec ") == [f"plain,{IDS[2]}", "plain,prod", "plain,stage"]
    assert complete("cmdop connect exec $") == []


def test_the_relay_is_asked_once_in_a_while(complete: Complete, network: Network, where: Home) -> None:
    for _ in range(3):
        assert complete("cmdop session create st") == ["plain,stage"]
    assert len(network.dialled) == 1
    (kept,) = json.loads(where.file(FILE).read_bytes())["places"]
    assert kept["key_id"] not in ("", None)


def test_another_key_sees_nothing_of_the_first_ones_machines(
    complete: Complete, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete("cmdop connect exec pr") == ["plain,prod"]
    network.down = True
    other = network.rig.key(Role.OPERATOR, "ben").text
    assert complete(f"cmdop connect --api-key {other} pr") == []
    assert complete("cmdop connect exec pr") == ["plain,prod"]


def test_a_relay_that_is_down_leaves_the_verbs(complete: Complete, network: Network) -> None:
    network.down = True
    assert complete("cmdop connect k") == ["plain,key"]


def test_a_key_that_is_none_is_no_word_of_an_error(
    network: Network, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", "nonsense")
    monkeypatch.setenv("COMP_WORDS", "cmdop connect exec ")
    monkeypatch.setenv("COMP_CWORD", "3")
    monkeypatch.setenv(COMPLETION_VARIABLE, "zsh_complete")
    assert run([]) == 1
    assert capsys.readouterr() == ("", "")


def test_workspaces_are_completed_and_the_active_one_comes_first(complete: Complete, where: Home) -> None:
    with changing_workspaces(where) as file:
        file.known = (
            file.known.with_relay("office", KnownRelay("wss://a"))
            .with_relay("home", KnownRelay("wss://b"))
            .with_relay("a b", KnownRelay("c"))
        )
    for before in ("connect --workspace", "connect workspace use", "login --workspace", "session list --workspace"):
        assert complete(f"cmdop {before} ") == ["plain,office", "plain,home"], before
    assert complete("cmdop connect workspace remove h") == ["plain,home"]
    assert complete("cmdop connect workspace add o") == []


def test_files_are_left_to_the_shell(complete: Complete) -> None:
    assert complete("cmdop connect --password-file x") == ["file,x"]
    assert complete("cmdop relay serve --db x") == ["file,x"]


# -- misspelt verbs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("conect", 'no such command "conect"; did you mean connect?'),
        ("agent strat", 'no such command "strat"; did you mean start?'),
        ("session lits", 'no such command "lits"; did you mean list?'),
        ("connect key creat", 'no such command "creat"; did you mean create?'),
        ("relay workspace crate", 'no such command "crate"; did you mean create?'),
        ("session-hots", 'no such command "session-hots"; did you mean session?'),
        ("zzz", 'no such command "zzz"'),
    ],
)
def test_a_misspelt_verb_is_answered_with_the_right_one(line: str, said: str, capsys: Said) -> None:
    *verbs, _ = line.split()
    assert run(line.split()) == 2
    assert capsys.readouterr() == ("", f"cmdop: {said}\nsee {' '.join(['cmdop', *verbs])} --help\n")


def test_a_misspelt_verb_is_a_document_with_json(capsys: Said) -> None:
    assert run(["agent", "statsu", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["message"]) == ("usage", 'no such command "statsu"; did you mean status?')


@pytest.mark.parametrize("name", [name for name, one in TREE.items() if isinstance(one, click.Group)])
def test_every_group_answers_so(name: str, capsys: Said) -> None:
    group = TREE[name]
    assert isinstance(group, click.Group)
    verb = group.list_commands(click.Context(group))[0]
    words = [*name.split()[1:], f"{verb}x"]
    if name == "cmdop connect":  # any other word is a HOST there
        return
    assert run(words) == 2
    assert f'"{verb}x"; did you mean {verb}?' in capsys.readouterr().err


# -- examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREE)
def test_the_help_of_every_verb_has_an_example_that_can_be_typed(name: str) -> None:
    lines = re.findall(r"^  .*cmdop.*$", inspect.cleandoc(TREE[name].help or ""), re.M)
    assert any(re.search(rf"\b{name}\b", line) for line in lines)
    for line in lines:
        typed = re.sub(r"\s(--|\||<|>)\s.*|[\"$()]", "", line[line.index("cmdop") :])
        assert mistake(typed) is None, line
