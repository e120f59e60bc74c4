"""One adapter for each WebSocket library, imported when first used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import TransportFactory


def find_transport(
    transport: str | TransportFactory, compression: str | None = None
) -> TransportFactory:
    """Find the transport that a name stands for.

    Args:
        transport: Its name, or what makes it.
        compression: ``"deflate"`` to offer permessage-deflate, or ``None``.

    Raises:
        PolicyError: There is none, or it cannot do that.
    """
    if compression not in (None, "deflate"):
        raise PolicyError("compression", compression, 'must be "deflate" or None')
    if transport == "websockets":
        try:
            from trio_wsguard._shell.transports import websockets
        except ImportError as exc:
            need = "needs websockets 17 or later: pip install 'trio-wsguard[fast]'"
            raise PolicyError("transport", transport, need) from exc
        return partial(websockets.open_transport, compression=compression)
    if compression is not None:
        raise PolicyError("compression", compression, 'needs transport="websockets"')
    if callable(transport):
        return transport
    if transport == "trio-websocket":
        from trio_wsguard._shell.transports import trio_websocket

        return trio_websocket.open_transport
    raise PolicyError("transport", transport, 'must be "trio-websocket", "websockets" or a factory')
