"""Who imports whom, and which third party stands in which file.

Both lists are here and nowhere else. Every import is judged wherever it stands, in a
function or behind TYPE_CHECKING too. A new package, or a new third party, needs its
line.
"""

from __future__ import annotations

import ast
import configparser
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BASE = {"errors", "limits", "deadline", "winsize", "ring", "filelock", "home", "control", "logline", "printable"}
COMMON_GROUND = BASE | {"wire"}
LAYERS = {
    # The base: no third party, and nothing of ours but what is named.
    "errors": set(),
    "limits": set(),
    "deadline": set(),
    "logline": {"printable"},
    "printable": set(),
    "winsize": {"limits"},
    "ring": {"limits"},
    "filelock": set(),
    "home": {"errors", "filelock", "limits"},
    "control": {"errors", "home", "limits"},
    # One purpose each; they do not know each other.
    "wire": BASE,
    "session": COMMON_GROUND,
    "seal": COMMON_GROUND,
    "transport": COMMON_GROUND,
    "auth": COMMON_GROUND,
    "store": COMMON_GROUND,
    "terminal": BASE,
    "ptyhost": BASE,
    "screen": BASE,
    "exechost": BASE | {"ptyhost"},
    # The three programs; they never import each other. The relay has nothing to unseal with.
    "client": COMMON_GROUND | {"session", "seal", "transport", "auth", "terminal"},
    "agent": COMMON_GROUND | {"session", "seal", "transport", "auth", "ptyhost", "screen", "exechost"},
    "relay": COMMON_GROUND | {"transport", "auth", "store"},
}
"""Package or module of cmdop -> what it may import of cmdop."""
LAYERS["api"] = COMMON_GROUND | {"client", "auth", "transport", "terminal"}
LAYERS["cli"] = set(LAYERS)
LAYERS["__main__"] = {"cli"}

THIRD_PARTIES = {
    "click": ["cmdop/cli/*.py"],
    "cryptography": ["cmdop/auth/keys.py", "cmdop/seal/*.py", "cmdop/transport/certificate.py"],
    "keyring": ["cmdop/auth/vault.py"],
    "msgspec": ["cmdop/wire/message.py"],
    "noise": ["cmdop/seal/noise.py"],
    "python_socks": ["cmdop/transport/proxied.py"],
    "questionary": ["cmdop/cli/prompt.py"],
    "sqlite3": ["cmdop/store/sqlite.py"],
    "truststore": ["cmdop/transport/trust.py"],
    "websocket": ["cmdop/transport/websocket_client.py"],
    "websockets": ["cmdop/transport/accept.py", "cmdop/transport/masking.py"],
    "winpty": ["cmdop/ptyhost/windows.py"],
}
"""Third party (and sqlite3) -> the files that may import it."""

ONLY_INSTALLED = {"pyghostty": "screen/library.py loads the library in its wheel, and not the package"}
"""Dependencies that nothing of ours imports, and why they are there."""

DISTRIBUTIONS = {
    "noise": "noiseprotocol",
    "python_socks": "python-socks",
    "websocket": "websocket-client",
    "winpty": "pywinpty",
}
"""Third parties whose distribution has another name."""

ASYNC_FRAMEWORKS = {"asyncio", "trio", "anyio", "curio", "gevent", "eventlet", "twisted", "tornado", "uvloop"}

FACTORIES = {
    "cmdop/control.py",
    "cmdop/terminal/factory.py",
    "cmdop/ptyhost/factory.py",
    "cmdop/exechost/factory.py",
    "cmdop/agent/account.py",  # whose shell it is
    "cmdop/agent/detached.py",  # how a process outlives others, and becomes another program
    "cmdop/agent/install/factory.py",  # who keeps programs running
    "cmdop/filelock.py",
    "cmdop/transport/trust.py",  # whose certificates are believed
    "cmdop/cli/system_proxies.py",  # whether there are proxies outside of the environment
}
"""Where the platform is asked for. An adapter may assert which one it is for, for mypy."""


