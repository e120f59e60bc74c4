"""From a URL to a byte stream: parsing, names, TCP, Unix sockets.

Names are looked up under a limiter of their own: a resolver that hangs holds
its thread for as long as it likes, and trio's 40 worker threads belong to the
program.
"""

from __future__ import annotations

import base64
import socket
import urllib.parse
from typing import Final

import attrs
import trio

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import PolicyError, TransportError

_LOOKUPS: Final = trio.CapacityLimiter(16)
_STAGGER: Final = 0.25  # seconds between addresses; RFC 8305's recommended delay
_PORTS: Final = {"ws": 80, "wss": 443}
_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
# The form that the npm package ws and Bun have: the first colon ends the socket's path.
_UNIX_SCHEMES: Final = {"ws+unix": False, "wss+unix": True}
_UNRESERVED: Final = "/%:@!$&'()*+,;=~"


@attrs.frozen(kw_only=True)
class Target:
    """Where to connect.

    Attributes:
        host: Name or address; IPv6 without brackets.
        port: TCP port.
        is_secure: Whether TLS is spoken.
        resource: Path and query, as they go into the request.
        authorization: The header made of user and password in the URL, if any.
        socket_path: The Unix socket to connect to; ``None`` for TCP. Its host
            counts as ``localhost``.
    """

    host: str
    port: int
    is_secure: bool
    resource: str
    authorization: str | None = attrs.field(default=None, repr=False)
    socket_path: str | None = None

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What credentials and TLS sessions are bound to (RFC 6454)."""
        if self.socket_path is not None:
            # No host has a colon and then a slash.
            return (self.is_secure, f"unix:{self.socket_path}", 0)
        return (self.is_secure, self.host.lower(), self.port)

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == _PORTS["wss" if self.is_secure else "ws"]
        return host if is_default else f"{host}:{self.port}"

    def __str__(self) -> str:
        scheme = "wss" if self.is_secure else "ws"
        path = self.resource.partition("?")[0]
        if self.socket_path is not None:
            return f"{scheme}+unix:{urllib.parse.quote(self.socket_path)}:{path}"
        return f"{scheme}://{self.host_header}{path}"


def safe_url(url: str) -> str:
    """Drop user, password, query and fragment, for logs and errors."""
    try:
        parts = urllib.parse.urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        return printable(urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", "")))
    except ValueError:
        return "<unreadable>"


def parse_url(url: object) -> Target:
    """Read a WebSocket URL, also one of a Unix socket: ``ws+unix:/path/to.sock:/resource``.

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
    if parts.scheme in _UNIX_SCHEMES:
        return _parse_unix(parts, shown)
    if parts.scheme not in _PORTS:
        raise PolicyError("url", shown, "must begin with ws:// or wss://")
    if not host:
        raise PolicyError("url", shown, "has no host")
    return Target(
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        is_secure=parts.scheme == "wss",
        resource=_resource(parts.path, parts.query),
        authorization=_basic(parts.username, parts.password),
    )


def _parse_unix(parts: urllib.parse.SplitResult, shown: str) -> Target:
    if not hasattr(socket, "AF_UNIX"):
        raise PolicyError("url", shown, "this system has no Unix sockets (in Python)")
    if parts.netloc:
        raise PolicyError("url", shown, "has a host: write ws+unix:/path/to.sock:/resource")
    path, _, resource = parts.path.partition(":")
    socket_path = urllib.parse.unquote(path)
    if not socket_path.startswith("/") or socket_path.endswith("/") or "\0" in socket_path:
        raise PolicyError("url", shown, "needs the absolute path of a socket")
    if resource and not resource.startswith("/"):
        raise PolicyError("url", shown, "its resource, after the colon, must begin with /")
    is_secure = _UNIX_SCHEMES[parts.scheme]
    return Target(
        host="localhost",
        port=_PORTS["wss" if is_secure else "ws"],
        is_secure=is_secure,
        resource=_resource(resource, parts.query),
        socket_path=socket_path,
    )


