"""How often each source address has shown a wrong credential. Told the time; no clock, no lock.

It sheds the load of guessing and makes it visible. It is not what keeps guessers out:
a key's relay half has 160 bits, a machine's token 256. So a right credential is let in
however many wrong ones came from the same address, behind which there may be a whole
office.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict

from cmdop.limits import (
    FAILING_SOURCES_MAX,
    FAILURE_WAIT_FIRST_SECONDS,
    FAILURE_WAIT_MAX_SECONDS,
    FAILURES_FORGOTTEN_SECONDS,
    FREE_FAILURES_MAX,
)


class Throttle:
    """Counts failures per source in a bounded table."""

    def __init__(self, sources_max: int = FAILING_SOURCES_MAX) -> None:
        self._sources_max = sources_max
        # Oldest failure first.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, source: str, now: float) -> int:
        """Count a failure; for how many seconds the source is to wait, 0 for not at all.

        The wait doubles from one failure to the next, up to FAILURE_WAIT_MAX_SECONDS.
        """
        count, last = self._failures.pop(source, (0, now))
        if now - last > FAILURES_FORGOTTEN_SECONDS:
            count = 0
        self._failures[source] = (count + 1, now)
        while len(self._failures) > self._sources_max:
            self._failures.popitem(last=False)
        if count < FREE_FAILURES_MAX:
            return 0
        # Bounded before the power, which would grow without end.
        doublings = min(count - FREE_FAILURES_MAX, 10)
        return math.ceil(min(FAILURE_WAIT_FIRST_SECONDS * (1 << doublings), FAILURE_WAIT_MAX_SECONDS))

    def __len__(self) -> int:
        return len(self._failures)


def source_of(remote: str) -> str:
    """The source in `host:port`: an IPv4 address, or an IPv6 network of 64 bits.

    One subscriber has a whole /64 (RFC 6177 §2). What is no address is its own source.
    """
    host = remote.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        mapped = address.ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)
