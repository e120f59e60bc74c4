"""A process that forks senders to be killed: what they need is imported once, for all.

For each line "path run" on its input it forks a sender, and tells its process id and its
end. A sender tells each message that was accepted, and each before it is deleted.
"""

from __future__ import annotations

import os
import sys

import trio

from trio_wsguard._shell.outbox_store import OutboxStore, open_outbox_store

SENDERS = 5


def say(*words: object) -> None:
    """Write a line, at once and in one piece."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def send(store: OutboxStore, name: str) -> None:
    """Put one message after the other, and delete every third."""
    for n in range(1_000_000):
        key = f"{name}.{n}"
        sequence = await store.put(key, key * (n % 7) * 50, 1.0)
        say("accepted", key)
        if n % 3 == 2:
            say("deleting", key)
            store.delete([sequence])


async def live(path: str, run: str) -> None:
    """Send until killed."""
    async with open_outbox_store(path) as store, trio.open_nursery() as nursery:
        store.load()
        say("open")
        for sender in range(SENDERS):
            nursery.start_soon(send, store, f"{run}.{sender}")


def main() -> None:
    """Fork a sender for each line."""
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            path, run = line.split()
            trio.run(live, path, run)
        say("pid", pid)
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    main()
