"""Who listens to a guard, and what they are told: streams of events that hold up nobody."""

from __future__ import annotations

from collections import deque

import trio

from trio_wsguard._core.alerts import AlertRaised, AlertResolved
from trio_wsguard._core.events import Anomaly, EventsDropped, Gap, Recovery
from trio_wsguard._core.state import StateChange
from trio_wsguard._core.steady import HealthChange

Event = (
    StateChange
    | Gap
    | Anomaly
    | Recovery
    | HealthChange
    | AlertRaised
    | AlertResolved
    | EventsDropped
)


class EventStream:
    """Events of a guard, oldest first; made by `GuardedWebSocket.events`.

    A slow reader loses the oldest and finds an `EventsDropped` in their place.
    It ends after the guard's last event.
    """

    def __init__(self, max_queue: int) -> None:
        self._events: deque[Event] = deque()
        self._max_queue = max_queue
        self._dropped = 0
        self._news = trio.Event()
        self._is_over = False

    def push(self, event: Event) -> None:
        """Add an event; never waits."""
        if len(self._events) == self._max_queue:
            self._events.popleft()
            self._dropped += 1
        self._events.append(event)
        self._news.set()

    def finish(self) -> None:
        """Let the reader end once it has read what is there."""
        self._is_over = True
        self._news.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        return self._take()

    def get_nowait(self) -> Event:
        """Take the next event, without waiting for one.

        Raises:
            trio.WouldBlock: There is none now.
            trio.EndOfChannel: There will be none any more.
        """
        if not self._events:
            raise trio.EndOfChannel if self._is_over else trio.WouldBlock
        return self._take()

    def _take(self) -> Event:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return EventsDropped(count=count)
        return self._events.popleft()


class Listeners:
    """All streams of a guard's events."""

    def __init__(self) -> None:
        self._streams: dict[EventStream, None] = {}  # in the order in which they came
        self._is_over = False

    def open(self, max_queue: int) -> EventStream:
        """Begin to listen."""
        stream = EventStream(max_queue)
        if self._is_over:
            stream.finish()
        self._streams[stream] = None
        return stream

    def close(self, stream: EventStream) -> None:
        """Cease to listen; what was told until then can still be read."""
        self._streams.pop(stream, None)
        stream.finish()

    def publish(self, event: Event) -> None:
        """Tell an event to all who listen."""
        for stream in self._streams:
            stream.push(event)

    def finish(self) -> None:
        """Let all readers end once they have read what is there."""
        self._is_over = True
        for stream in self._streams:
            stream.finish()
