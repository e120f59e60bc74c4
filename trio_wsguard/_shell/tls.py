"""TLS for the connections of one guard: one context, and sessions taken up again.

A session lets the next handshake with the same origin do without certificates,
and TLS 1.2 without one round trip. In TLS 1.3 it comes as a ticket, after the
handshake and among the data, so it is taken from a connection at its end.
Whoever resumes one does not look at a certificate again, neither at its name:
hence one for each origin, and not for ever.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import attrs
import trio

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import TransportError

if TYPE_CHECKING:
    Origin = tuple[bool, str, int]

# Seconds after which a server shows its certificate anew, whatever it was resumed
# with since. RFC 8446, section 4.6.1, wants such a limit, and no ticket beyond a week.
_MAX_AGE: Final = 24 * 3600.0
_MAX_ORIGINS: Final = 16


@attrs.frozen
class _Checked:
    """Whose certificate was looked at, and when, in monotonic seconds."""

    origin: Origin
    at: float


class TLSClient:
    """Speaks TLS as a client.

    Args:
        context: ``None`` for the system's defaults.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._sessions: dict[Origin, tuple[ssl.SSLSession, _Checked]] = {}
        self._open: dict[trio.SSLStream[trio.abc.Stream], _Checked] = {}

    async def wrap(
        self, stream: trio.abc.Stream, host: str, origin: Origin
    ) -> trio.SSLStream[trio.abc.Stream]:
        """Speak TLS over a stream, the handshake included.

        Done here and not on the first write, where WebSocket libraries hide the
        certificate's error behind a hang.

        Args:
            stream: The stream beneath.
            host: The name that the certificate must have.
            origin: Whose session to take up.

        Raises:
            TransportError: `TLS`; its cause is the `ssl.SSLError`.
        """
        if self._context is None:
            # Made once: loading the system's certificates takes tens of milliseconds.
            self._context = ssl.create_default_context()
        tls = trio.SSLStream(stream, self._context, server_hostname=host, https_compatible=True)
        checked = self._offer_session(tls, origin)
        try:
            await tls.do_handshake()
        except trio.BrokenResourceError as exc:
            cause = exc.__cause__ or exc
            message = f"TLS handshake failed: {cause}"
            raise TransportError(FailureKind.TLS, printable(message)) from cause
        if checked is None or not tls.session_reused:
            checked = _Checked(origin, trio.current_time())
        self._open[tls] = checked
        return tls

    def _offer_session(
        self, tls: trio.SSLStream[trio.abc.Stream], origin: Origin
    ) -> _Checked | None:
        # Taken out: a ticket serves once, lest those who listen link the connections
        # (RFC 8446, C.4), and one that a server chokes on is not offered again.
        session, checked = self._sessions.pop(origin, (None, None))
        if session is None or checked is None or trio.current_time() - checked.at > _MAX_AGE:
            return None
        tls.session = session
        return checked

    def keep_sessions(self, stream: trio.abc.Stream) -> None:
        """Keep the session of a stream that has ended, and of TLS beneath it."""
        while isinstance(stream, trio.SSLStream):
            checked = self._open.pop(stream, None)
            if checked is not None:
                self._keep(stream.session, checked)
            stream = stream.transport_stream

    def _keep(self, session: ssl.SSLSession | None, checked: _Checked) -> None:
        if session is None or not (session.has_ticket or session.id):
            return  # nothing to resume by
        self._sessions.pop(checked.origin, None)
        self._sessions[checked.origin] = session, checked
        if len(self._sessions) > _MAX_ORIGINS:
            del self._sessions[next(iter(self._sessions))]

    def forget(self) -> None:
        """Forget all sessions: they are keys."""
        self._sessions.clear()
        self._open.clear()
