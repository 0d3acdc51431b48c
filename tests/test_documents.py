"""Every verb with --json has a schema in docs/schemas/, and every schema has a verb."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tests.documents import (
    ATTACH_EVENT,
    ATTACHING,
    ERROR,
    FOLDER,
    LISTING,
    SCHEMAS,
    check,
    mistakes,
    schema,
    verb_of,
)
from tests.test_docs import CLI, TREE, options

FILES = sorted(path.name for path in FOLDER.glob("*.json"))


def test_every_verb_with_json_has_a_schema_and_no_other() -> None:
    with_json = {name for name, command in TREE.items() if "--json" in options(command)} - {"cmdop connect"}
    assert set(SCHEMAS) == with_json | {LISTING, ATTACHING}


def test_every_schema_has_a_verb() -> None:
    assert set(FILES) == {ERROR, *SCHEMAS.values()}


def parts(part: Any) -> list[dict[str, Any]]:
    """A schema and all that is in it."""
    if isinstance(part, list):
        return [one for below in part for one in parts(below)]
    if not isinstance(part, dict):
        return []
    return [part, *(one for below in part.values() for one in parts(below))]


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_one_and_lets_keys_pass_that_are_new(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert "--json" in found["title"]
    for part in parts(found):
        assert not {"additionalProperties", "unevaluatedProperties"} & part.keys()
        if part.get("type") == "object" and isinstance(part.get("properties"), dict):
            assert set(part.get("required", ())) <= set(part["properties"])


def test_a_key_that_is_missing_or_is_not_described_is_found() -> None:
    closed = {"session_id": "abcd", "machine_id": "8f23a4b0-1111-4222-8333-444455556666", "closed": True}
    check("cmdop session close", closed)
    for wrong in ({**closed, "more": 1}, {**closed, "closed": 1}, {"session_id": "abcd"}):
        with pytest.raises(AssertionError, match="session-close"):
            check("cmdop session close", wrong)
    assert mistakes("keys.json", [{}])
    assert mistakes(ATTACH_EVENT, {"event": "attached"})
    assert mistakes(ATTACH_EVENT, {"event": "attached", "host": "prod", "more": 1})
    check("cmdop session close", {"error": {"code": "usage", "message": "m", "hint": "", "details": {"more": 1}}})
    with pytest.raises(AssertionError, match=ERROR):
        check("cmdop session close", {"error": {"code": "usage"}})


def test_readers_may_pass_over_what_is_new() -> None:
    """The schemas as they are, without the narrowness of the tests."""
    reader = Draft202012Validator(schema(ATTACH_EVENT))
    reader.validate({"event": "something_new", "with": "keys"})
    reader.validate({"event": "attached", "host": "prod", "more": 1})
    with pytest.raises(ValidationError):
        reader.validate({"event": "attached"})


def test_the_verb_of_a_command_line_is_found() -> None:
    assert verb_of(["connect", "key", "list", "--json"]) == "cmdop connect key list"
    assert verb_of(["--json", "connect", "--list"]) == LISTING
    assert verb_of(["connect", "prod", "--json"]) == ATTACHING


def test_every_event_is_in_the_schema_and_in_the_table() -> None:
    table = re.search(r"^### Events\n(.*?)(?=^##)", CLI.read_text(encoding="utf-8"), re.M | re.S)
    assert table is not None
    events = schema(ATTACH_EVENT)["$defs"]
    named = re.findall(r"^\| (`[^|]*) \|", table[1], re.M)
    assert {name for cell in named for name in re.findall(r"`(\w+)`", cell)} - {"event"} == set(events)
    keys = {key for event in events.values() for key in event["properties"]}
    assert keys - set(re.findall(r"`(\w+)`", table[1])) == set()
