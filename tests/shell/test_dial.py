"""URLs, redirects and Retry-After, read from what users and servers write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard._shell.dial import follow_redirect, parse_url, safe_url
from trio_wsguard._shell.transport import retry_after_seconds


@pytest.mark.parametrize(
    ("url", "host", "port", "is_secure", "resource", "host_header"),
    [
        ("ws://a", "a", 80, False, "/", "a"),
        ("wss://a/", "a", 443, True, "/", "a"),
        ("wss://A.b:444/p/q?x=1&y=2#z", "a.b", 444, True, "/p/q?x=1&y=2", "a.b:444"),
        ("ws://[::1]:8080/x", "::1", 8080, False, "/x", "[::1]:8080"),
        ("ws://a/ü b?q=ü", "a", 80, False, "/%C3%BC%20b?q=%C3%BC", "a"),
        ("ws://a/%41", "a", 80, False, "/%41", "a"),
        ("ws://a:443", "a", 443, False, "/", "a:443"),
    ],
)
def test_urls_are_read(
    url: str, host: str, port: int, is_secure: bool, resource: str, host_header: str
) -> None:
    """A WebSocket URL gives host, port, security, resource and Host header."""
    target = parse_url(url)
    assert (target.host, target.port, target.is_secure) == (host, port, is_secure)
    assert (target.resource, target.host_header) == (resource, host_header)


@pytest.mark.parametrize("url", ["http://a/", "a", "", "ws:///x", "ws://a:b/", "ws://[::1/", None])
def test_what_is_no_websocket_url_is_refused(url: object) -> None:
    """Anything else is refused by PolicyError about `url`."""
    with pytest.raises(wsguard.PolicyError) as caught:
        parse_url(url)
    assert caught.value.field == "url"


def test_user_and_password_become_basic_authorization() -> None:
    """User and password in a URL become a header (RFC 7617), percent-decoded."""
    target = parse_url("ws://Aladdin:open%20sesame@a/")
    assert target.authorization == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert "sesame" not in repr(target)
    assert "QWxh" not in repr(target)


@pytest.mark.parametrize(
    ("location", "led_to"),
    [
        ("/other?t=1", "wss://a:444/other"),
        ("next", "wss://a:444/p/next"),
        ("https://b/x", "wss://b/x"),
        ("wss://b/x", "wss://b/x"),
        ("//b:9/y", "wss://b:9/y"),
        ("?only=query", "wss://a:444/p/q"),
    ],
)
def test_redirects_lead_on(location: str, led_to: str) -> None:
    """A Location may be relative, and http(s) stands for ws(s)."""
    assert str(follow_redirect(parse_url("wss://a:444/p/q"), location)) == led_to


def test_user_and_password_follow_within_the_origin_only() -> None:
    """A redirect keeps the URL's own credentials within its origin, and drops them beyond."""
    target = parse_url("wss://user:pw@a/")
    assert follow_redirect(target, "/next").authorization == target.authorization
    assert follow_redirect(target, "wss://b/next").authorization is None


@pytest.mark.parametrize("location", ["ws://a/", "http://a/", "ftp://a/", "wss://", "wss://[x"])
def test_redirects_to_nowhere_or_plain_text_are_refused(location: str) -> None:
    """A redirect from TLS to plain text, or to no WebSocket, is a protocol failure."""
    with pytest.raises(wsguard.TransportError) as caught:
        follow_redirect(parse_url("wss://a/"), location)
    assert caught.value.kind is wsguard.FailureKind.PROTOCOL


@given(st.text())
def test_safe_url_never_shows_a_secret(text: str) -> None:
    """Whatever the URL, neither what stands before @ nor the query is shown."""
    shown = safe_url(f"ws://user:s3cret@host/path?token=s3cret{text}")
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("1e9", None),
    ],
)
def test_retry_after_in_both_forms(value: str | None, seconds: float | None) -> None:
    """Seconds and HTTP dates are read; the past is now; anything else is ignored."""
    assert retry_after_seconds(value, now=100) == seconds


@given(st.text() | st.integers().map(str))
def test_retry_after_never_raises(value: str) -> None:
    """Any header gives nothing, or seconds that are finite and not negative."""
    seconds = retry_after_seconds(value)
    assert seconds is None or 0 <= seconds < 1e13
