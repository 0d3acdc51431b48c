"""`cmdop doctor`, the way to the relay: each check goes one step further than the one before."""

from __future__ import annotations

import statistics
import time
from typing import Final

from cmdop.agent.identity import Enrolment
from cmdop.auth.credentials import find_credential
from cmdop.auth.workspaces import KnownRelay, load_workspaces
from cmdop.cli.doctor_finding import Finding, Status, Subject, from_error
from cmdop.cli.options import home
from cmdop.cli.times import rfc3339
from cmdop.errors import CmdopError, KeyRefused, NoApiKey, PlainTextRefused, RoleTooLow
from cmdop.limits import DEFAULT_SERVER
from cmdop.transport import probe
from cmdop.transport.address import ServerAddress, parse_server

STEP_TIMEOUT_SECONDS: Final = 4.0
"""For one step on the network: connecting, a handshake, an answer."""
EXPIRES_SOON_SECONDS: Final = 14 * 24 * 3600.0
SKEW_MAX_SECONDS: Final = 30.0
"""How far two clocks may be apart: more than a slow answer and whole seconds make."""
SLOW_SECONDS: Final = 0.5
"""A round trip that everybody feels at every key."""
_PINGS: Final = 3
_SHOWN_ADDRESSES: Final = 4


def which_relay(subject: Subject) -> Finding:
    """The relay that every verb would use with these options, and whether it may be dialled."""
    try:
        subject.credential = find_credential(home(), subject.given)
    except CmdopError as error:
        subject.no_credential = error
    found = subject.credential
    relay = KnownRelay(found.server, found.ca_file) if found else _usual(subject)
    subject.way = subject.way.to_relay(relay.ca_file)
    server = subject.server = parse_server(relay.server)
    if not (server.secure or server.loopback or subject.way.insecure):
        raise PlainTextRefused(server=server.url)
    return Finding(Status.OK, f"{server.url}, port {server.port}")


def _usual(subject: Subject) -> KnownRelay:
    """Which relay it would be if there were a credential; a machine that is only reached has its own."""
    named = subject.given.server
    try:
        known = load_workspaces(home())
        enrolled = Enrolment.load(home())
    except CmdopError:  # said already: it is why there is no credential
        return KnownRelay(named or DEFAULT_SERVER)
    if named:
        return KnownRelay(named, known.ca_file(subject.given.workspace or known.active, named))
    usual = KnownRelay(enrolled.server if enrolled else DEFAULT_SERVER)
    return known.relays.get(subject.given.workspace or known.active, usual)


def proxy(subject: Subject) -> Finding:
    """Which proxy the relay is dialled through, or why none. Whether it works is found out on the way."""
    chosen, why = subject.way.choice(_server(subject))
    if chosen is None:
        return Finding(Status.OK, f"none, as {why}")
    return Finding(Status.OK, f"{chosen.url}, as {why}")


def dns(subject: Subject) -> Finding:
    """The first name that is looked up: behind a proxy the relay's own is the proxy's to know."""
    server, way = _server(subject), subject.way
    first = way.first(server)
    addresses = probe.look_up(server, way)
    if addresses == [first.host]:
        detail = f"{first.host} is an address, and not looked up"
    else:
        more = "" if len(addresses) <= _SHOWN_ADDRESSES else f" and {len(addresses) - _SHOWN_ADDRESSES} more"
        detail = f"{first.host} is {', '.join(addresses[:_SHOWN_ADDRESSES])}{more}"
    return Finding(Status.OK, detail if first is server else f"{detail}; {server.host} is for the proxy to look up")


def tcp(subject: Subject) -> Finding:
    server, way = _server(subject), subject.way
    seconds = probe.reach(server, STEP_TIMEOUT_SECONDS, way)
    to_proxy = "" if way.first(server) is server else " to the proxy"
    return Finding(Status.OK, f"connected{to_proxy} in {_shown(seconds)}")


def tls(subject: Subject) -> Finding:
    server = _server(subject)
    if server.secure:
        return judge_tls(probe.shake_hands(server, STEP_TIMEOUT_SECONDS, subject.way), time.time())
    if server.loopback:
        return Finding(Status.OK, "none is needed: it stays on this machine")
    fix = "use wss://; sessions are sealed all the same, but not your key's relay half"
    return Finding(Status.WARN, "none: anyone on the way reads what the relay reads", fix)


