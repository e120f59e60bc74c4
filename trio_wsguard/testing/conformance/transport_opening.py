"""What must hold of a transport's opening handshake: what is asked for, and how it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
from hypothesis import strategies as st

from trio_wsguard._core.failure import FailureKind, classify
from trio_wsguard.testing.conformance.property import Arm, property_of
from trio_wsguard.testing.conformance.transport_arms import (
    connected,
    examples,
    for_each,
    refusal,
)
from trio_wsguard.testing.conformance.violation import expect
from trio_wsguard.testing.peer import (
    Accept,
    Close,
    Drop,
    Reject,
    Reset,
    Script,
    ScriptedPeer,
    SendRaw,
    Silence,
    Stage,
    Step,
)
from trio_wsguard.testing.peer.frames import message_frame
from trio_wsguard.testing.peer.handshake import accept_headers, http_head

if TYPE_CHECKING:
    from trio_wsguard._errors import TransportError
    from trio_wsguard.testing.conformance.parts import TransportPart
    from trio_wsguard.testing.conformance.run import Run
    from trio_wsguard.testing.peer import Conversation

_TOKEN: Final = st.text("abcxyz019-._", min_size=1, max_size=8)
_VALUE: Final = st.text("aZ09 :;,/=\"'%", max_size=12).map(str.strip)
_NAMES: Final = _TOKEN.map("x-{}".format)

_STATUSES: Final = st.sampled_from(
    [200, 204, 301, 302, 304, 307, 308, 400, 401, 403, 404, 407, 408, 426, 429, 500, 502, 503, 599]
)
# What a server says, and what it means: RFC 9110, section 10.2.3.
_RETRY_AFTER: Final = st.sampled_from(
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("soon", None),
        ("-5", None),
    ]
)
_LOCATIONS: Final = st.sampled_from([None, "/there", "wss://other.example/there?a=1"])
# Complete or not, held open or not: the head alone says it.
_BODIES: Final = st.sampled_from(
    [
        {},
        {"body": b"busy"},
        {"body": b"busy", "framed": False},
        {"body": b"cut", "headers": {"Content-Length": "1000"}},
    ]
)

_HELD: Final = (Silence(),)
_NO_WEBSOCKET: Final = {
    "garbage": (SendRaw(bytes(range(128, 256)) * 4), *_HELD),
    "a line of text": (SendRaw(b"220 mail.example ESMTP\r\n"), *_HELD),
    "SSH": (SendRaw(b"SSH-2.0-OpenSSH_9.6\r\n"), *_HELD),
    "TLS": (SendRaw(b"\x15\x03\x01\x00\x02\x02\x46"), *_HELD),
    "a WebSocket frame": (SendRaw(b"\x81\x05hello"), *_HELD),
    "a status of no number": (SendRaw(b"HTTP/1.1 OK\r\n\r\n"), *_HELD),
    "headers without end": (SendRaw(b"HTTP/1.1 101 x\r\n" + b"X-A: b\r\n" * 20_000), *_HELD),
    "HTTP 100": (Reject(100, framed=False), *_HELD),
    "HTTP 103": (Reject(103, {"Link": "</a.css>"}, framed=False), *_HELD),
    "HTTP 199": (Reject(199, framed=False), *_HELD),
    "no accept key": (Accept(headers={"Sec-WebSocket-Accept": None}), *_HELD),
    "another accept key": (Accept(headers={"Sec-WebSocket-Accept": "AAAA"}), *_HELD),
    "no upgrade": (Accept(headers={"Upgrade": None}), *_HELD),
    "another upgrade": (Accept(headers={"Upgrade": "h2c"}), *_HELD),
    "no connection header": (Accept(headers={"Connection": None}), *_HELD),
    "a subprotocol not offered": (Accept("other"), *_HELD),
    "an extension not offered": (Accept(headers={"Sec-WebSocket-Extensions": "x-none"}), *_HELD),
}


@attrs.frozen(repr=False)
class CutAnswer(Step):
    """Write the first bytes of the 101 that accepts; then the stream ends.

    Args:
        size: How many; never all.
    """

    stage: ClassVar[Stage] = Stage.ANY

    size: int

    async def play(self, conversation: Conversation) -> None:
        """Write them."""
        answer = http_head(101, accept_headers(conversation.headers))
        await conversation.write(answer[: min(self.size, len(answer) - 1)])


def _told(error: TransportError) -> str:
    return f"it is told as {error.kind} ({error})"


@property_of("transport", arms=Arm)
def the_request_is_as_asked(run: Run) -> None:
    """Path, query, headers and subprotocols reach the server; the one it chooses is told."""

    async def check(
        transport: TransportPart,
        seed: int,
        resource: str,
        headers: dict[str, str],
        subprotocols: list[str],
        is_chosen: bool,
    ) -> None:
        chosen = subprotocols[-1] if is_chosen and subprotocols else None
        peer = ScriptedPeer(Script(Accept(chosen)))
        options: dict[str, Any] = {
            "headers": tuple((name.encode(), value.encode()) for name, value in headers.items()),
            "subprotocols": tuple(subprotocols),
            "resource": resource,
        }
        async with connected(run, transport, seed, peer, **options) as client:
            agreed = client.transport.subprotocol
            await client.aclose()
        record = client.record
        expect(record.path == resource, f"{record.path!r} is asked for")
        sent = {name: record.headers.get(name) for name in headers}
        expect(sent == headers, f"the headers {sent} are sent")
        offered = list(record.subprotocols)
        expect(offered == subprotocols, f"the subprotocols {offered} are offered")
        expect(agreed == chosen, f"{chosen!r} is chosen, and {agreed!r} is told")

    drawn = examples(
        run,
        resource=st.sampled_from(["/", "/feed", "/a/b?c=d&e=%20f", "/?token=x%2By"]),
        headers=st.dictionaries(_NAMES, _VALUE, max_size=4),
        subprotocols=st.lists(_TOKEN, max_size=3, unique=True),
        is_chosen=st.booleans(),
    )
    run.for_all(drawn, check, share=0.3)


@property_of("transport", arms=Arm)
def an_early_message_is_received(run: Run) -> None:
    """What the server sends right behind its 101, in one piece with it, is received."""

    async def check(transport: TransportPart, seed: int, messages: list[str]) -> None:
        script = Script(AcceptAndPush(tuple(messages)), Close())
        async with connected(run, transport, seed, ScriptedPeer(script)) as client:
            ending = await client.hear_out()
        what = f"{messages} was sent; the client has {ending.messages}"
        expect(ending.messages == messages, what)

    messages = st.lists(st.text(max_size=5), max_size=4)
    run.for_all(examples(run, messages=messages), check, share=0.2)


@attrs.frozen(repr=False)
class AcceptAndPush(Step):
    """Accept and send messages in one write.

    Args:
        messages: The messages.
    """

    stage: ClassVar[Stage] = Stage.OPENING
    is_accepting: ClassVar[bool] = True

    messages: tuple[str, ...]

    async def play(self, conversation: Conversation) -> None:
        """Write it all."""
        frames = b"".join(map(message_frame, self.messages))
        await conversation.respond(101, accept_headers(conversation.headers), frames)


@property_of("transport", arms=Arm)
def a_refusal_is_told_with_its_facts(run: Run) -> None:
    """A status other than 101 is REJECTED at once, with status, Retry-After and Location.

    However the body comes, and if it never does: the head alone says it.
    """

    async def check(
        transport: TransportPart,
        seed: int,
        status: int,
        retry_after: tuple[str | None, float | None],
        location: str | None,
        body: dict[str, Any],
        is_held: bool,
    ) -> None:
        headers = {"Retry-After": retry_after[0], "Location": location}
        given = {**body, "headers": {**headers, **body.get("headers", {})}}
        answer = Reject(status, **given)
        peer = ScriptedPeer(Script(answer, *(_HELD if is_held else ())))
        error = await refusal(run, transport, seed, peer)
        expect(error.kind is FailureKind.REJECTED, _told(error))
        facts = (error.http_status, error.retry_after, error.location)
        expect(facts == (status, retry_after[1], location), f"{facts} are told")

    drawn = examples(
        run,
        status=_STATUSES,
        retry_after=_RETRY_AFTER,
        location=_LOCATIONS,
        body=_BODIES,
        is_held=st.booleans(),
    )
    run.for_all(drawn, check)


@property_of("transport", arms=Arm)
def no_websocket_server_is_protocol(run: Run) -> None:
    """An answer that is no upgrade, or a false one, is PROTOCOL at once, though it is held open."""

    async def check(transport: TransportPart, seed: int, answer: str) -> None:
        run.count(faults=1)
        peer = ScriptedPeer(Script(*_NO_WEBSOCKET[answer]))
        error = await refusal(run, transport, seed, peer, subprotocols=("chat", "plain"))
        expect(error.kind is FailureKind.PROTOCOL, _told(error))
        expect(classify(error).transient, "it is told as fatal")

    for_each(run, check, answer=_NO_WEBSOCKET)


@property_of("transport", arms=Arm)
def an_end_within_the_handshake_is_closed(run: Run) -> None:
    """A stream that ends or breaks anywhere within the answer is CLOSED, at once."""

    async def check(transport: TransportPart, seed: int, size: int, end: Step) -> None:
        run.count(faults=1)
        peer = ScriptedPeer(Script(CutAnswer(size), end))
        error = await refusal(run, transport, seed, peer)
        expect(error.kind is FailureKind.CLOSED, _told(error))

    drawn = examples(run, size=st.integers(0, 130), end=st.sampled_from([Drop(), Reset()]))
    run.for_all(drawn, check, share=0.5)
