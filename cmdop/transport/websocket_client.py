"""websocket-client, without what it would load besides. The only file that imports it.

Where python-socks is installed it loads that, for proxies, which are ours to go through
(transport/proxied.py): a tenth of what a client takes to start. So it finds none.
"""

from __future__ import annotations

import sys
from typing import Final

_UNWANTED: Final = "python_socks"

if _UNWANTED in sys.modules or "websocket" in sys.modules:
    import websocket
else:
    sys.modules[_UNWANTED] = None  # type: ignore[assignment]
    try:
        import websocket
    finally:
        del sys.modules[_UNWANTED]

ABNF = websocket.ABNF

__all__ = ["ABNF", "websocket"]
