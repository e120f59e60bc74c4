"""Transports that somebody might write, each with one mistake, over a sound one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transports.trio_websocket import open_transport
from trio_wsguard._shell.watched import WatchedStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_wsguard._shell.transport import Handshake, Message, OnPong, Transport


class Sound:
    """Hands everything on; has no mistake."""

    def __init__(self, transport: Transport, stream: WatchedStream) -> None:
        self.inner = transport
        self.stream = stream

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        async with open_transport(stream, handshake, on_pong) as transport:
            yield cls(transport, stream)

    @property
    def subprotocol(self) -> str | None:
        return self.inner.subprotocol

    async def receive(self) -> list[Message]:
        return await self.inner.receive()

    async def send(self, message: Message) -> None:
        await self.inner.send(message)

    async def ping(self, payload: bytes) -> None:
        await self.inner.ping(payload)

    async def aclose(self, code: int, reason: str) -> None:
        await self.inner.aclose(code, reason)


# --- messages -----------------------------------------------------------------------


class LosesOnCancel(Sound):
    """Is cancelled between taking a message and handing it on."""

    async def receive(self) -> list[Message]:
        batch = await self.inner.receive()
        await trio.lowlevel.checkpoint()
        return batch


class Duplicates(Sound):
    """Gives some messages twice."""

    async def receive(self) -> list[Message]:
        batch = await self.inner.receive()
        return batch * 2 if len(batch[0]) == 3 else batch


class Reorders(Sound):
    """Lets a message overtake the one before it."""

    async def receive(self) -> list[Message]:
        batch = await self.inner.receive()
        with trio.move_on_after(0.01):
            return await self.inner.receive() + batch
        return batch


class GivesEmptyBatches(Sound):
    """Gives a batch without a message now and then."""

    async def receive(self) -> list[Message]:
        return [one for one in await self.inner.receive() if one]


class SendsTextAsBytes(Sound):
    """Knows only one type of message."""

    async def send(self, message: Message) -> None:
        await self.inner.send(message.encode() if isinstance(message, str) else message)


class HeedsNoLimit(Sound):
    """Takes messages of any size."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        handshake = attrs.evolve(handshake, max_message_size=2**30)
        async with Sound.open(stream, handshake, on_pong) as transport:
            yield transport


class _LosesCrumbs(WatchedStream):
    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = b"?"
        while len(data) == 1:
            data = bytes(await super().receive_some(max_bytes))
        return data


class ReliesOnSegments(Sound):
    """Takes no single byte for news."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        stream.__class__ = _LosesCrumbs
        async with Sound.open(stream, handshake, on_pong) as transport:
            yield transport


class ReadsAhead(Sound):
    """Reads on and on, into a list without bounds."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        async with Sound.open(stream, handshake, on_pong) as inner, trio.open_nursery() as nursery:
            transport = cls(inner, stream)
            nursery.start_soon(transport._read)
            yield transport
            nursery.cancel_scope.cancel()

    def __init__(self, transport: Transport, stream: WatchedStream) -> None:
        super().__init__(transport, stream)
        self._put, self._got = trio.open_memory_channel[Any](10_000)

    async def _read(self) -> None:
        try:
            while True:
                self._put.send_nowait(await self.inner.receive())
        except TransportError as exc:
            self._put.send_nowait(exc)

    async def receive(self) -> list[Message]:
        found: list[Message] | TransportError = await self._got.receive()
        if isinstance(found, TransportError):
            raise found
        return found


# --- cancelling -----------------------------------------------------------------------


class GoesOnAfterACut(Sound):
    """Sends on after half a frame."""

    async def send(self, message: Message) -> None:
        try:
            await self.inner.send(message)
        finally:
            self.stream.is_cut = False


class LingersOnLeaving(Sound):
    """Takes its time to leave, cancelled or not."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        async with Sound.open(stream, handshake, on_pong) as transport:
            try:
                yield transport
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)


class LeavesATask(Sound):
    """Starts a task that outlives it."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        async with Sound.open(stream, handshake, on_pong) as transport:
            yield transport


class RaisesGroups(Sound):
    """Has a nursery of its own, and forgets that it groups what leaves it."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        async with trio.open_nursery(), Sound.open(stream, handshake, on_pong) as transport:
            yield transport


# --- pings ----------------------------------------------------------------------------


class MixesPongsUp(Sound):
    """Tells each pong as the answer to the latest ping."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        pings: list[bytes] = []

        def tell(payload: bytes) -> None:
            on_pong(pings[-1])

        async with open_transport(stream, handshake, tell) as inner:
            transport = cls(inner, stream)
            transport.pings = pings
            yield transport

    pings: list[bytes]

    async def ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        await self.inner.ping(payload)