def _resource(path: str, query: str) -> str:
    path = urllib.parse.quote(path or "/", safe=_UNRESERVED)
    query = urllib.parse.quote(query, safe=_UNRESERVED + "?[]")
    return f"{path}?{query}" if query else path


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def follow_redirect(target: Target, location: str) -> Target:
    """Tell where a redirect leads.

    Raises:
        TransportError: It leads nowhere, from TLS to plain text, to a Unix
            socket, or away from one.
    """
    here = urllib.parse.urlunsplit(
        ("wss" if target.is_secure else "ws", target.host_header, target.resource, "", "")
    )
    try:
        parts = urllib.parse.urlsplit(location)
        _check_sockets(target, parts)
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
    if target.socket_path is not None:
        return attrs.evolve(target, resource=led_to.resource)
    if target.is_secure and not led_to.is_secure:
        raise TransportError(FailureKind.PROTOCOL, f"redirected from TLS to plain {led_to}")
    if led_to.authorization is None and led_to.origin == target.origin:
        return attrs.evolve(led_to, authorization=target.authorization)
    return led_to


def _check_sockets(target: Target, parts: urllib.parse.SplitResult) -> None:
    """Let no server send us to a local socket, nor one behind a socket to another place."""
    shown = safe_url(parts.geturl())
    if parts.scheme in _UNIX_SCHEMES:
        raise TransportError(FailureKind.PROTOCOL, f"redirected to a Unix socket: {shown}")
    if target.socket_path is not None and (parts.scheme or parts.netloc):
        raise TransportError(FailureKind.PROTOCOL, f"redirected from a Unix socket to {shown}")


async def open_target(target: Target) -> trio.abc.Stream:
    """Connect straight to a target, without TLS.

    Raises:
        OSError: It cannot be reached.
    """
    if target.socket_path is not None:
        return await trio.open_unix_socket(target.socket_path)
    return await open_tcp(target.host, target.port)


async def open_tcp(host: str, port: int) -> trio.SocketStream:
    """Connect to the first address that answers (happy eyeballs, RFC 8305).

    `trio.SocketStream` sets TCP_NODELAY: a beat never waits for an ACK.

    Raises:
        OSError: No name, or no address answered.
    """
    # Nothing to look up costs no thread: it would take as long as the connect.
    addresses = [host] if is_address(host) else await look_up(host, port)
    if len(addresses) == 1:
        return await _connect(addresses[0], port)
    return await _race(addresses, port)


def is_address(host: str) -> bool:
    """Tell whether a host is a numeric address, and no name."""
    try:
        socket.inet_pton(_family(host), host)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return False
    return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def _connect(address: str, port: int) -> trio.SocketStream:
    # Not `trio.open_tcp_stream`: the nursery in which it races addresses, and its
    # own look-up, cost a fifth of a reconnect on loopback.
    tcp = trio.socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        await tcp.connect((address, port))
    except BaseException:
        tcp.close()
        raise
    return trio.SocketStream(tcp)


async def look_up(host: str, port: int) -> list[str]:
    """Find the addresses of a name, in the order in which to try them.

    Raises:
        OSError: It has none.
    """
    return await trio.to_thread.run_sync(
        _look_up, host, port, abandon_on_cancel=True, limiter=_LOOKUPS
    )


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families = dict.fromkeys(str(info[4][0]) for info in found)
    six = [address for address in families if ":" in address]
    four = [address for address in families if ":" not in address]
    # Families alternate, beginning with the resolver's first choice.
    first, second = (six, four) if ":" in next(iter(families)) else (four, six)
    longest = max(len(first), len(second))
    return [group[i] for i in range(longest) for group in (first, second) if i < len(group)]


async def _race(addresses: list[str], port: int) -> trio.SocketStream:
    winners: list[trio.SocketStream] = []
    errors: list[OSError] = []
    async with trio.open_nursery() as nursery:

        async def attempt(address: str, failed: trio.Event) -> None:
            try:
                stream = await _connect(address, port)
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