def judge_tls(about: probe.TlsAbout, now: float) -> Finding:
    """A certificate that is trusted: by whom it is, and whether it will be so for a while."""
    left_days = int((about.expires - now) // (24 * 3600))
    detail = f"{about.version}, the certificate is issued by {about.issuer}, and expires in {left_days} days"
    if about.expires - now < EXPIRES_SOON_SECONDS:
        return Finding(Status.WARN, detail, "tell who runs the relay: it has to be renewed")
    return Finding(Status.OK, detail)


def websocket(subject: Subject) -> Finding:
    credential = subject.credential
    shown = credential.key.bearer if credential else ""
    subject.answer = probe.ask_upgrade(_server(subject), shown, STEP_TIMEOUT_SECONDS, subject.way)
    return judge_answer(subject.answer)


def judge_answer(answer: probe.Answer) -> Finding:
    """Whether it is a relay that answered. One that refuses the credential is one, too."""
    if answer.upgraded:
        return Finding(Status.OK, f"upgraded in {_shown(answer.seconds)}")
    if answer.refusal:
        return Finding(Status.OK, f"a relay answered in {_shown(answer.seconds)} (HTTP {answer.status})")
    if answer.status == 101:
        return Finding(Status.FAIL, "it is a WebSocket, but no relay of cmdop", "is the address right?")
    fix = "is the address right? A proxy or web server in between has to pass WebSocket upgrades of /v1"
    return Finding(Status.FAIL, f"it answered HTTP {answer.status}, which no relay does", fix)


def credential(subject: Subject) -> Finding:
    """Whether there is a key, whether the relay takes it, and what it is good for."""
    found, answer, server = subject.credential, subject.answer, _server(subject)
    if subject.no_credential is not None:
        return _no_credential(subject.no_credential)
    assert found is not None, "there is a credential, or why there is none"
    if answer is None:
        return Finding(Status.WARN, f"{found.key.masked} is here, and no relay was there to look at it")
    if answer.refusal:
        return from_error(KeyRefused(server=server.url, key=found.key.masked, reason=answer.refusal))
    try:
        _ = found.key.role.attaches_as
    except RoleTooLow as error:
        return from_error(error, Status.WARN)
    from cmdop.client.connect import reach_relay

    subject.link = link = reach_relay(found, subject.way, want_machines=False)
    about = link.welcome
    return Finding(
        Status.OK, f'{found.key.masked} is taken: {about.operator} ({about.role}) in workspace "{about.workspace}"'
    )


def _no_credential(error: CmdopError) -> Finding:
    """A machine that is only to be reached needs none."""
    if isinstance(error, NoApiKey) and Enrolment.load(home()) is not None:
        return Finding(Status.OK, "no API key here: this machine is reached, and reaches no other")
    return from_error(error)


def clock(subject: Subject) -> Finding:
    answer = subject.answer
    if answer is None or answer.date is None:
        return Finding(Status.WARN, "the relay's answer did not say what time it is there")
    return judge_clock(time.time() - answer.date)


def judge_clock(ahead_seconds: float) -> Finding:
    """How far this clock is ahead of the relay's, or behind it."""
    if abs(ahead_seconds) <= SKEW_MAX_SECONDS:
        return Finding(Status.OK, f"{rfc3339(int(time.time()))}, as the relay's")
    way = "ahead of" if ahead_seconds > 0 else "behind"
    fix = "let both machines set their clocks by NTP (timedatectl set-ntp true)"
    return Finding(Status.WARN, f"this clock is {abs(ahead_seconds):.0f} s {way} the relay's", fix)


def round_trip(subject: Subject) -> Finding:
    link = subject.link
    if link is None:
        status = Status.WARN if subject.answer is None else Status.OK
        return Finding(status, "not measured: nothing is connected")
    times = [link.round_trip_seconds(bytes([number])) for number in range(_PINGS)]
    link.close()
    return judge_round_trip(statistics.median(times))


def judge_round_trip(seconds: float) -> Finding:
    if seconds <= SLOW_SECONDS:
        return Finding(Status.OK, f"{_shown(seconds)} to the relay and back")
    return Finding(Status.WARN, f"{_shown(seconds)} to the relay and back", "keys will lag; use a relay nearer to you")


def _server(subject: Subject) -> ServerAddress:
    assert subject.server is not None, "which_relay comes first"
    return subject.server


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
