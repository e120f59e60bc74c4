"""A WebSocket server whose behaviour is a script."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.peer.beats import beat_answer
from trio_wsguard.testing.peer.conversation import Conversation
from trio_wsguard.testing.peer.opening import Accept
from trio_wsguard.testing.peer.record import ConnectionRecord
from trio_wsguard.testing.peer.script import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard._shell.transport import Message


class ScriptedPeer:
    """A WebSocket server whose behaviour is a script, on any byte stream.

    It is a handler: ``await peer(stream)`` serves one connection to its end,
    on a simulated network, in memory, over TLS or on a socket alike
    (`open_loopback`). Errors of the stream end a connection quietly; those of
    functions given to `Call` come out as they are.

    Args:
        scripts: What connections meet: each takes the next, the last one is
            for all others. Without any, the peer accepts and says nothing.
        heartbeat: What clients beat with besides pings: `TextHeartbeat`,
            `JsonHeartbeat`, `LwpHeartbeat`, or a function ``(message, code) ->
            answer`` that gives ``None`` for a message that is no beat. `code`
            is that of `AnswerBeats`. ``None`` for pings alone.

    Attributes:
        connections: What was noted of each connection, in the order they came.
    """

    def __init__(self, *scripts: Script, heartbeat: object = None) -> None:
        self.connections: list[ConnectionRecord] = []
        self._scripts: deque[Script] = deque()
        self._live: list[Conversation] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._answer = beat_answer(heartbeat)
        self.script(*scripts or (Script(Accept()),))

    def script(self, *scripts: Script) -> None:
        """Say what coming connections meet; those that are go on as before.

        Raises:
            PolicyError: There is none, or one is no `Script`.
        """
        if not scripts:
            raise PolicyError("scripts", scripts, "a peer needs a script")
        for script in scripts:
            if not isinstance(script, Script):
                raise PolicyError("scripts", script, "must be a Script(...)")
        self._scripts = deque(scripts)

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, and close the stream."""
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        record = ConnectionRecord(len(self.connections) + 1, trio.current_time())
        self.connections.append(record)
        conversation = Conversation(stream, record, self._answer, self._changed.unpark_all)
        self._live.append(conversation)
        try:
            await conversation.run(script)
        finally:
            self._live.remove(conversation)

    async def broadcast(self, message: Message) -> None:
        """Send a message on every open connection, one after another.

        Cancelled, it ends the connection whose client takes no bytes.
        """
        await trio.lowlevel.checkpoint()
        for conversation in list(self._live):
            if conversation.is_open:
                await conversation.send_if_open(message)

    async def wait_connections(self, count: int) -> None:
        """Wait until so many connections have come."""
        await self._wait(lambda: len(self.connections) >= count)

    async def wait_received(self, count: int) -> None:
        """Wait until so many messages have come, beats not counted, on all connections together."""
        await self._wait(lambda: sum(len(one.received) for one in self.connections) >= count)

    async def wait_ended(self, count: int) -> None:
        """Wait until so many connections have ended."""
        await self._wait(lambda: sum(one.end is not None for one in self.connections) >= count)

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not is_so():
            await self._changed.park()
