"""One attempt: asks the user where to and as whom, follows redirects, opens the stream.

Nothing that an attempt learns outlives it: a redirect, a token or a fallback
endpoint is asked for anew the next time.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import trio

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import PolicyError, TransportError
from trio_wsguard._shell.dial import Target, follow_redirect, open_target, parse_url, safe_url
from trio_wsguard._shell.proxy import Proxies, open_through
from trio_wsguard._shell.tls import TLSClient
from trio_wsguard._shell.transport import Handshake
from trio_wsguard._shell.watched import WatchedStream

if TYPE_CHECKING:
    import ssl
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

    As a context manager it forgets, at the end, what it keeps between them:
    TLS sessions.

    Args:
        policy: The settings.
        url: Where to: one URL, several to try in turn, or a callable.
        headers: Extra headers, or a callable.
        subprotocols: In order of preference.
        dial: Opens the byte stream; ``None`` for our own.
        proxy: The URL of one, ``"env"``, or ``None``.
        ssl_context: For TLS, with a proxy too; ``None`` for the system's defaults.
        transport: Opens the WebSocket over the stream.

    Raises:
        PolicyError: A setting is wrong.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        *,
        url: Url,
        headers: Headers | None,
        subprotocols: Sequence[str],
        dial: Dial | None,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        transport: TransportFactory,
    ) -> None:
        self._policy = policy
        self._url = url
        self._headers = headers
        self._subprotocols = tuple(subprotocols)
        self._dial = dial
        self._proxies = Proxies(proxy)
        self._tls = TLSClient(ssl_context)
        self._transport = transport
        if dial is not None and proxy is not None:
            raise PolicyError("dial", dial, "goes its own way: it and proxy exclude each other")
        self._targets = () if callable(url) else tuple(map(parse_url, _endpoints(url)))
        for target in self._targets:
            self._proxies.find(target)  # refuses a proxy's URL now
        if headers is not None and not callable(headers):
            _encode_headers(headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tls.forget()

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
        target = await self._ask_target(attempt)
        headers = _encode_headers(await self._ask_headers(attempt))
        home = target.origin
        for _ in range(self._policy.max_redirects + 1):
            connection.setup.journal.endpoint = str(target)
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
        raw = stream = await self._open_raw(target)
        try:
            stream = await self._secure(raw, target)
            watched = WatchedStream(stream, connection.setup.journal.monitor.counters)
            async with self._transport(watched, handshake, connection.on_pong) as transport:
                await connection.serve(transport, watched, opening)
        finally:
            self._tls.keep_sessions(stream)
            # By force and always: the library leaves sockets open after abnormal ends.
            await _close_by_force(raw)

    async def _open_raw(self, target: Target) -> trio.abc.Stream:
        if self._dial is not None:
            return await self._dial(target)
        proxy = self._proxies.find(target)
        if proxy is not None:
            return await open_through(proxy, target, self._tls)
        return await open_target(target)

    async def _secure(self, raw: trio.abc.Stream, target: Target) -> trio.abc.Stream:
        # What the user dialled may speak TLS already; a proxy's own TLS is not the target's.
        is_done = self._dial is not None and isinstance(raw, trio.SSLStream)
        if not target.is_secure or is_done:
            return raw
        return await self._tls.wrap(raw, target.host, target.origin)

    async def _ask_target(self, attempt: Attempt) -> Target:
        if callable(self._url):
            return parse_url(await _call(self._url, attempt))
        return self._targets[(attempt.number - 1) % len(self._targets)]

    async def _ask_headers(self, attempt: Attempt) -> object:
        if callable(self._headers):
            return await _call(self._headers, attempt)
        return self._headers or {}


async def _close_by_force(stream: trio.abc.Stream) -> None:
    if isinstance(stream, trio.SocketStream):
        stream.socket.close()  # as its aclose(), without two trips through the scheduler
    else:
        await trio.aclose_forcefully(stream)


def name_of(url: Url) -> str:
    """Name a guard by its URL, without its secrets."""
    return safe_url(url if isinstance(url, str) else "guard" if callable(url) else url[0])


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
