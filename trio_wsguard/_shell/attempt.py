"""One attempt: asks the user where to and as whom, follows redirects, opens the stream.

Nothing that an attempt learns outlives it: a redirect, a token or a fallback
endpoint is asked for anew the next time.
"""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import PolicyError, TransportError
from trio_wsguard._shell.dial import Target, follow_redirect, open_tcp, parse_url, wrap_tls
from trio_wsguard._shell.transport import Handshake
from trio_wsguard._shell.watched import WatchedStream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_wsguard._core.failure import Failure
    from trio_wsguard._policy import GuardPolicy
    from trio_wsguard._shell.connection import Connection
    from trio_wsguard._shell.transport import TransportFactory

    Url = str | Sequence[str] | Callable[["Attempt"], str | Awaitable[str]]
    Headers = (
        Mapping[str, str] | Callable[["Attempt"], Mapping[str, str] | Awaitable[Mapping[str, str]]]
    )
    Dial = Callable[[Target], Awaitable[trio.abc.Stream]]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


@attrs.frozen(kw_only=True)
class Attempt:
    """What callables for `url` and `headers` are told.

    Attributes:
        number: Which attempt of this outage it is, from 1.
        generation: The number that the connection will have.
        last_failure: Why the one before failed; ``None`` at first.
    """

    number: int
    generation: int
    last_failure: Failure | None = None


class Opener:
    """Opens the connections of one guard.

    Args:
        policy: The settings.
        url: Where to: one URL, several to try in turn, or a callable.
        headers: Extra headers, or a callable.
        subprotocols: In order of preference.
        dial: Opens the byte stream; ``None`` for TCP.
        ssl_context: For ``wss://``; ``None`` for the system's defaults.
        transport: Opens the WebSocket over the stream.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        *,
        url: Url,
        headers: Headers | None,
        subprotocols: Sequence[str],
        dial: Dial | None,
        ssl_context: ssl.SSLContext | None,
        transport: TransportFactory,
    ) -> None:
        self._policy = policy
        self._url = url
        self._headers = headers
        self._subprotocols = tuple(subprotocols)
        self._dial = dial or open_tcp
        self._ssl_context = ssl_context
        self._transport = transport
        if not callable(url):
            for one in _endpoints(url):
                parse_url(one)
        if headers is not None and not callable(headers):
            _encode_headers(headers)

    @property
    def has_fresh_headers(self) -> bool:
        """Whether the headers are asked for anew each time."""
        return callable(self._headers)

    async def run(
        self, attempt: Attempt, connection: Connection, opening: trio.CancelScope
    ) -> None:
        """Open a connection and let it live to its end.

        Args:
            attempt: What the user's callables are told.
            connection: The connection to be.
            opening: The scope whose deadline bounds the opening.

        Raises:
            TransportError: It could not be opened.
            OSError: The dial failed.
        """
        target = parse_url(await self._ask_url(attempt))
        headers = _encode_headers(await self._ask_headers(attempt))
        home = target.origin
        for _ in range(self._policy.max_redirects + 1):
            try:
                # serve() keeps in what ends an open connection: what comes out
                # is about the opening alone.
                return await self._open(target, headers, connection, opening)
            except TransportError as exc:
                if exc.http_status not in _REDIRECTS or exc.location is None:
                    raise
                target = follow_redirect(target, exc.location)
            if target.origin != home:
                headers = tuple(pair for pair in headers if pair[0].lower() not in _CREDENTIALS)
        limit = self._policy.max_redirects
        raise TransportError(FailureKind.PROTOCOL, f"redirected more than {limit} times")

    async def _open(
        self,
        target: Target,
        headers: tuple[tuple[bytes, bytes], ...],
        connection: Connection,
        opening: trio.CancelScope,
    ) -> None:
        handshake = Handshake(
            target=target,
            headers=_with_authorization(headers, target),
            subprotocols=self._subprotocols,
            max_message_size=self._policy.max_message_size,
        )
        raw = await self._dial(target)
        try:
            stream = await self._secure(raw, target)
            watched = WatchedStream(stream, connection.setup.journal.monitor.counters)
            async with self._transport(watched, handshake, connection.on_pong) as transport:
                await connection.serve(transport, watched, opening)
        finally:
            # By force and always: the library leaves sockets open after abnormal ends.
            await trio.aclose_forcefully(raw)

    async def _secure(self, raw: trio.abc.Stream, target: Target) -> trio.abc.Stream:
        if not target.is_secure or isinstance(raw, trio.SSLStream):
            return raw
        if self._ssl_context is None:
            # Made once: loading the system's certificates takes tens of milliseconds.
            self._ssl_context = ssl.create_default_context()
        return await wrap_tls(raw, self._ssl_context, target.host)

    async def _ask_url(self, attempt: Attempt) -> object:
        if callable(self._url):
            return await _call(self._url, attempt)
        endpoints = _endpoints(self._url)
        return endpoints[(attempt.number - 1) % len(endpoints)]

    async def _ask_headers(self, attempt: Attempt) -> object:
        if callable(self._headers):
            return await _call(self._headers, attempt)
        return self._headers or {}


async def _call(fn: Callable[[Attempt], Any], attempt: Attempt) -> object:
    answer = fn(attempt)
    return await answer if inspect.isawaitable(answer) else answer


def _endpoints(url: str | Sequence[str]) -> Sequence[str]:
    endpoints = [url] if isinstance(url, str) else url
    if not isinstance(endpoints, list | tuple) or not endpoints:
        raise PolicyError("url", url, "must be a string, several strings or a callable")
    return endpoints


def _encode_headers(headers: object) -> tuple[tuple[bytes, bytes], ...]:
    # Values are secrets: errors name the header and never show what it holds.
    if not isinstance(headers, Mapping):
        raise PolicyError("headers", type(headers).__name__, "must be a mapping")
    pairs: list[tuple[bytes, bytes]] = []
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise PolicyError("headers", name, "names and values must be strings")
        if not name.isascii() or not name or any(c in name for c in " \t\r\n:"):
            raise PolicyError("headers", name, "is not a header name")
        if any(c in value for c in "\r\n\0"):
            raise PolicyError("headers", name, "its value has a line break")
        pairs.append((name.encode(), value.strip().encode("latin-1", "backslashreplace")))
    return tuple(pairs)


def _with_authorization(
    headers: tuple[tuple[bytes, bytes], ...], target: Target
) -> tuple[tuple[bytes, bytes], ...]:
    if target.authorization is None or any(n.lower() == b"authorization" for n, _ in headers):
        return headers
    return (*headers, (b"Authorization", target.authorization.encode()))
