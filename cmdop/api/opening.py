"""`cmdop.connect`: from a name to a machine."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

from cmdop.api.machine import Machine
from cmdop.auth.credentials import Given, find_credential
from cmdop.auth.device import device_key
from cmdop.auth.kept_passwords import KeptPasswords
from cmdop.auth.known_machines import KnownMachines, MachineKeys
from cmdop.auth.token_cache import TOKENS
from cmdop.client.passwords import Passwords, Source
from cmdop.client.reach import Access, Reach
from cmdop.errors import CmdopError, HomeUnusable, UsageError
from cmdop.home import Home
from cmdop.limits import PASSWORD_MAX_BYTES
from cmdop.transport.address import parse_server
from cmdop.transport.proxy import Proxies, Said
from cmdop.transport.way import Way

DEFAULT_HOME = ".cmdop"
"""In the user's home folder."""


def connect(
    host: str,
    *,
    server: str | None = None,
    api_key: str | None = None,
    workspace: str | None = None,
    password: str | None = None,
    home: str | PathLike[str] | None = None,
    insecure: bool = False,
    ca_file: str | PathLike[str] | None = None,
    proxy: str | None = None,
    machine_keys: Literal["accept-new", "strict"] = "accept-new",
) -> Machine:
    """Reach the machine that `host` means: a hostname, a friendly name, or the beginning of an id.

    `home` is the folder with the user's keys and known machines, `~/.cmdop` by default.
    With nothing else named, key and relay are those of its active workspace, as
    `cmdop login` keeps them; `workspace` names another one. An `api_key` comes before
    what is kept, and `server` before the workspace's relay. No variable of the environment
    is looked at: neither CMDOP_HOME, nor CMDOP_API_KEY, CMDOP_SERVER, CMDOP_AGENT_PASSWORD or HTTPS_PROXY.

    `password` is the machine's, if it has one; else there may be one that is kept (`cmdop
    connect password set`). What it brings is good for the whole process. `machine_keys` says whether machines that
    are new here are let in (`accept-new`) or not (`strict`); one whose key has changed
    never is. `insecure` allows ws:// over a network. `ca_file` has the certificates (PEM) to trust
    in place of the system's. `proxy` is what a relay that is not on this machine is dialled
    through: `http://HOST:PORT` or `socks5://HOST:PORT`, with `USER:PASSWORD@` before HOST if it wants them.

    Raises an error of `cmdop.errors`: NoApiKey, BadKey, NoSuchMachine, AmbiguousMachine,
    MachineOffline, RelayUnreachable, KeyRefused and so on; docs/api.md has them all.
    """
    where = _home(home)
    passwords = _passwords(where, password)
    credential = find_credential(where, Given(parse_server(server).url if server else None, api_key, workspace))
    device = device_key(where)
    known = KnownMachines(where, parse_server(credential.server).url, credential.workspace, _policy(machine_keys))
    known.load()
    reach = Reach(Access(credential, device, known, passwords, _way(insecure, ca_file, proxy)))
    try:
        return Machine(reach, reach.machine(host))
    except CmdopError:
        reach.close()
        raise


def _home(named: str | PathLike[str] | None) -> Home:
    if named is not None:
        return Home(Path(named))
    try:
        return Home(Path.home() / DEFAULT_HOME)
    except RuntimeError as error:
        raise HomeUnusable(path=f"~/{DEFAULT_HOME}", reason="nobody knows where this user's home folder is") from error


def _way(insecure: bool, ca_file: str | PathLike[str] | None, proxy: str | None) -> Way:
    said = Said("the argument proxy", proxy) if proxy else None
    return Way(insecure, Path(ca_file) if ca_file is not None else None, Proxies(said, said))


def _passwords(where: Home, given: str | None) -> Passwords:
    if given is not None and not 0 < len(given.encode("utf-8", "surrogatepass")) <= PASSWORD_MAX_BYTES:
        raise UsageError(reason=f"a password has 1 to {PASSWORD_MAX_BYTES} bytes")
    sources = [
        Source("password", lambda _: given),
        Source("the one that is kept", KeptPasswords(where).get, of_machine=True),
    ]
    return Passwords(sources, tokens=TOKENS)


def _policy(machine_keys: str) -> MachineKeys:
    try:
        return MachineKeys(machine_keys)
    except ValueError as error:
        wanted = " or ".join(policy.value for policy in MachineKeys)
        raise UsageError(reason=f"machine_keys is {wanted}, not {machine_keys!r}") from error
