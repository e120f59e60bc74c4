"""TLS that fails."""

from __future__ import annotations

import datetime
import ssl
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, Literal, get_args

import attrs
import trio

from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults import settings
from trio_wsguard.testing.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import trustme

    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.stream import SimulatedStream

Kind = Literal["eof", "plaintext", "alert", "untrusted", "wrong_host", "expired"]

_ANSWERS: Final = {
    "eof": b"",
    "plaintext": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    # A record of type alert: fatal, handshake_failure (RFC 8446, section 6).
    "alert": bytes([21, 3, 3, 0, 2, 2, 40]),
}
_OF_A_TRUSTED_CA: Final = ("wrong_host", "expired")
_LONG_AGO: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@attrs.frozen(kw_only=True, repr=False)
class TlsFailure(Fault):
    """Fail the TLS handshake of new connections; open ones live on.

    The dial succeeds; the handshake ends with `trio.BrokenResourceError` from
    an `ssl.SSLError`.

    Args:
        kind: ``"eof"`` closes, ``"plaintext"`` answers in HTTP, ``"alert"``
            refuses by TLS's own word; ``"untrusted"``, ``"wrong_host"`` and
            ``"expired"`` are what is wrong with the certificate.
        ca: Who signs it: one that the client trusts, for ``"wrong_host"`` and
            ``"expired"``; ``"untrusted"`` makes one of its own. Certificates
            need the package trustme (extra ``testing``).

    Source: RFC 8446.
    """

    kind: Kind = attrs.field(default="eof", validator=settings.one_of(*get_args(Kind)))
    ca: trustme.CA | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if (self.ca is not None) is not (self.kind in _OF_A_TRUSTED_CA):
            problem = "is needed" if self.ca is None else "is not used"
            raise PolicyError("ca", self.ca, f"{problem} for kind={self.kind!r}")

    def meet_dial(self, dialing: Dialing) -> None:
        """Stand in for the server."""
        dialing.answer(self._handler(dialing.host))

    def _handler(self, host: str) -> Callable[[SimulatedStream], Awaitable[object]]:
        if self.kind in _ANSWERS:
            return partial(_answer, _ANSWERS[self.kind])
        return partial(_shake_hands, self.kind, host, self.ca)


async def _answer(answer: bytes, stream: SimulatedStream) -> None:
    """Take the client's first words, say something, and close."""
    await stream.receive_some()
    await stream.send_all(answer)
    stream.discard()


async def _shake_hands(
    kind: Kind, host: str, ca: trustme.CA | None, stream: SimulatedStream
) -> None:
    """Show a bad certificate; close if the client takes it nevertheless."""
    context = _context(kind, host, ca)
    tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    await tls.do_handshake()
    stream.discard()


@lru_cache(maxsize=64)
def _context(kind: Kind, host: str, ca: trustme.CA | None) -> ssl.SSLContext:
    import trustme  # an extra

    if ca is None:
        ca = trustme.CA()
    name = "elsewhere.invalid" if kind == "wrong_host" else host
    if kind == "expired":
        a_day_later = _LONG_AGO + datetime.timedelta(days=1)
        certificate = ca.issue_cert(name, not_before=_LONG_AGO, not_after=a_day_later)
    else:
        certificate = ca.issue_cert(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
