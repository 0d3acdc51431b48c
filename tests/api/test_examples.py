"""What docs/api.md shows and tells is so: every example runs, and every name and signature is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import cmdop
from cmdop import api, errors
from cmdop.home import Home
from tests.network import RunningAgent

DOCUMENT = Path(__file__).parents[2] / "docs/api.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(
    number: int, agent: RunningAgent, annas: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    language, code = BLOCKS[number]
    assert language == "python"
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("CMDOP_HOME", raising=False)
    (tmp_path / ".cmdop").symlink_to(annas.path)
    exec(compile(code, f"{DOCUMENT.name}, example {number}", "exec"), {"__name__": "example"})


@pytest.mark.parametrize(
    "thing", [cmdop.connect, *(vars(cmdop.Machine)[n] for n in ("execute", "create_session", "attach"))]
)
def test_a_signature_is_the_one_that_is_told(thing: object) -> None:
    name = thing.__name__  # type: ignore[attr-defined]
    told = re.search(rf"`{name}\(([^`]*)\)`", TEXT)
    assert told, name
    words = [word.partition("=") for word in told[1].split(", ")]
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]  # type: ignore[arg-type]
    assert [word for word, _, _ in words if word != "*"] == [parameter.name for parameter in parameters]
    for (word, _, default), parameter in zip([w for w in words if w[0] != "*"], parameters, strict=True):
        if parameter.default is not inspect.Parameter.empty and default != "…":
            assert eval(default) == parameter.default, word


@pytest.mark.parametrize("kind", [cmdop.Machine, cmdop.AttachedSession, cmdop.Executed, cmdop.Ended, cmdop.ReadOutput])
def test_everything_public_is_told(kind: type) -> None:
    assert f"`{kind.__name__}`" in TEXT
    members = {name for name in vars(kind) if not name.startswith("_")}
    members |= set(getattr(kind, "__dataclass_fields__", ()))
    assert {name for name in members if not re.search(rf"`{name}[`(]", TEXT)} == set()


def test_every_error_that_is_told_of_is_there() -> None:
    section = TEXT[TEXT.index("## Errors") :]
    told = set(re.findall(r"`([A-Z]\w+)`", section))
    assert told
    assert {name for name in told if not hasattr(errors, name)} == set()
    assert set(api.__all__) - {"Client"} <= set(re.findall(r"\w+", TEXT))