PROGRAMS = {"cmdop/ptyhost/launcher_program.py", "cmdop/screen/worker_program.py"}
"""Run as processes of their own: their environment is what they were started with."""


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def sources() -> list[str]:
    """Every Python file of cmdop, relative to the project, with forward slashes."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cmdop").rglob("*.py"))


each_source = pytest.mark.parametrize("source", sources())


def part_of(module: str) -> str:
    """The layer of a module: `cmdop.wire.frame` is of `wire`; `cmdop` itself of none, ``."""
    return [*module.split("."), ""][1]


def imports(source: str) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, absolute, and the line."""
    package = source.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree(ROOT / source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module == "cmdop":  # `from cmdop import errors` imports cmdop.errors
                names = [alias.name for alias in node.names]
                yield from ((f"cmdop.{name}" if name in LAYERS else "cmdop", node.lineno) for name in names)
            else:
                yield module, node.lineno


def dotted(node: ast.AST) -> str:
    """`a.b.c` for such an expression, else an empty text."""
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def uses(source: str, *names: str) -> list[str]:
    """`name: line` for every use of a dotted name, however it was imported."""
    found = []
    for node in ast.walk(tree(ROOT / source)):
        if dotted(node) in names:
            found.append(f"{dotted(node)}: line {getattr(node, 'lineno', 0)}")
        if isinstance(node, ast.ImportFrom):
            given = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [f"{name}: line {node.lineno}" for name in given if name in names]
    return found


def below_command_line() -> list[str]:
    return [source for source in sources() if not source.startswith("cmdop/cli/")]


# -- who imports whom -----------------------------------------------------------------------


@each_source
def test_a_layer_imports_only_what_stands_below_it(source: str) -> None:
    own = part_of(source.removesuffix(".py").replace("/", "."))
    if own in ("", "__init__"):
        # The public API, when it is first used (tests/api/test_package.py).
        assert {part_of(name) for name, _ in imports(source)} <= {"api"}
        return
    assert own in LAYERS, f"{own} needs a line in LAYERS"
    theirs = [(part_of(name), line) for name, line in imports(source) if name.split(".")[0] == "cmdop"]
    wrong = [f"{part}, line {line}" for part, line in theirs if part not in LAYERS[own] | {own, ""}]
    assert not wrong, f"{source} imports {wrong}"


def test_the_layers_have_no_circle() -> None:
    for part, below in LAYERS.items():
        reached, todo = set(), set(below)
        while todo:
            reached |= todo
            todo = set().union(*(LAYERS[one] for one in todo)) - reached
        assert part not in reached or part == "cli", part


def test_every_layer_is_there() -> None:
    there = {part_of(source.removesuffix(".py").replace("/", ".")) for source in sources()}
    assert set(LAYERS) <= there


@pytest.mark.parametrize("source", below_command_line())
def test_no_import_hides_from_this_list(source: str) -> None:
    assert not uses(source, "importlib.import_module", "__import__", "runpy.run_module")


# -- third parties -----------------------------------------------------------------------------


@each_source
def test_a_third_party_is_imported_only_where_it_belongs(source: str) -> None:
    for name, line in imports(source):
        top = name.split(".")[0]
        if top in THIRD_PARTIES:
            places = THIRD_PARTIES[top]
            assert any(Path(source).match(place) for place in places), f"{source}:{line} imports {top}"
        else:
            assert top == "cmdop" or top in sys.stdlib_module_names, f"{top} needs a line in THIRD_PARTIES"


def test_the_dependencies_are_the_third_parties() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = re.findall(r"^[\w-]+", setup["options"]["install_requires"], re.MULTILINE)
    imported = [DISTRIBUTIONS.get(name, name) for name in THIRD_PARTIES if name not in sys.stdlib_module_names]
    assert sorted(required) == sorted([*imported, *ONLY_INSTALLED])


@each_source
def test_there_is_no_async_framework(source: str) -> None:
    assert not {name.split(".")[0] for name, _ in imports(source)} & ASYNC_FRAMEWORKS
    coroutines = (ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor, ast.Await)
    assert not [node for node in ast.walk(tree(ROOT / source)) if isinstance(node, coroutines)]


# -- rules of the house --------------------------------------------------------------------------


@each_source
def test_only_factories_ask_for_the_platform(source: str) -> None:
    asserts = [statement for statement in tree(ROOT / source).body if isinstance(statement, ast.Assert)]
    asserted = [node for one in asserts for node in ast.walk(one) if dotted(node) == "sys.platform"]
    asked = uses(source, "sys.platform", "os.name", "platform.system", "sys.getwindowsversion", "platform.platform")
    assert source in FACTORIES or len(asked) == len(asserted), asked


@pytest.mark.parametrize("source", below_command_line())
def test_below_the_command_line_nobody_reads_the_environment(source: str) -> None:
    if source in PROGRAMS:
        return
    names = ["environ", "environb", "getenv", "getenvb", "path.expanduser", "path.expandvars"]
    assert not uses(source, *[f"os.{name}" for name in names])


@pytest.mark.parametrize("source", below_command_line())
def test_below_the_command_line_nobody_prints_asks_or_exits(source: str) -> None:
    assert not uses(source, "print", "input", "breakpoint", "exit", "quit", "sys.exit", "getpass.getpass")


@each_source
def test_nobody_sleeps(source: str) -> None:
    assert not uses(source, "time.sleep")


@each_source
def test_no_file_is_named_after_nothing(source: str) -> None:
    assert not set(re.split(r"[/_.]", source)) & {"util", "utils", "helper", "helpers", "manager", "common", "misc"}
