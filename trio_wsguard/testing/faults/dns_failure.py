"""The name is not found."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Literal, get_args

import attrs

from trio_wsguard.testing.faults import settings
from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing

Kind = Literal["no_name", "temporary", "stall"]


@attrs.frozen(kw_only=True, repr=False)
class DnsFailure(Fault):
    """Let the look-up of a host's name fail; open connections live on.

    A dial by address needs no look-up and is left alone.

    Args:
        kind: ``"no_name"`` (EAI_NONAME) and ``"temporary"`` (EAI_AGAIN) fail at
            once as `socket.gaierror`; ``"stall"`` gives no answer.

    Source: getaddrinfo(3).
    """

    kind: Kind = attrs.field(default="no_name", validator=settings.one_of(*get_args(Kind)))

    def meet_dial(self, dialing: Dialing) -> None:
        """Have the resolver answer."""
        if _is_address(dialing.host):
            return
        if self.kind == "stall":
            dialing.is_blocked = True
        elif self.kind == "no_name":
            dialing.fail(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        else:
            message = "Temporary failure in name resolution"
            dialing.fail(socket.gaierror(socket.EAI_AGAIN, message))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
