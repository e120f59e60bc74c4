"""What a beat says, and which messages answer it.

A WebSocket ping is answered by the peer's library and proves that its machine
lives; a message beat is answered by the peer's program. A user's own protocol
needs no more than the two methods of `MessageHeartbeat`.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import attrs

from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from trio_wsguard._shell.transport import Message

# An answer to a beat is short; a longer message is not worth parsing to find out.
_MAX_ANSWER: Final = 4096


@attrs.frozen
class Answer:
    """A message that was recognised as the answer to a beat.

    Attributes:
        key: Which beat it answers; ``None`` where the protocol does not say.
        code: What the peer refused the beat with; ``None`` for a good answer.
    """

    key: str | None = None
    code: object | None = None


@attrs.frozen
class PingHeartbeat:
    """Beats are WebSocket pings, answers are pongs (RFC 6455, section 5.5.2)."""


@runtime_checkable
class MessageHeartbeat(Protocol):
    """Beats are messages of the application's own protocol."""

    def request(self, rng: Random) -> tuple[Message, str | None]:
        """Make a beat: the message, and the key that its answer will carry, if any."""
        ...

    def read(self, message: Message) -> Answer | None:
        """Tell whether a message is an answer; ``None`` hands it to the application."""
        ...


Heartbeat = PingHeartbeat | MessageHeartbeat


@attrs.frozen
class TextHeartbeat:
    """Beats are a fixed message, and so are answers.

    Args:
        beat: What to send.
        answer: What comes back, to the letter.
    """

    beat: str | bytes = "ping"
    answer: str | bytes = "pong"

    def request(self, rng: Random) -> tuple[Message, str | None]:  # noqa: ARG002 - protocol
        """Make a beat."""
        return self.beat, None

    def read(self, message: Message) -> Answer | None:
        """Recognise the answer."""
        return Answer() if message == self.answer else None


@attrs.frozen
class JsonHeartbeat:
    """Beats are JSON objects, and so are answers.

    Args:
        beat: What to send.
        answer: Pairs that an object must have to be an answer. Where it is
            empty, any object with `code_key` is one.
        code_key: The key of a status code; ``None`` for a protocol without.
        good_code: Its value in a good answer; another value is an anomaly and
            a failed beat.
    """

    beat: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "ping"})
    answer: Mapping[str, Any] = attrs.field(factory=lambda: {"type": "pong"})
    code_key: str | None = "code"
    good_code: object = 200

    def __attrs_post_init__(self) -> None:
        if not self.answer and self.code_key is None:
            raise PolicyError("answer", dict(self.answer), "would match every object")

    def request(self, rng: Random) -> tuple[Message, str | None]:  # noqa: ARG002 - protocol
        """Make a beat."""
        return json.dumps(self.beat), None

    def read(self, message: Message) -> Answer | None:
        """Recognise an answer and its code."""
        found = _json_object(message)
        if found is None or any(found.get(key) != value for key, value in self.answer.items()):
            return None
        if self.code_key is None or self.code_key not in found:
            return Answer() if self.answer else None
        code = found[self.code_key]
        return Answer(code=None if code == self.good_code else code)


@attrs.frozen
class LwpHeartbeat:
    """Beats of the LWP protocol: ``{"lwp": "/!", "headers": {"mid": "..."}}``.

    The answer is an object with a code and without a body; where it names a
    message id, that must be the beat's.

    Args:
        good_code: The code of a good answer.

    Source: the documents' heartbeat.
    """

    good_code: int = 200

    def request(self, rng: Random) -> tuple[Message, str | None]:
        """Make a beat with an id of its own."""
        mid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        return json.dumps({"lwp": "/!", "headers": {"mid": mid}}), mid

    def read(self, message: Message) -> Answer | None:
        """Recognise an answer, its code and its id."""
        found = _json_object(message)
        if found is None or "code" not in found or "body" in found or "lwp" in found:
            return None
        headers = found.get("headers")
        mid = headers.get("mid") if isinstance(headers, dict) else None
        code = found["code"]
        return Answer(
            key=mid if isinstance(mid, str) else None,
            code=None if code == self.good_code else code,
        )


def _json_object(message: Message) -> dict[str, Any] | None:
    if len(message) > _MAX_ANSWER or message[:1] not in ("{", b"{"):
        return None
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
