"""`cmdop relay serve`: be a relay."""

from __future__ import annotations

import logging
import signal
import ssl
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cmdop.cli import debug
from cmdop.cli.relay_options import db_option
from cmdop.limits import DEFAULT_PORT
from cmdop.logline import LogLine
from cmdop.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from cmdop.client.mailbox import Mailbox

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option(
    "--listen", metavar="HOST:PORT", default=f"127.0.0.1:{DEFAULT_PORT}", show_default=True, help="Where to listen."
)
@db_option
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Certificate chain, PEM.")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.option("--insecure", is_flag=True, help="Plain text off loopback, behind a proxy that does TLS.")
def serve(listen: str, db: Path, tls_cert: Path | None, tls_key: Path | None, insecure: bool) -> None:
    """Run a relay until SIGTERM or Ctrl-C.

    \b
      cmdop relay serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
    """
    from cmdop.client.mailbox import Mailbox
    from cmdop.relay.listen import listen_address, need_safe, server_tls
    from cmdop.terminal.signals import handled
    from cmdop.transport.address import ServerAddress

    stop: Mailbox[int] = Mailbox()
    with closing(stop), handled(_STOPPING, stop.put, keep_ignored=False), stop.hearing_signals():
        _log_to_stderr()
        address = listen_address(listen)
        tls = server_tls(tls_cert, tls_key)
        if not need_safe(ServerAddress(tls is not None, *address), insecure=insecure):
            click.echo(
                "warning: --insecure: who can see this network can see keys that are shown to this relay.", err=True
            )
        with closing(SqliteStore(db)) as store:
            _serve(store, address, tls, stop)


def _serve(store: SqliteStore, address: tuple[str, int], tls: ssl.SSLContext | None, stop: Mailbox[int]) -> None:
    """Be a relay until something is in `stop`."""
    from cmdop.cli.runtime import settle
    from cmdop.relay.control import RelayControl
    from cmdop.relay.server import RelayServer
    from cmdop.transport.address import ServerAddress

    with closing(RelayServer(store, address, tls)) as server:
        settle()
        server.start()
        with closing(RelayControl(store.path, server.switch)):
            click.echo(f"cmdop relay listening on {ServerAddress(tls is not None, *server.address).url}", err=True)
            stop.get()


def _log_to_stderr() -> None:
    to_stderr = logging.StreamHandler()
    to_stderr.setFormatter(LogLine("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug.wanted() else logging.INFO, handlers=[to_stderr])