class WaitsForPongs(Sound):
    """Returns from a ping once it is answered."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        pongs = trio.lowlevel.ParkingLot()

        def tell(payload: bytes) -> None:
            on_pong(payload)
            pongs.unpark_all()

        async with open_transport(stream, handshake, tell) as inner:
            transport = cls(inner, stream)
            transport.pongs = pongs
            yield transport

    pongs: trio.lowlevel.ParkingLot

    async def ping(self, payload: bytes) -> None:
        await self.inner.ping(payload)
        await self.pongs.park()


class BeatsByItself(Sound):
    """Keeps the connection alive, as many libraries do."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        async def beat(transport: Transport) -> None:
            while True:
                await trio.sleep(20)
                await transport.ping(b"keepalive")

        async with Sound.open(stream, handshake, on_pong) as inner, trio.open_nursery() as nursery:
            nursery.start_soon(beat, inner)
            yield inner
            nursery.cancel_scope.cancel()


# --- opening --------------------------------------------------------------------------


def _altered(alter: Callable[[TransportError], TransportError]) -> Any:
    """Make a factory that alters how a failed handshake is told."""

    @asynccontextmanager
    async def open_altered(
        stream: WatchedStream, handshake: Handshake, on_pong: OnPong
    ) -> AsyncIterator[Transport]:
        manager = open_transport(stream, handshake, on_pong)
        try:
            transport = await manager.__aenter__()
        except TransportError as exc:
            raise alter(exc) from None
        try:
            yield transport
        except BaseException as exc:
            if not await manager.__aexit__(type(exc), exc, exc.__traceback__):
                raise
        else:
            await manager.__aexit__(None, None, None)

    return open_altered


def _with(exc: TransportError, **facts: Any) -> TransportError:
    now = {name: value for name, value in vars(exc).items() if not name.startswith("_")}
    return TransportError(**{**now, **facts})


tells_another_status = _altered(lambda exc: _with(exc, http_status=500))
forgets_retry_after = _altered(lambda exc: _with(exc, retry_after=None))
forgets_the_location = _altered(lambda exc: _with(exc, location=None))
tells_all_as_closed = _altered(lambda exc: _with(exc, kind=FailureKind.CLOSED))
tells_all_as_protocol = _altered(lambda exc: _with(exc, kind=FailureKind.PROTOCOL))


@asynccontextmanager
async def waits_for_the_body(
    stream: WatchedStream, handshake: Handshake, on_pong: OnPong
) -> AsyncIterator[Transport]:
    """Reads a refusal to its end, which may never come."""
    try:
        async with open_transport(stream, handshake, on_pong) as transport:
            yield transport
    except TransportError as exc:
        if exc.http_status is not None:
            with trio.move_on_after(20):
                await stream.ended.wait()
        raise


@asynccontextmanager
async def offers_no_subprotocol(
    stream: WatchedStream, handshake: Handshake, on_pong: OnPong
) -> AsyncIterator[Transport]:
    """Forgets the subprotocols."""
    handshake = attrs.evolve(handshake, subprotocols=())
    async with open_transport(stream, handshake, on_pong) as transport:
        yield transport


# --- ending ---------------------------------------------------------------------------


class SwallowsALoss(Sound):
    """Waits on where the connection was lost."""

    async def receive(self) -> list[Message]:
        try:
            return await self.inner.receive()
        except TransportError as exc:
            if exc.close_code == 1006:
                await trio.sleep_forever()
            raise


class LeaksExceptions(Sound):
    """Lets out what its library raises."""

    async def receive(self) -> list[Message]:
        try:
            return await self.inner.receive()
        except TransportError as exc:
            raise trio.ClosedResourceError from exc


class LeaksCancelled(Sound):
    """Lets out `Cancelled` where nothing was cancelled."""

    async def receive(self) -> list[Message]:
        try:
            return await self.inner.receive()
        except TransportError:
            stray: list[BaseException] = []
            with trio.CancelScope() as scope:
                scope.cancel()
                try:
                    await trio.lowlevel.checkpoint()
                except trio.Cancelled as exc:
                    stray.append(exc)
            raise stray[0] from None


class ForgetsWhatCame(Sound):
    """Throws away what came before a loss and was not received."""

    async def receive(self) -> list[Message]:
        await trio.lowlevel.checkpoint()
        if self.stream.ended.is_set():
            raise TransportError(FailureKind.CLOSED, "no close frame", 1006)
        return await self.inner.receive()


class ForgetsTheReason(Sound):
    """Tells the close code alone."""

    async def receive(self) -> list[Message]:
        try:
            return await self.inner.receive()
        except TransportError as exc:
            raise _with(exc, close_reason="") from None


class TellsBreachesAsLosses(Sound):
    """Takes a broken frame for a lost connection."""

    async def receive(self) -> list[Message]:
        try:
            return await self.inner.receive()
        except TransportError:
            raise TransportError(FailureKind.CLOSED, "lost", 1006) from None


class SendsIntoTheVoid(Sound):
    """Sends without a word when the connection is gone."""

    async def send(self, message: Message) -> None:
        try:
            await self.inner.send(message)
        except TransportError:
            await trio.lowlevel.checkpoint()


class ClosesWithItsOwnCode(Sound):
    """Closes with 1000, whatever was asked for."""

    async def aclose(self, code: int, reason: str) -> None:
        await self.inner.aclose(1000, reason)


class ShieldsItsClose(Sound):
    """Insists on the close handshake."""

    async def aclose(self, code: int, reason: str) -> None:
        with trio.CancelScope(shield=True):
            await self.inner.aclose(code, reason)
