"""The three tasks of a connection. A task waits and acts; it decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard._errors import TransportError

if TYPE_CHECKING:
    from trio_wsguard._shell.connection import Connection
    from trio_wsguard._shell.outgoing import Received


async def receive_task(connection: Connection) -> None:
    """Read the transport and hand messages on, until the connection ends.

    It runs from the handshake on: what arrives during `on_connect` waits
    there. While the application is slow it does not read, so that the peer
    feels it (backpressure).
    """
    receive = connection.transport.receive
    received: Received = connection.vitals.received
    if connection.setup.outgoing is not None:
        received = connection.setup.outgoing.received_by(received)
    # The queue drops repeats, after the outbox: what is repeated acknowledges all the same.
    is_full = connection.inbox.is_full
    while True:
        if is_full:
            await connection.wait_for_room()
        try:
            batch = await receive()
        except TransportError as exc:
            connection.end_by_peer(exc)
            return
        is_full = connection.inbox.put(received(batch))


async def heartbeat_task(connection: Connection) -> None:
    """Send a beat whenever the watchdog finds one due.

    It may hang in a write as long as the peer takes no bytes; the watchdog
    counts the beats not sent meanwhile.
    """
    while True:
        await connection.vitals.beat_due.wait()
        connection.vitals.beat_due = trio.Event()
        await connection.writer.send_beat()


async def watchdog_task(connection: Connection) -> None:
    """Sleep until the next deadline, then judge. It awaits nothing but the clock."""
    vitals = connection.vitals
    while True:
        vitals.judge(await vitals.alarm.wait_until(vitals.next_deadline()))
