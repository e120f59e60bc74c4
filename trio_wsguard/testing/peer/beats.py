"""How beats are answered: the manner is a step's, the protocol is the peer's."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from wsproto.frame_protocol import Opcode

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard._shell.heartbeats import (
    JsonHeartbeat,
    LwpHeartbeat,
    PingHeartbeat,
    TextHeartbeat,
)
from trio_wsguard._shell.transport import Message
from trio_wsguard.testing.peer.frames import frame, message_frame
from trio_wsguard.testing.peer.script import Step

if TYPE_CHECKING:
    from trio_wsguard.testing.peer.conversation import Conversation

BeatAnswer = Callable[[Message, object], Message | None]
"""``(message, code) -> answer``; ``None`` for a message that is no beat.

`code` is what the answer shall refuse the beat with; ``None`` for a good one.
"""


@attrs.frozen(repr=False)
class AnswerBeats(Step):
    """From here on, answer pings, and message beats, in this manner.

    Without it they are answered at once and well.

    Args:
        delay: Seconds until an answer goes out.
        stale: Whether each answer is one to the beat before: its pong, its
            message id. The first beat then has no answer.
        code: What answers to message beats refuse them with; ``None`` for good
            answers. A pong has no code.
        skip: Beats left without an answer before each that has one.
    """

    delay: float = attrs.field(default=0, validator=checks.not_negative)
    stale: bool = attrs.field(default=False, kw_only=True, validator=checks.boolean)
    code: object = attrs.field(default=None, kw_only=True)
    skip: int = attrs.field(default=0, kw_only=True, validator=checks.whole)

    async def play(self, conversation: Conversation) -> None:
        """Change the manner."""
        conversation.beats.manner = self


@attrs.frozen(repr=False)
class IgnoreBeats(Step):
    """From here on, leave pings and message beats without an answer."""

    async def play(self, conversation: Conversation) -> None:
        """Change the manner."""
        conversation.beats.manner = None


class Beats:
    """Tells what to answer to the beats of one connection.

    Args:
        answer: How message beats are answered.

    Attributes:
        manner: In which manner; ``None`` for no answers.
    """

    def __init__(self, answer: BeatAnswer) -> None:
        self.manner: AnswerBeats | None = AnswerBeats()
        self._answer = answer
        self._earlier: dict[Opcode, Any] = {}
        self._skipped = 0

    def is_beat(self, message: Message) -> bool:
        """Whether a message is a beat."""
        return self._answer(message, None) is not None

    def reply(self, opcode: Opcode, beat: Any) -> tuple[bytes, float] | None:
        """Tell the frame that answers a ping or a message beat, and after how many seconds."""
        earlier = self._earlier.get(opcode)
        self._earlier[opcode] = beat
        manner = self.manner
        if manner is None or self._is_left_out(manner):
            return None
        answered = earlier if manner.stale else beat
        if answered is None:
            return None
        if opcode is Opcode.PING:
            return frame(Opcode.PONG, answered), manner.delay
        answer = self._answer(answered, manner.code)
        return None if answer is None else (message_frame(answer), manner.delay)

    def _is_left_out(self, manner: AnswerBeats) -> bool:
        is_left_out = self._skipped < manner.skip
        self._skipped = self._skipped + 1 if is_left_out else 0
        return is_left_out


def beat_answer(heartbeat: Any) -> BeatAnswer:
    """Tell how the beats of a heartbeat are answered.

    Args:
        heartbeat: What the client beats with: a heartbeat of this library, or
            a `BeatAnswer`. ``None`` and `PingHeartbeat` beat by pings alone.

    Raises:
        PolicyError: It is a heartbeat whose answers are not known.
    """
    if heartbeat is None or isinstance(heartbeat, PingHeartbeat):
        return _no_answer
    answer = _ANSWERS.get(type(heartbeat))
    if answer is not None:
        return functools.partial(answer, heartbeat)
    if callable(heartbeat):
        return cast("BeatAnswer", heartbeat)
    raise PolicyError("heartbeat", heartbeat, "needs a function (message, code) -> answer instead")


def _no_answer(_message: Message, _code: object) -> None:
    """No message is a beat."""


def _answer_text(heartbeat: TextHeartbeat, message: Message, code: object) -> Message | None:
    if message != heartbeat.beat:
        return None
    # It has no place for a code: a refusal is anything but the answer.
    return heartbeat.answer if code is None else f"refused with {code}"


def _answer_json(heartbeat: JsonHeartbeat, message: Message, code: object) -> Message | None:
    if _parsed(message) != dict(heartbeat.beat):
        return None
    if heartbeat.code_key is None:
        return json.dumps(dict(heartbeat.answer) if code is None else {"refused": code})
    code = heartbeat.good_code if code is None else code
    return json.dumps({**heartbeat.answer, heartbeat.code_key: code})


def _answer_lwp(heartbeat: LwpHeartbeat, message: Message, code: object) -> Message | None:
    beat = _parsed(message)
    if not isinstance(beat, dict) or beat.get("lwp") != "/!":
        return None
    code = heartbeat.good_code if code is None else code
    return json.dumps({"code": code, "headers": beat.get("headers", {})})


def _parsed(message: Message) -> Any:
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


_ANSWERS: Final[dict[type, Callable[[Any, Message, object], Message | None]]] = {
    TextHeartbeat: _answer_text,
    JsonHeartbeat: _answer_json,
    LwpHeartbeat: _answer_lwp,
}
