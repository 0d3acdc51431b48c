"""The documents say what is so: every verb, option, error, file and field that they name, and none is missing.

`python -m tests.test_docs --write` writes the table of errors in docs/cli.md anew.
"""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import click
import pytest

from cmdop import errors, limits
from cmdop.auth.keys import Role, half_hash, machine_psk, secret_for
from cmdop.cli.root import cmdop
from cmdop.errors import CmdopError
from cmdop.limits import KIB, MIB
from cmdop.relay import admin
from cmdop.relay.enrollment import enroll
from cmdop.relay.peer import Caller
from cmdop.store.interface import KeyRecord, MachineRow, Workspace
from cmdop.store.sqlite import SqliteStore
from cmdop.wire.relay_messages import RELAY_MESSAGES, AgentHello, Hello, MachineRecord, SessionSummary

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = ROOT / "README.md"
CLI, SECURITY, PROTOCOL = (ROOT / f"docs/{name}.md" for name in ("cli", "security", "protocol"))
PICTURE = ROOT / "docs/attach.svg"
PICTURE_MAX_BYTES = 200_000

STILL_TO_COME: tuple[str, ...] = ()
OPTIONS_STILL_TO_COME: set[str] = set()
"""Verbs and options that errors advise already and that there are not yet. Only ever shorter."""

each_document = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


def error_classes() -> list[type[CmdopError]]:
    """All errors, in the order of the file."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CmdopError)]
    return sorted(found, key=lambda kind: inspect.getsourcelines(kind)[1])


# -- the command line ---------------------------------------------------------------------


def commands(command: click.Command = cmdop, path: tuple[str, ...] = ("cmdop",)) -> Iterator[tuple[str, click.Command]]:
    """Every verb with its whole name, groups included."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))


TREE = dict(commands())


def options(command: click.Command) -> set[str]:
    """All spellings of a command's options, but those that nobody is told of."""
    shown = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return {"-h", "--help"} | {spelling for option in shown for spelling in option.opts}


