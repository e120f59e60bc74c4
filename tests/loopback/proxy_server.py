"""A proxy in a process of its own: HTTP CONNECT, SOCKS4, SOCKS4a and SOCKS5 on one port.

It shares no code with what it tests. Run it with a JSON object: `user` and
`password` to ask for, `pem` for TLS, `port`, and `plans`, what each connection
meets (the last one for ever): ``tunnel``, ``dribble`` (tunnel, the answer byte
by byte), ``chatty`` (bytes after the answer), ``silent``, ``reset``, ``end``,
``garbage``, ``endless``, or ``refuse=N``. It prints its port, then each request, as JSON.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import socket
import ssl
import struct
import sys
from collections import deque
from typing import Any

import attrs
import trio

SOCKS5_ADDRESS = 1
SOCKS5_NAME = 3


@attrs.define
class Client:
    """One connection of a client."""

    stream: trio.abc.Stream
    raw: trio.SocketStream
    unread: bytearray = attrs.field(factory=bytearray)

    async def fill(self) -> None:
        chunk = await self.stream.receive_some()
        if not chunk:
            raise trio.EndOfChannel
        self.unread += chunk

    async def exactly(self, count: int) -> bytes:
        while len(self.unread) < count:
            await self.fill()
        data = bytes(self.unread[:count])
        del self.unread[:count]
        return data

    async def until(self, end: bytes) -> bytes:
        while end not in self.unread:
            await self.fill()
        return (await self.exactly(self.unread.index(end) + len(end)))[: -len(end)]


@attrs.define
class Proxy:
    """What the command line asked for."""

    user: str = ""
    password: str = ""
    pem: str = ""
    port: int = 0
    plans: deque[str] = attrs.field(factory=lambda: deque(["tunnel"]), converter=deque)

    async def serve(self, raw: trio.SocketStream) -> None:
        plan = self.plans.popleft() if len(self.plans) > 1 else self.plans[0]
        stream: trio.abc.Stream = raw
        async with raw:
            try:
                if self.pem:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(self.pem)
                    stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
                client = Client(stream, raw)
                first = await client.exactly(1)
                speak = {b"\x04": self.socks4, b"\x05": self.socks5}.get(first, self.http)
                client.unread[:0] = first
                await speak(client, plan)
            except (trio.BrokenResourceError, trio.EndOfChannel):
                pass

    async def http(self, client: Client, plan: str) -> None:
        head = (await client.until(b"\r\n\r\n")).decode("latin-1")
        method, where, version = head.split("\r\n")[0].split(" ")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        host, _, port = where.rpartition(":")
        auth = fields.get("Proxy-Authorization", "")
        given = base64.b64decode(auth.partition(" ")[2]).decode("latin-1")
        note(protocol="http", host=host, port=int(port), given=given)
        assert (method, version, fields["Host"]) == ("CONNECT", "HTTP/1.1", where)
        if self.user and given != f"{self.user}:{self.password}":
            body = "who are you?"
            head = f"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: {len(body)}\r\n"
            head += 'Proxy-Authenticate: Basic realm="test"\r\n\r\n' + body
            await client.stream.send_all(head.encode())
            return
        if plan.startswith("refuse="):
            status = plan.partition("=")[2]
            await client.stream.send_all(f"HTTP/1.1 {status} No\x1b[31m\r\n\r\n".encode())
            return
        answer = b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n"
        await self.go_on(client, plan, answer, host.strip("[]"), int(port))

    async def socks4(self, client: Client, plan: str) -> None:
        _, command, port, number = struct.unpack(">BBHI", await client.exactly(8))
        assert command == 1
        user = (await client.until(b"\0")).decode()
        host = str(ipaddress.IPv4Address(number))
        if 0 < number < 256:  # SOCKS4a
            host = (await client.until(b"\0")).decode()
        note(protocol="socks4", host=host, port=port, given=user)
        code = 0x5A if user == self.user else 0x5D
        if plan.startswith("refuse="):
            code = int(plan.partition("=")[2])
        answer = struct.pack(">BBHI", 0, code, 0, 0)
        if code != 0x5A:
            await client.stream.send_all(answer)
            return
        await self.go_on(client, plan, answer, host, port)

    async def socks5(self, client: Client, plan: str) -> None:
        methods = await client.exactly((await client.exactly(2))[1])
        wanted = 2 if self.user else 0
        if plan in ("tunnel", "dribble", "chatty") or plan.startswith("refuse="):
            if wanted not in methods:
                note(protocol="socks5", host="", port=0, given="")
                await client.stream.send_all(b"\x05\xff")
                return
            await client.stream.send_all(bytes([5, wanted]))
        else:
            await self.go_on(client, plan, b"", "", 0)
        given = ""
        if wanted:
            user = await client.exactly((await client.exactly(2))[1])
            password = await client.exactly((await client.exactly(1))[0])
            given = f"{user.decode()}:{password.decode()}"
            is_right = given == f"{self.user}:{self.password}"
            await client.stream.send_all(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                note(protocol="socks5", host="", port=0, given=given)
                return
        version, command, _, kind = await client.exactly(4)
        assert (version, command) == (5, 1)
        if kind == SOCKS5_NAME:
            host = (await client.exactly((await client.exactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await client.exactly(4 if kind == 1 else 16)))
        (port,) = struct.unpack(">H", await client.exactly(2))
        note(protocol="socks5", host=host, port=port, given=given)
        code = int(plan.partition("=")[2]) if plan.startswith("refuse=") else 0
        answer = bytes([5, code, 0, SOCKS5_ADDRESS]) + bytes(6)
        if code:
            await client.stream.send_all(answer)
            return
        await self.go_on(client, plan, answer, host, port)

    async def go_on(self, client: Client, plan: str, answer: bytes, host: str, port: int) -> None:
        match plan:
            case "silent":
                await trio.sleep_forever()
            case "reset":
                client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise trio.EndOfChannel
            case "end":
                raise trio.EndOfChannel
            case "garbage":
                await client.stream.send_all(b"220 smtp.example ready\r\n\r\n" * 2)
                await trio.sleep_forever()
            case "endless":
                while True:
                    await client.stream.send_all(b"x" * 4096)
        # Names of the tests, which no resolver knows.
        target = "127.0.0.1" if host.endswith(".test") else host
        async with await trio.open_tcp_stream(target, port) as there:
            if plan == "dribble":
                for byte in answer:
                    await client.stream.send_all(bytes([byte]))
                    await trio.sleep(0.001)
            else:
                await client.stream.send_all(answer + (b"hello" if plan == "chatty" else b""))
            assert not client.unread, "a client waits for the tunnel"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, client.stream, there, nursery.cancel_scope)
                nursery.start_soon(pump, there, client.stream, nursery.cancel_scope)


async def pump(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    try:
        while chunk := await source.receive_some():
            await sink.send_all(chunk)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


def note(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 - what it is for


async def main() -> None:
    proxy = Proxy(**json.loads(sys.argv[1]))
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            functools.partial(trio.serve_tcp, proxy.serve, proxy.port, host="127.0.0.1")
        )
        note(port=listeners[0].socket.getsockname()[1])


if __name__ == "__main__":
    trio.run(main)
