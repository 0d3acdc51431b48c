"""The error tree: every class is complete, and what a user reads is a sentence and a next step."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdop import errors
from cmdop.errors import CmdopError

EXIT_STATUSES = {
    1: "failed (unexpected)",
    2: "wrong usage, or input missing under --no-interactive",
    3: "no such machine, or ambiguous",
    4: "machine offline, or relay unreachable",
    5: "refused: no key, bad key, wrong password, role too low",
    6: "the session is gone",
    124: "exec timed out",
    130: "cancelled with Ctrl-C",
    255: "exec: our failure, not the command's",
}
"""What a failed command may end with. 0 is success; any other status is the remote one's."""

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CmdopError)]
each_class = pytest.mark.parametrize("kind", CLASSES, ids=[kind.__name__ for kind in CLASSES])


@each_class
def test_every_error_has_an_exit_status_of_the_table(kind: type[CmdopError]) -> None:
    assert kind.exit_status in EXIT_STATUSES


@each_class
def test_every_error_has_a_stable_code_of_its_own(kind: type[CmdopError]) -> None:
    assert "code" in vars(kind)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert [other for other in CLASSES if other.code == kind.code] == [kind]


@each_class
def test_every_error_has_a_sentence_and_a_hint_of_its_own(kind: type[CmdopError]) -> None:
    assert "hint" in vars(kind)
    assert kind.hint
    assert kind.hint == kind.hint.strip()
    sentence = vars(kind)["__doc__"]
    assert sentence
    assert sentence == sentence.strip()
    assert "\n" not in sentence


@each_class
def test_a_missing_detail_shows_as_a_question_mark_and_never_as_a_crash(kind: type[CmdopError]) -> None:
    if "seconds:g" in (kind.__doc__ or ""):
        error = kind(seconds=1.5)
        assert "1.5 s" in error.sentence
    else:
        error = kind()
    assert "{" not in error.sentence + error.next_step
    assert str(error) == error.sentence


@each_class
def test_every_detail_appears_where_it_is_asked_for(kind: type[CmdopError]) -> None:
    names = set(re.findall(r"{(\w+)", f"{kind.__doc__} {kind.hint}"))
    details = {name: 7.0 if name == "seconds" else f"<{name}>" for name in names}
    error = kind(**details)
    for name in names - {"seconds"}:
        assert f"<{name}>" in f"{error.sentence} {error.next_step}"
    assert error.details == details


def test_a_detail_with_braces_is_not_taken_for_another_one() -> None:
    error = errors.RelayUnreachable(server="{reason}", reason="{server} {0} {")
    assert error.sentence == "cannot reach the relay {reason}: {server} {0} {"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (errors.AmbiguousMachine(query="prod", candidates=""), 'ambiguous machine "prod"'),
        (errors.NoSuchMachine(query="prod", nearest=""), 'no machine matches "prod"'),
        (errors.MachineOffline(name="vps-audi"), 'machine "vps-audi" is offline'),
        (errors.NoApiKey(workspace="production"), 'no API key for workspace "production"'),
        (errors.TokenMissing(host="h"), "Session requires password. Authenticate via ConnectTerminal first."),
    ],
)
def test_the_promised_texts_are_exact(error: CmdopError, sentence: str) -> None:
    assert error.sentence == sentence


def test_there_is_one_tree_in_one_file() -> None:
    names = {kind.__name__ for kind in CLASSES}
    package = Path(errors.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and path != Path(errors.__file__):
                bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                assert not bases & names, f"{path.relative_to(package)}: line {node.lineno}"


# -- what a peer says -----------------------------------------------------------------------


@each_class
def test_a_peer_may_name_any_error_with_words_of_its_own_or_without(kind: type[CmdopError]) -> None:
    """Without, what is missing shows as a question mark: no code that a peer sends is a crash."""
    told = errors.from_peer(kind.code, "in its own words", host="prod")
    assert type(told) is kind
    assert told.sentence == str(told) == "in its own words"
    assert told.details["host"] == "prod"
    silent = errors.from_peer(kind.code, "")
    assert type(silent) is kind
    assert "{" not in silent.sentence + silent.next_step


def test_the_host_is_in_the_next_step_of_what_a_peer_said() -> None:
    error = errors.from_peer("session-gone", "session 0123 is gone", host="prod")
    assert error.next_step == "open a new one: cmdop connect prod"


@pytest.mark.parametrize(
    ("code", "words", "sentence"),
    [
        ("a-newer-code", "words", "the connection was closed: words"),
        ("a-newer-code", "", "the connection was closed: a-newer-code"),
        ("\x1b[31m", "", "the connection was closed:  [31m"),
    ],
)
def test_a_code_that_is_not_known_here_is_a_closed_connection(code: str, words: str, sentence: str) -> None:
    error = errors.from_peer(code, words, reason="an older one")
    assert type(error) is errors.ConnectionClosed
    assert error.sentence == sentence


@given(st.text(), st.text())
def test_no_words_of_a_peer_act_on_a_terminal(code: str, words: str) -> None:
    error = errors.from_peer(code, words)
    assert all(character.isprintable() for character in error.sentence)


def test_no_name_of_a_peer_is_a_line_among_ours() -> None:
    """A relay that lies in its list could else say `attached`, or what to type next."""
    name = "prod\n[connect] attached"
    for error in (errors.MachineOffline(name=name, last_heard=name), errors.PasswordRefused(host=name)):
        assert "\n" not in error.sentence + error.next_step
    ours = errors.AmbiguousMachine(query=name, candidates="  one\n  other")
    assert ours.next_step.count("\n") == 2


def test_words_with_braces_are_words() -> None:
    assert errors.from_peer("usage", "{0} {host} {").sentence == "{0} {host} {"
