"""Options that several verbs share: where a key came from, and what stands before a verb."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest

from cmdop.auth.credentials import Given
from cmdop.cli.machine_keys import machine_keys_option
from cmdop.cli.options import api_key_option, given_by, json_option, no_interactive_option, user_locale, user_told
from cmdop.cli.passwords import password_options


def given_of(*words: str) -> Given:
    """What a verb with --api-key is given by a command line and the environment."""
    found: list[Given] = []

    @click.command()
    @api_key_option
    @click.pass_context
    def verb(ctx: click.Context, api_key: str | None) -> None:
        found.append(given_by(ctx, "ws://one", api_key, "work"))

    verb.main(list(words), standalone_mode=False)
    return found[0]


def test_a_key_on_the_command_line_and_one_in_the_environment_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_of() == Given("ws://one", None, "work", None)
    assert given_of("-k", "ck_line") == Given("ws://one", "ck_line", "work", None)
    monkeypatch.setenv("CMDOP_API_KEY", "ck_variable")
    assert given_of() == Given("ws://one", None, "work", "ck_variable")
    assert given_of("--api-key", "ck_line") == Given("ws://one", "ck_line", "work", None)


@pytest.mark.parametrize(
    ("said", "told"),
    [("xterm", "xterm"), ("\udcff", ""), ("x" * 300, ""), ("x\x1b[31m", ""), (None, "")],
)
def test_a_terminal_whose_name_can_be_none_is_not_told_to_a_machine(
    monkeypatch: pytest.MonkeyPatch, said: str | None, told: str
) -> None:
    """The machine would say that the protocol was broken."""
    monkeypatch.delenv("TERM", raising=False)
    if said is not None:
        monkeypatch.setenv("TERM", said)
    assert user_told("TERM") == told


def test_a_locale_that_can_be_none_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.\udcff")
    monkeypatch.setenv("LC_CTYPE", "")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert user_locale() == "de_DE.UTF-8"


def test_a_variable_that_is_set_and_empty_is_not_the_same_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDOP_API_KEY", "")
    assert given_of().environment_key == ""
    assert given_of("--api-key", "").api_key == ""


@pytest.mark.parametrize("words", [["--json", "verb"], ["verb", "--json"], ["--json", "verb", "--json"], ["verb"]])
def test_json_may_stand_before_a_verb_or_behind_it(words: list[str]) -> None:
    heard: list[bool] = []

    @click.group()
    @json_option
    def above(as_json: bool) -> None:
        pass

    @above.command()
    @json_option
    def verb(as_json: bool) -> None:
        heard.append(as_json)

    above.main(words, standalone_mode=False)
    assert heard == ["--json" in words]


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        (["--machine-keys", "strict", "verb"], ("strict", None, False)),
        (["--machine-keys", "strict", "verb", "--machine-keys", "accept-new"], ("accept-new", None, False)),
        (["--password", "one", "-q", "verb"], ("accept-new", "one", True)),
        (["--password", "one", "verb", "--password", "two"], ("accept-new", "two", False)),
        (["verb"], ("accept-new", None, False)),
    ],
)
def test_what_keeps_machines_out_and_gets_into_them_may_stand_before_a_verb(
    words: list[str], heard: tuple[str, str | None, bool]
) -> None:
    """It was accepted there, and then forgotten: --machine-keys strict let in whoever came."""
    said: list[tuple[str, str | None, bool]] = []

    def options(command: Callable[..., None]) -> Callable[..., None]:
        return machine_keys_option(password_options(no_interactive_option(command)))

    @click.group()
    @options
    def above(**_: object) -> None:
        pass

    @above.group()
    def between() -> None:
        pass

    @click.command()
    @options
    def verb(machine_keys: str, password: str | None, password_file: str | None, no_interactive: bool) -> None:
        said.append((machine_keys, password, no_interactive))

    above.add_command(verb)
    between.add_command(verb)
    at = words.index("verb")
    for path in ([], ["between"]):
        above.main([*words[:at], *path, *words[at:]], standalone_mode=False)
    assert said == [heard, heard]
