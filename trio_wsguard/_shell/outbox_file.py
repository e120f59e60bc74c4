"""The file of an outbox: one SQLite database, used by one thread at a time. No trio here.

What can go wrong is found before anything is written: whose file it is, is read
from its first hundred bytes without SQLite, which would roll back or checkpoint
a stranger's database when it opens and closes it. Damage is looked for by
``PRAGMA quick_check``, which proves the pages and not what they hold, and by a
checksum of each message, which does. A damaged file is not repaired and nothing
is deleted from it.

Sources: sqlite.org, "Database File Format" (1.3, the header), "Write-Ahead
Logging" (8, without shared memory in exclusive mode), "How To Corrupt An SQLite
Database File" (2.2, why a file that is open is not opened a second time).
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_wsguard._errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trio_wsguard._shell.transport import Message

    StoredKey = str | bytes | int

APPLICATION_ID: Final = 0x5753_4F42  # "WSOB"
FORMAT: Final = 1
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100  # bytes
_SPARE_PAGES: Final = 256  # 1 MiB stays in the file for what comes next
_WAL_LIMIT: Final = 4 * 2**20  # bytes; what 1,000 pages between two checkpoints need
_SCHEMA: Final = """
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY,
    key NOT NULL,
    payload BLOB NOT NULL,
    is_text INTEGER NOT NULL,
    accepted_at REAL NOT NULL,
    checksum INTEGER NOT NULL
)
"""
_PROBLEMS: Final = {
    "SQLITE_BUSY": "is in use by another process",
    "SQLITE_NOTADB": "is no outbox",
    "SQLITE_CORRUPT": "is damaged",
    "SQLITE_READONLY": "cannot be written",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk failed",
    "SQLITE_CANTOPEN": "cannot be opened",
}

# Device and inode of what this process has open: to close any handle on a file
# gives up all locks that the process holds on it.
_open: Final[set[tuple[int, int]]] = set()
_open_lock: Final = threading.Lock()


@attrs.frozen(kw_only=True)
class StoredMessage:
    """One message as it is in the file.

    Attributes:
        sequence: Its number; the order of acceptance.
        key: What it is acknowledged by.
        message: What is sent.
        accepted_at: When, in Unix seconds: no other clock outlives a process.
    """

    sequence: int
    key: StoredKey
    message: Message
    accepted_at: float


def check_key(key: object) -> StoredKey:
    """Accept the keys that a file gives back as they were.

    Raises:
        TypeError: It is of no such type.
        ValueError: It is a number beyond 64 bits, or no valid Unicode.
    """
    if isinstance(key, bool) or not isinstance(key, str | bytes | int):
        kind = type(key).__name__
        raise TypeError(f"a key of a durable outbox is str, bytes or int, not {kind}")
    if isinstance(key, int) and not -(2**63) <= key < 2**63:
        raise ValueError("a number as key of a durable outbox must fit into 64 bits")
    if isinstance(key, str):
        key.encode()
    return key


class OutboxFile:
    """An open file of messages; made by `open_file`.

    Args:
        path: The file.
        connection: SQLite's handle on it.
        identity: Its device and inode.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, identity: tuple[int, int]
    ) -> None:
        self.path = path
        self._connection = connection
        self._identity = identity

    def load(self) -> list[StoredMessage]:
        """Read all messages, in order.

        Raises:
            OutboxError: The file is damaged.
        """
        with _explained(self.path):
            rows = self._connection.execute("SELECT * FROM messages ORDER BY sequence").fetchall()
        try:
            return [_from_row(*row) for row in rows]
        except (TypeError, ValueError) as exc:
            raise OutboxError(str(self.path), f"is damaged: {exc}") from exc

    def commit(self, added: Sequence[StoredMessage], removed: Sequence[int]) -> None:
        """Store messages and delete others: all of it, or nothing.

        Raises:
            OutboxError: Nothing was changed.
        """
        with _explained(self.path), self._transaction() as connection:
            connection.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", [_to_row(one) for one in added]
            )
            connection.executemany(
                "DELETE FROM messages WHERE sequence = ?", [(sequence,) for sequence in removed]
            )
            if removed:
                _shrink(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def finish(self, removed: Sequence[int]) -> None:
        """Delete messages, if there are any, and close the file.

        Raises:
            OutboxError: Nothing was deleted; the file is closed.
        """
        try:
            if removed:
                self.commit([], removed)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; afterwards there is one file, without a log beside it."""
        self._connection.close()
        with _open_lock:
            _open.discard(self._identity)


def open_file(path: Path, *, survives_power_loss: bool) -> OutboxFile:
    """Open the file of an outbox, or create it.

    Args:
        path: The file.
        survives_power_loss: Whether every commit waits for the disk.

    Raises:
        OutboxError: It cannot be used, and was left as it is.
    """
    with _explained(path):
        identity = _claim(path)
        try:
            connection = _open_database(path, survives_power_loss)
        except BaseException:
            with _open_lock:
                _open.discard(identity)
            raise
    return OutboxFile(path, connection, identity)


def _claim(path: Path) -> tuple[int, int]:
    if not path.exists():
        # Made by us, so that nobody else may read it for even a moment. SQLite
        # gives its log the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OutboxError(str(path), "is no file")
    identity = found.st_dev, found.st_ino
    with _open_lock:
        if identity in _open:
            raise OutboxError(str(path), "is in use by this process")
        _open.add(identity)
    return identity


def _open_database(path: Path, survives_power_loss: bool) -> sqlite3.Connection:
    is_new = _check_header(path)
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        # Exclusive from the first access on: another process is told so, and
        # SQLite needs no shared memory beside the file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if is_new:
            _create(connection)
        _check_content(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        # NORMAL leaves it to the system when commits reach the disk: they survive the
        # process, however it ends. Only FULL waits for the disk: milliseconds a commit.
        connection.execute(f"PRAGMA synchronous = {'FULL' if survives_power_loss else 'NORMAL'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_header(path: Path) -> bool:
    """Refuse a file that is not ours; tell whether it is empty and thus new."""
    with path.open("rb+") as file:
        header = file.read(_HEADER)
    if not header:
        return True
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise OutboxError(str(path), "is no outbox, or its beginning is damaged")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise OutboxError(str(path), "is a database, but no outbox")
    _check_format(path, int.from_bytes(header[60:64], "big"))
    return False


def _check_format(path: Path, version: int) -> None:
    if version > FORMAT:
        problem = f"is of a newer version: format {version}, and this one reads {FORMAT}"
        raise OutboxError(str(path), problem)
    if version != FORMAT:
        raise OutboxError(str(path), f"is damaged: there is no format {version}")


def _create(connection: sqlite3.Connection) -> None:
    # One transaction, before the write-ahead log: killed in it, an empty file is
    # left, and after it an outbox.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute(_SCHEMA)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _check_content(path: Path, connection: sqlite3.Connection) -> None:
    # Reads only. Even an empty transaction would write to a file whose header tells a
    # wrong size. The first read takes the lock, and keeps it; the log's version counts.
    _check_format(path, _pragma(connection, "user_version"))
    found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise OutboxError(str(path), f"is damaged: {_line(found)}")
    schema = connection.execute("SELECT sql FROM sqlite_schema").fetchall()
    if schema != [(_SCHEMA.strip(),)]:
        raise OutboxError(str(path), "is damaged: its table is not the outbox's")


def _shrink(connection: sqlite3.Connection) -> None:
    """Give free pages back to the system, a few at a time; some are kept to be used again."""
    spare = _pragma(connection, "freelist_count") - _SPARE_PAGES
    # One at a time: the module sqlite3 takes the first step of this statement alone.
    for _ in range(min(spare, _SPARE_PAGES)):
        connection.execute("PRAGMA incremental_vacuum(1)")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _to_row(one: StoredMessage) -> tuple[Any, ...]:
    message = one.message
    is_text = isinstance(message, str)
    # A blob in either case: SQLite's text ends at a zero byte for some of its tools.
    payload = message.encode() if isinstance(message, str) else message
    row = one.sequence, one.key, payload, int(is_text), float(one.accepted_at)
    return *row, _checksum(*row)


def _checksum(sequence: int, key: object, payload: bytes, is_text: int, at: float) -> int:
    return zlib.crc32(payload, zlib.crc32(repr((sequence, key, is_text, at)).encode()))


def _from_row(
    sequence: int, key: Any, payload: bytes, is_text: int, accepted_at: float, checksum: int
) -> StoredMessage:
    # A value of another type than we write has another checksum.
    if _checksum(sequence, key, payload, is_text, accepted_at) != checksum:
        raise ValueError(f"message {sequence} is not as it was written")
    return StoredMessage(
        sequence=sequence,
        key=key,
        message=payload.decode() if is_text else payload,
        accepted_at=accepted_at,
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise what the system or SQLite says as an `OutboxError` of this file."""
    try:
        yield
    except OSError as exc:
        raise OutboxError(str(path), f"cannot be opened: {exc.strerror}") from exc
    except sqlite3.Error as exc:
        name = getattr(exc, "sqlite_errorname", "")
        known = next((text for start, text in _PROBLEMS.items() if name.startswith(start)), None)
        problem = f"{known or 'is damaged'} ({_line(str(exc))})"
        raise OutboxError(str(path), problem) from exc
    except UnicodeDecodeError as exc:  # SQLite quotes names of the file in what it says
        raise OutboxError(str(path), "is damaged: its own names are no text") from exc


def _line(text: str) -> str:
    """Make one printable line of what a stranger's file may have put into a text."""
    return ascii(" ".join(text.split()))[1:-1]
