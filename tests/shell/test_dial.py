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


@pytest.mark.parametrize(
    ("url", "is_secure", "socket_path", "resource"),
    [
        ("ws+unix:/run/a.sock", False, "/run/a.sock", "/"),
        ("ws+unix:///run/a.sock", False, "/run/a.sock", "/"),
        ("WSS+unix:/run/a.sock:/", True, "/run/a.sock", "/"),
        ("ws+unix:/a.sock:/v1/x:y?q=:1#z", False, "/a.sock", "/v1/x:y?q=:1"),
        ("ws+unix:/a.sock?q=1", False, "/a.sock", "/?q=1"),
        ("ws+unix:/a%3Ab%20c.sock:/ü", False, "/a:b c.sock", "/%C3%BC"),
    ],
)
def test_urls_of_unix_sockets_are_read(
    url: str, is_secure: bool, socket_path: str, resource: str
) -> None:
    """The first colon ends the path of a socket, as in npm's ws; the host is localhost."""
    target = parse_url(url)
    assert (target.is_secure, target.socket_path) == (is_secure, socket_path)
    assert (target.resource, target.host_header) == (resource, "localhost")
    assert parse_url(str(target)).socket_path == socket_path


def test_a_unix_socket_is_an_origin_of_its_own() -> None:
    """Neither another socket nor localhost over TCP is the same origin."""
    urls = ["ws+unix:/a", "ws+unix:/A", "ws+unix:/b", "wss+unix:/a", "ws://localhost/"]
    assert len({parse_url(url).origin for url in urls}) == 5
    assert parse_url("ws+unix:/a:/x").origin == parse_url("ws+unix:///a:/y").origin


@pytest.mark.parametrize("text", ["a\x1b[31m", "\u202e", "\x00"])
def test_a_unix_socket_is_printed_safely(text: str) -> None:
    """Whatever the path, what is printed is plain text, without the query."""
    url = f"ws+unix:/{text}.sock:/x?token=s3cret"
    assert "s3cret" not in safe_url(url)
    assert safe_url(url).isprintable()
    if "\0" not in text:
        shown = str(parse_url(url))
        assert shown.isascii()
        assert shown.isprintable()
        assert "s3cret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "ws+unix:",
        "ws+unix:/",
        "ws+unix:a.sock",
        "ws+unix://a.sock",
        "ws+unix://user:s3cret@/a.sock",
        "ws+unix:/a.sock:x",
        "ws+unix:/a%00.sock",
        "ws+unix::/x",
        "http+unix:/a.sock",
    ],
)
def test_what_names_no_unix_socket_is_refused(url: str) -> None:
    """A socket needs an absolute path and nothing else."""
    with pytest.raises(wsguard.PolicyError) as caught:
        parse_url(url)
    assert caught.value.field == "url"
    assert "s3cret" not in str(caught.value)


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


@pytest.mark.parametrize(
    ("location", "resource"),
    [("/other?t=1", "/other?t=1"), ("next", "/p/next"), ("?only=query", "/p/q?only=query")],
)
def test_redirects_within_a_unix_socket(location: str, resource: str) -> None:
    """A Location without a host leads to another resource of the same socket."""
    led_to = follow_redirect(parse_url("ws+unix:/a.sock:/p/q"), location)
    assert (led_to.socket_path, led_to.resource) == ("/a.sock", resource)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("ws://a/", "ws+unix:/a.sock"),
        ("ws+unix:/a.sock", "ws+unix:/b.sock"),
        ("ws+unix:/a.sock", "ws://localhost/"),
        ("ws+unix:/a.sock", "//localhost/"),
        ("wss+unix:/a.sock", "https://b/"),
        ("ws+unix:/a.sock", "mailto:x@y"),
    ],
)
def test_no_redirect_crosses_a_unix_socket(url: str, location: str) -> None:
    """A redirect to a Unix socket, or away from one, is refused, and says so."""
    with pytest.raises(wsguard.TransportError, match="Unix socket") as caught:
        follow_redirect(parse_url(url), location)
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
