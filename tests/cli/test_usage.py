"""Wrong words on a command line, as they are told."""

from __future__ import annotations

import pytest

from cmdop.cli.root import cmdop, run
from cmdop.cli.usage import named_verb

Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("line", "said", "read"),
    [
        ("connect --onlin", "no such option --onlin; did you mean --online?", "cmdop connect"),
        ("connect -z", "no such option -z", "cmdop connect"),
        ("agent start --nme x", "no such option --nme; did you mean --name?", "cmdop agent start"),
        ("connect key lisst", 'no such command "lisst"; did you mean list?', "cmdop connect key"),
        ("session send", "missing argument 'ID'", "cmdop session send"),
        ("connect -s", "option '-s' requires an argument", "cmdop connect"),
        ("connect --list --new", "--list shows all machines; it takes no --new", "cmdop connect"),
    ],
)
def test_it_is_one_sentence_and_the_help_to_read(line: str, said: str, read: str, capsys: Said) -> None:
    assert run(line.split()) == 2
    assert capsys.readouterr() == ("", f"cmdop: {said}\nsee {read} --help\n")


@pytest.mark.parametrize(
    ("line", "verb"),
    [("", "cmdop"), ("nonsense", "cmdop"), ("connect prod", "cmdop connect"), ("connect -q key list", "cmdop connect")],
)
def test_the_verb_of_a_line_is_what_its_words_name(line: str, verb: str) -> None:
    assert named_verb(cmdop, line.split()) == verb
