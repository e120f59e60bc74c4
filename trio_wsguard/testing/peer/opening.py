"""The steps that answer the handshake's request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.peer.handshake import accept_headers
from trio_wsguard.testing.peer.script import Stage, Step
from trio_wsguard.testing.peer.validators import within

if TYPE_CHECKING:
    from trio_wsguard.testing.peer.conversation import Conversation


def _status(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    within(100, 599)(instance, attribute, value)
    if value == 101:
        raise PolicyError(attribute.name, value, "accepts: use Accept()")


def _header_map(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise PolicyError(attribute.name, value, "must be a mapping of names to values")
    for name, text in value.items():
        _printable(_, attribute, name)
        if text is not None:
            _printable(_, attribute, text)


def _printable(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise PolicyError(attribute.name, value, "must be printable ASCII")


@attrs.frozen(repr=False)
class Accept(Step):
    """Shake hands.

    Args:
        subprotocol: The one chosen; offered or not is not asked.
        headers: More headers, or other values for those of a 101; ``None``
            leaves one out.
    """

    stage: ClassVar[Stage] = Stage.OPENING
    is_accepting: ClassVar[bool] = True

    subprotocol: str | None = attrs.field(
        default=None, validator=checks.optional(checks.instance_of(str))
    )
    headers: Mapping[str, str | None] = attrs.field(factory=dict, validator=_header_map)

    async def play(self, conversation: Conversation) -> None:
        """Answer 101."""
        usual = accept_headers(conversation.headers)
        if self.subprotocol is not None:
            usual["Sec-WebSocket-Protocol"] = self.subprotocol
        await conversation.respond(101, _merged(usual, self.headers))


@attrs.frozen(repr=False)
class Reject(Step):
    """Answer the request with a status; then the stream ends, unless a step follows.

    Args:
        status: Any but 101.
        headers: More headers, or other values; ``None`` leaves one out. A
            Content-Length above the body's makes a truncated answer.
        body: The body.
        framed: Whether a Content-Length tells where the body ends.
    """

    stage: ClassVar[Stage] = Stage.OPENING

    status: int = attrs.field(validator=_status)
    headers: Mapping[str, str | None] = attrs.field(factory=dict, validator=_header_map)
    body: bytes = attrs.field(default=b"", validator=checks.instance_of(bytes))
    framed: bool = attrs.field(default=True, kw_only=True, validator=checks.boolean)

    async def play(self, conversation: Conversation) -> None:
        """Answer."""
        usual = {"Content-Length": str(len(self.body))} if self.framed else {}
        usual["Connection"] = "close"
        await conversation.respond(self.status, _merged(usual, self.headers), self.body)


@attrs.frozen(repr=False)
class Redirect(Step):
    """Send the client elsewhere.

    Args:
        location: Where to.
        status: As what.
    """

    stage: ClassVar[Stage] = Stage.OPENING

    location: str = attrs.field(validator=_printable)
    status: int = attrs.field(default=302, validator=within(300, 399))

    async def play(self, conversation: Conversation) -> None:
        """Answer."""
        await Reject(self.status, {"Location": self.location}).play(conversation)


def _merged(usual: Mapping[str, str], given: Mapping[str, str | None]) -> dict[str, str | None]:
    names = [name.lower() for name in given]
    kept = {name: value for name, value in usual.items() if name.lower() not in names}
    return {**kept, **given}
