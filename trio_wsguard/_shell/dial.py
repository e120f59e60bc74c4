"""From a URL to a byte stream: parsing, names, TCP, TLS.

Names are looked up under a limiter of their own: a resolver that hangs holds
its thread for as long as it likes, and trio's 40 worker threads belong to the
program.
"""

from __future__ import annotations

import base64
import socket
import urllib.parse
from typing import TYPE_CHECKING, Final

import attrs
import trio

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import PolicyError, TransportError

if TYPE_CHECKING:
    import ssl

_LOOKUPS: Final = trio.CapacityLimiter(16)
_STAGGER: Final = 0.25  # seconds between addresses; RFC 8305's recommended delay
_PORTS: Final = {"ws": 80, "wss": 443}
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@attrs.frozen(kw_only=True)
class Target:
    """Where to connect.

    Attributes:
        host: Name or address; IPv6 without brackets.
        port: TCP port.
        is_secure: Whether TLS is spoken.
        resource: Path and query, as they go into the request.
        authorization: The header made of user and password in the URL, if any.
    """

    host: str
    port: int
    is_secure: bool
    resource: str
    authorization: str | None = attrs.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What credentials are bound to (RFC 6454)."""
        return (self.is_secure, self.host.lower(), self.port)

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == _PORTS["wss" if self.is_secure else "ws"]
        return host if is_default else f"{host}:{self.port}"

    def __str__(self) -> str:
        scheme = "wss" if self.is_secure else "ws"
        return f"{scheme}://{self.host_header}{self.resource.partition('?')[0]}"


def safe_url(url: str) -> str:
    """Drop user, password, query and fragment, for logs and errors."""
    try:
        parts = urllib.parse.urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        return printable(urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", "")))
    except ValueError:
        return "<unreadable>"


def parse_url(url: object) -> Target:
    """Read a WebSocket URL.

    Raises:
        PolicyError: It is not one; user, password and query are not shown.
    """
    if not isinstance(url, str):
        raise PolicyError("url", type(url).__name__, "must be a string")
    shown = safe_url(url)
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise PolicyError("url", shown, str(exc)) from None
    if parts.scheme not in _PORTS:
        raise PolicyError("url", shown, "must begin with ws:// or wss://")
    if not host:
        raise PolicyError("url", shown, "has no host")
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=?~[]")
    return Target(
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        is_secure=parts.scheme == "wss",
        resource=f"{path}?{query}" if query else path,
        authorization=_basic(parts.username, parts.password),
    )


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def follow_redirect(target: Target, location: str) -> Target:
    """Tell where a redirect leads.

    Raises:
        TransportError: It leads nowhere, or from TLS to plain text.
    """
    here = urllib.parse.urlunsplit(
        ("wss" if target.is_secure else "ws", target.host_header, target.resource, "", "")
    )
    try:
        parts = urllib.parse.urlsplit(location)
        if parts.scheme in _SCHEMES:
            location = urllib.parse.urlunsplit((_SCHEMES[parts.scheme], *parts[1:4], ""))
        # urljoin knows no ws:, so the join is done in the http: it stands for.
        base = here.replace("ws", "http", 1)
        joined = urllib.parse.urljoin(base, location)
        scheme, rest = joined.split(":", 1)
        led_to = parse_url(f"{_SCHEMES[scheme]}:{rest}")
    except (PolicyError, ValueError, KeyError):
        raise TransportError(
            FailureKind.PROTOCOL, f"redirected to an unusable URL: {safe_url(location)}"
        ) from None
    if target.is_secure and not led_to.is_secure:
        raise TransportError(FailureKind.PROTOCOL, f"redirected from TLS to plain {led_to}")
    if led_to.authorization is None and led_to.origin == target.origin:
        return attrs.evolve(led_to, authorization=target.authorization)
    return led_to


async def open_tcp(target: Target) -> trio.abc.Stream:
    """Connect to the first address that answers (happy eyeballs, RFC 8305).

    Raises:
        OSError: No name, or no address answered.
    """
    addresses = await trio.to_thread.run_sync(
        _look_up, target.host, target.port, abandon_on_cancel=True, limiter=_LOOKUPS
    )
    if len(addresses) == 1:
        return await trio.open_tcp_stream(addresses[0], target.port)
    return await _race(addresses, target.port)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families = dict.fromkeys(str(info[4][0]) for info in found)
    six = [address for address in families if ":" in address]
    four = [address for address in families if ":" not in address]
    # Families alternate, beginning with the resolver's first choice.
    first, second = (six, four) if ":" in next(iter(families)) else (four, six)
    longest = max(len(first), len(second))
    return [group[i] for i in range(longest) for group in (first, second) if i < len(group)]


async def _race(addresses: list[str], port: int) -> trio.abc.Stream:
    winners: list[trio.SocketStream] = []
    errors: list[OSError] = []
    async with trio.open_nursery() as nursery:

        async def attempt(address: str, failed: trio.Event) -> None:
            try:
                stream = await trio.open_tcp_stream(address, port)
            except OSError as exc:
                errors.append(exc)
                failed.set()
                return
            winners.append(stream)
            nursery.cancel_scope.cancel()

        for address in addresses:
            failed = trio.Event()
            nursery.start_soon(attempt, address, failed)
            with trio.move_on_after(_STAGGER):
                await failed.wait()
    if winners:
        for loser in winners[1:]:
            await trio.aclose_forcefully(loser)
        return winners[0]
    message = f"all {len(addresses)} addresses failed"
    raise OSError(message) from ExceptionGroup(message, errors)


async def wrap_tls(stream: trio.abc.Stream, context: ssl.SSLContext, host: str) -> trio.abc.Stream:
    """Speak TLS over a stream, the handshake included.

    Done here and not on the first write, where WebSocket libraries hide the
    certificate's error behind a hang.

    Raises:
        TransportError: `TLS`; its cause is the `ssl.SSLError`.
    """
    tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except trio.BrokenResourceError as exc:
        cause = exc.__cause__ or exc
        message = f"TLS handshake failed: {cause}"
        raise TransportError(FailureKind.TLS, printable(message)) from cause
    return tls