def mistake(line: str) -> str | None:
    """What there is not in a line that runs cmdop, or None. `a|b` stands for both."""
    words = shlex.split(line, comments=True)
    words = words[words.index("cmdop") :]
    words = words[: words.index("--")] if "--" in words else words
    if any("|" in word for word in words):
        each = product(*(word.strip("{}[]").split("|") for word in words))
        return next((wrong for some in each if (wrong := mistake(shlex.join(some)))), None)
    name, known = "cmdop", options(cmdop)
    for word in words[1:]:
        below = f"{name} {word}"
        if below in TREE:
            name, known = below, known | options(TREE[below])
        elif word.startswith("-") and word != "-":
            if word.partition("=")[0] not in known:
                return f"{name} has no option {word}"
        elif isinstance(TREE[name], click.Group) and name != "cmdop connect" and word.isalpha() and word.islower():
            return f"{name} has no verb {word}"
    return None


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, and its lines."""

    info: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(info.strip(), body) for info, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S)]


def lines_that_run_cmdop(text: str) -> list[str]:
    """From blocks of a shell and from `code` in sentences."""
    in_blocks = [line for info, body in blocks(text) if info.startswith("sh") for line in body.splitlines()]
    in_blocks += re.findall(r"^\$ (.*)$", text, re.M)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    words = [word.replace("./dev run", "cmdop") for word in [*in_blocks, *re.findall(r"`([^`\n]+)`", prose)]]
    # Without what the shell does itself: substitutions, redirections, pipes, `&`.
    plain = [re.sub(r'"?\$\([^)]*\)"?|\s(?:\d?>|<|&|\|\s).*', "", word) for word in words]
    return [line for line in plain if re.match(r"(\w+=\S* )*cmdop( |$)", line)]


@each_document
def test_no_document_names_a_verb_or_an_option_that_there_is_not(path: Path) -> None:
    lines = lines_that_run_cmdop(path.read_text(encoding="utf-8"))
    assert {line: wrong for line in lines if (wrong := mistake(line))} == {}


@each_document
def test_no_document_names_a_dev_command_that_there_is_not(path: Path) -> None:
    there = set(re.findall(r"^  ([a-z]+) ", (ROOT / "dev").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"\./dev ([a-z]+)", path.read_text(encoding="utf-8"))) <= there


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.code)
def test_what_an_error_advises_can_be_typed(kind: type[CmdopError]) -> None:
    everywhere = set().union(*(options(command) for command in TREE.values()))
    assert set(re.findall(r"(?<= )--[a-z-]+", kind.hint)) <= everywhere | OPTIONS_STILL_TO_COME
    for advised in re.findall(r"cmdop((?: [a-z]+)*)", kind.hint.replace("{kind}", "key")):
        # The sentence may go on behind the command: its beginning has to be a whole one.
        words = ["cmdop", *advised.split()]
        name = next(" ".join(words[:n]) for n in range(len(words), 0, -1) if " ".join(words[:n]) in TREE)
        whole = not isinstance(TREE[name], click.Group) or name == "cmdop connect" or len(words) == 1
        assert whole or " ".join(words).startswith(STILL_TO_COME)


def test_what_is_still_to_come_is_not_there_yet() -> None:
    assert not set(STILL_TO_COME) & set(TREE), "take it off the list"
    assert not OPTIONS_STILL_TO_COME & set().union(*(options(command) for command in TREE.values()))


def test_the_checker_finds_what_there_is_not() -> None:
    assert mistake("cmdop agent start --name x") is None
    assert mistake("X=y cmdop connect prod-api-1 --list") is None
    assert mistake("cmdop agent start|stop") is None
    assert mistake("cmdop agent strat") == "cmdop agent has no verb strat"
    assert mistake("cmdop agent start|strat") == "cmdop agent has no verb strat"
    assert mistake("cmdop connect office --lost") == "cmdop connect has no option --lost"
    assert mistake("cmdop dmeo") == "cmdop has no verb dmeo"


@pytest.mark.parametrize("name", [name for name, command in TREE.items() if not isinstance(command, click.Group)])
def test_every_verb_and_its_options_are_described(name: str) -> None:
    section = section_of(CLI, f"`{' '.join(name.split()[:2])}`")
    assert f"`{name}" in section
    missing = [spelling for spelling in options(TREE[name]) - {"-h", "--help"} if not _names(section, spelling)]
    assert missing == []


def test_the_options_of_connect_are_described() -> None:
    section = section_of(CLI, "`cmdop connect`")
    assert [s for s in options(TREE["cmdop connect"]) - {"-h", "--help"} if not _names(section, s)] == []


def _names(section: str, spelling: str) -> bool:
    return re.search(rf"`{spelling}[ `]", section) is not None


# -- errors -------------------------------------------------------------------------------

ERRORS = re.compile(r"(?<=-->\n)\n?(\| code .*?)?(?=<!-- end of errors -->)", re.S)


def error_table() -> str:
    rows = ["| code | exit | what is said |", "|---|---:|---|"]
    for kind in error_classes():
        said = [_cell(text) for text in (vars(kind)["__doc__"], kind.hint)]
        rows.append(f"| `{kind.code}` | {kind.exit_status} | {said[0]}<br>*{said[1]}* |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    plain = re.sub(r"{(\w+):\w+}", r"{\1}", text.strip())
    return re.sub(r"\s*\n\s*", " ", plain).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def with_error_table(text: str) -> str:
    return ERRORS.sub(lambda _: error_table(), text, count=1)


def test_the_table_of_errors_is_complete_and_current() -> None:
    text = CLI.read_text(encoding="utf-8")
    assert with_error_table(text) == text, "python -m tests.test_docs --write"


def test_every_exit_status_is_in_the_table() -> None:
    statuses = {int(found) for found in re.findall(r"^\| (\d+) \|", section_of(CLI, "Exit statuses"), re.M)}
    assert {kind.exit_status for kind in error_classes()} <= statuses


# -- limits -------------------------------------------------------------------------------


def _numbers(text: str) -> list[float]:
    """What a cell of the table of limits says: `8 MiB`, `30 days`, or `1, 16 MiB` for two; a power less 1."""
    if power := re.match(r"2\^(\d+) \u2212 1", text):
        return [2 ** int(power[1]) - 1]
    unit = {"MiB": MIB, "KiB": KIB, "days": 24 * 3600}.get(text.rpartition(" ")[2], 1)
    bare = re.sub(r"(?<=\d),(?=\d{3})| [A-Za-z]+$", "", text)
    return [float(one) * unit for one in bare.split(",")]


def limits_told() -> dict[str, float]:
    """The limits in the table of docs/protocol.md, by their names."""
    cells = re.findall(r"\| ((?:`[A-Z_]+`(?:, )?)+) \| ([^|]+) (?=\|)", section_of(PROTOCOL, "12. Limits"))
    rows = [(re.findall(r"[A-Z_]+", names), _numbers(values)) for names, values in cells]
    return {name: value for names, values in rows for name, value in zip(names, values, strict=True)}


def test_every_limit_of_the_protocol_is_told_and_is_the_one_that_holds() -> None:
    told = limits_told()
    assert told == {name: getattr(limits, name) for name in told}
    named = set(re.findall("`([A-Z_]+)`", PROTOCOL.read_text(encoding="utf-8")))
    assert {name for name in named if hasattr(limits, name)} == set(told)


# -- security -----------------------------------------------------------------------------


def test_every_field_that_a_relay_gets_is_said_to_be_seen() -> None:
    kinds: list[Any] = [*RELAY_MESSAGES.kinds, AgentHello, MachineRecord, SessionSummary]
    names = {name for kind in kinds for name in kind.__struct_fields__}
    assert names - code_in(section_of(SECURITY, "What the relay sees")) == set()


def test_every_file_in_the_home_is_told() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "cmdop").rglob("*.py")]
    files = {name for text in texts for name in re.findall(r'"([\w-]+\.(?:json|key|log|lock|control|xml))"', text)}
    assert "machine.key" in files
    assert files - code_in(section_of(SECURITY, "What a machine and a client keep")) == {"cmdop.control"}, "a logger"


def test_every_column_of_the_relays_records_is_told() -> None:
    names = {field.name for kind in (Workspace, KeyRecord, MachineRow) for field in fields(kind)}
    assert names - code_in(section_of(SECURITY, "What the relay's records hold")) == set()


def test_no_secret_is_in_the_relays_records(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db")
    first = admin.create_workspace(store, "home", "ann", 1.0)
    second = admin.create_key(store, first, "home", "machines", Role.AGENT, 2.0)
    machine = AgentHello("8f23a4b0-1111-4222-8333-444455556666", "vps", "vps", bytes(32))
    caller = Caller("home", "machines", Role.AGENT, key_id=second.key_id)
    token = bytes.fromhex(enroll(store, caller, Hello(1, "cmdop 1", "agent", machine), 3.0))
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    tree = [secret_for(role, first.secret) for role in (Role.ADMIN, Role.OPERATOR, Role.OBSERVER)]
    psks = [machine_psk(Role.ADMIN, first.secret, role, machine.machine_id) for role in (Role.OPERATOR, Role.OBSERVER)]
    for secret in [token, first.relay_half, second.relay_half, *tree, *psks]:
        assert secret not in kept
        assert secret.hex().encode() not in kept
    assert first.text.encode() not in kept
    assert half_hash(token) in kept, "this is how it would look"


# -- links and the picture ----------------------------------------------------------------


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not _leads_somewhere(path, link)] == []


def _leads_somewhere(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_document() -> None:
    linked = set(re.findall(r"\]\(([^)\s]+\.md)\)", README.read_text(encoding="utf-8")))
    assert {str(path.relative_to(ROOT)) for path in DOCS} - {"README.md"} == linked


def test_the_picture_is_small_and_shows_an_attach_and_nothing_of_whoever_made_it() -> None:
    assert PICTURE.stat().st_size < PICTURE_MAX_BYTES
    root = ET.parse(PICTURE).getroot()
    shown = "\n".join(text for text in root.itertext() if text)
    assert "[connect] attached — Ctrl-D to disconnect, Ctrl-C forwards as SIGINT" in shown
    assert "[connect] prod-api-1 is new here: its key is SHA256:" in shown
    assert "[connect] session ended (exit 0)" in shown
    assert not re.search(r"/(root|home|tmp|Users|work)\b|@", root.tag.partition("}")[2] + _texts(root))


def _texts(root: ET.Element) -> str:
    return "\n".join(element.text or "" for element in root.iter() if element.tag.endswith("}text"))


# -- the parts of a document --------------------------------------------------------------


def section_of(path: Path, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", path.read_text(encoding="utf-8"), re.M | re.S)
    assert found, f"{path.name} has no section {heading}"
    return found[1]


def code_in(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.test_docs --write")
    CLI.write_text(with_error_table(CLI.read_text(encoding="utf-8")), encoding="utf-8")
