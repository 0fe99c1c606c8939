"""The ASGI adapter by itself, before an Auth that records what it is asked."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import anyio
import pytest

from sojourn.adapters.asgi import ASGIApp, RawHeaders, SojournMiddleware, load_session, routed_path
from sojourn.auth import Auth
from sojourn.cookies import Cookie
from sojourn.errors import BadRequest, ConfigError
from sojourn.flows.session import Loaded
from sojourn.http import MAX_BODY, Request, Response, json_response
from sojourn.models import Claims, Session

Message = dict[str, Any]

SESSION = Session(claims=Claims(sub="1"), sid="s", user_id="1", issued_at=1, expires_at=2, auth_time=1)
READ: Loaded[Claims] = Loaded(session=SESSION)
EXTENDED: Loaded[Claims] = Loaded(session=SESSION, cookies=(Cookie(name="a", value="1"), Cookie(name="b", value="2")))


class RecordingAuth:
    """Counts what the adapter asks for, and answers what the test says."""

    base_path = "/api/auth"

    def __init__(self, loaded: Loaded[Claims] = READ) -> None:
        self.loaded = loaded
        self.loads: list[Request] = []
        self.handled: list[Request] = []
        self.lifespan: list[str] = []
        self.release: anyio.Event | None = None
        self.failure: Exception | None = None
        self.response = json_response({"ok": True})

    async def start(self) -> None:
        self.lifespan.append("start")
        if self.failure is not None:
            raise self.failure

    async def aclose(self) -> None:
        self.lifespan.append("close")

    async def load(self, request: Request) -> Loaded[Claims]:
        self.loads.append(request)
        if self.release is not None:
            await self.release.wait()
        if self.failure is not None:
            raise self.failure
        return self.loaded

    def current(self, cookie_header: str) -> Loaded[Claims] | None:
        return None

    async def handle(self, request: Request) -> Response:
        self.handled.append(request)
        if self.failure is not None:
            raise self.failure
        return self.response

    @property
    def typed(self) -> Auth[Claims]:
        return cast("Auth[Claims]", self)


def scope_of(
    path: str, *, kind: str = "http", method: str = "GET", headers: tuple[tuple[str, str], ...] = (), **more: Any
) -> Message:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "path": path, "query_string": b"a=1", "headers": raw, "http_version": "1.1", **more}
    return scope if kind == "websocket" else {**scope, "method": method}


async def ask(app: ASGIApp, scope: Message, *bodies: Message) -> list[Message]:
    """Everything that `app` sends for one scope."""
    incoming = list(bodies) or [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent


def headers_of(message: Message) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in message["headers"]]


def app_that(
    auth: RecordingAuth,
    *,
    loads: int = 1,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    start: str = "http.response.start",
    late: bool = False,
) -> ASGIApp:
    """An application that asks for its session `loads` times, before or after its response started."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def load() -> None:
            for _ in range(loads):
                assert (await load_session(scope, auth.typed)) is auth.loaded

        if not late:
            await load()
        await send({"type": start, "status": 200, "headers": list(headers)})
        if late:
            await load()

    return SojournMiddleware(app, auth.typed)


async def test_a_request_that_never_asks_is_left_alone() -> None:
    auth = RecordingAuth(EXTENDED)
    sent = await ask(app_that(auth, loads=0, headers=((b"x-own", b"1"),)), scope_of("/page"))
    assert auth.loads == []
    assert headers_of(sent[0]) == [("x-own", "1")]


async def test_the_session_is_loaded_once_per_request() -> None:
    auth = RecordingAuth()
    await ask(app_that(auth, loads=3), scope_of("/page", headers=(("cookie", "a=1"),), client=("10.0.0.1", 5)))
    (request,) = auth.loads
    assert (request.method, request.path, request.query, request.client) == ("GET", "/page", "a=1", "10.0.0.1")
    assert request.headers["cookie"] == "a=1"


async def test_tasks_of_one_request_share_one_load() -> None:
    auth = RecordingAuth()
    auth.release = anyio.Event()
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def read() -> None:
            seen.append(await load_session(scope, auth.typed))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert auth.release is not None
            auth.release.set()

    await ask(SojournMiddleware(app, auth.typed), scope_of("/page"))
    assert len(auth.loads) == 1
    assert seen == [READ] * 3


async def test_a_load_that_fails_is_not_remembered() -> None:
    auth = RecordingAuth()
    auth.failure = RuntimeError("boom")
    outcomes: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError, match="boom"):
            await load_session(scope, auth.typed)
        auth.failure = None
        outcomes.append(await load_session(scope, auth.typed))

    await ask(SojournMiddleware(app, auth.typed), scope_of("/page"))
    assert outcomes == [READ]


@pytest.mark.parametrize("mounted", [None, "another"])
async def test_asking_an_auth_that_is_not_mounted_says_so(mounted: str | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await load_session(scope, RecordingAuth().typed)

    whole: ASGIApp = SojournMiddleware(app, RecordingAuth().typed) if mounted else app
    with pytest.raises(ConfigError, match="mount"):
        await ask(whole, scope_of("/page"))


async def test_an_extended_session_puts_its_cookies_and_no_store_on_the_response() -> None:
    caching = (
        (b"Cache-Control", b"public, max-age=60"),
        (b"cdn-cache-control", b"max-age=9"),
        (b"expires", b"1"),
        (b"vary", b"Accept"),
    )
    sent = await ask(app_that(RecordingAuth(EXTENDED), headers=caching), scope_of("/page"))
    assert headers_of(sent[0]) == [
        ("vary", "Accept, Cookie"),
        ("cache-control", "private, no-store"),
        ("set-cookie", Cookie(name="a", value="1").header()),
        ("set-cookie", Cookie(name="b", value="2").header()),
    ]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ((), [("cache-control", "private"), ("vary", "Cookie")]),
        (((b"vary", b"accept, COOKIE"),), [("vary", "accept, COOKIE"), ("cache-control", "private")]),
        (((b"vary", b"*"),), [("vary", "*"), ("cache-control", "private")]),
        (((b"cache-control", b"max-age=1"),), [("cache-control", "max-age=1"), ("vary", "Cookie")]),
    ],
)
async def test_a_session_that_was_only_read_marks_the_response_as_private(
    own: tuple[tuple[bytes, bytes], ...], expected: list[tuple[str, str]]
) -> None:
    sent = await ask(app_that(RecordingAuth(), headers=own), scope_of("/page"))
    assert headers_of(sent[0]) == expected


async def test_a_session_asked_for_after_the_response_started_is_valid_and_writes_nothing() -> None:
    auth = RecordingAuth(EXTENDED)
    sent = await ask(app_that(auth, late=True), scope_of("/page"))
    assert len(auth.loads) == 1
    assert headers_of(sent[0]) == []


async def test_a_websocket_gets_its_cookies_with_the_handshake() -> None:
    sent = await ask(app_that(RecordingAuth(EXTENDED), start="websocket.accept"), scope_of("/ws", kind="websocket"))
    assert [name for name, _ in headers_of(sent[0])] == ["set-cookie", "set-cookie"]


@pytest.mark.parametrize("path", ["/api/auth", "/api/auth/", "/api/auth/session", "/api/auth//session"])
async def test_everything_under_the_base_path_is_answered(path: str) -> None:
    auth = RecordingAuth()
    sent = await ask(app_that(auth), scope_of(path))
    assert [request.path for request in auth.handled] == [path]
    assert sent[0]["status"] == 200
    assert ("content-length", str(len(sent[1]["body"]))) in headers_of(sent[0])


@pytest.mark.parametrize(
    "path", ["/api/authors", "//api/auth/session", "/x/api/auth/session", "/api/auth2/session", "/API/AUTH/session"]
)
async def test_what_only_looks_like_the_base_path_is_the_applications(path: str) -> None:
    auth = RecordingAuth()
    await ask(app_that(auth, loads=0), scope_of(path))
    assert auth.handled == []


@pytest.mark.parametrize(
    ("root", "path", "routed"),
    [
        ("", "/a", "/a"),
        ("/sub", "/sub/api/auth/session", "/api/auth/session"),
        ("/sub", "/sub", ""),
        ("/sub", "/subway", "/subway"),
        ("/sub", "/a", "/a"),
    ],
)
def test_the_path_is_the_routed_one(root: str, path: str, routed: str) -> None:
    assert routed_path({"path": path, "root_path": root}) == routed


async def test_a_websocket_under_the_base_path_is_the_applications() -> None:
    auth = RecordingAuth()
    await ask(app_that(auth, start="websocket.accept"), scope_of("/api/auth/session", kind="websocket"))
    assert auth.handled == []


async def test_head_has_the_length_and_no_body() -> None:
    sent = await ask(app_that(RecordingAuth()), scope_of("/api/auth/session", method="HEAD"))
    assert sent[1]["body"] == b""
    assert ("content-length", "11") in headers_of(sent[0])


async def test_an_answer_without_content_has_no_length() -> None:
    auth = RecordingAuth()
    auth.response = Response(status=204)
    sent = await ask(app_that(auth), scope_of("/api/auth/verify"))
    assert headers_of(sent[0]) == []


async def test_a_body_arrives_whole() -> None:
    auth = RecordingAuth()
    parts = ({"type": "http.request", "body": b"a=", "more_body": True}, {"type": "http.request", "body": b"1"})
    await ask(app_that(auth), scope_of("/api/auth/signin", method="POST"), *parts)
    assert auth.handled[0].body == b"a=1"


async def test_a_client_that_leaves_midway_gets_no_answer() -> None:
    auth = RecordingAuth()
    parts = ({"type": "http.request", "body": b"a=", "more_body": True}, {"type": "http.disconnect"})
    assert await ask(app_that(auth), scope_of("/api/auth/signin", method="POST"), *parts) == []
    assert auth.handled == []


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("version", ["1.1", "2"])
async def test_a_body_over_the_limit_is_refused_before_it_is_read(declared: bool, version: str) -> None:
    auth = RecordingAuth()
    headers = (("content-length", str(MAX_BODY + 1)),) if declared else ()
    chunk = {"type": "http.request", "body": b"x" * (MAX_BODY // 2 + 1), "more_body": True}
    parts = () if declared else (chunk, chunk)
    scope = scope_of("/api/auth/signin", method="POST", headers=headers, http_version=version)
    sent = await ask(app_that(auth), scope, *parts)
    assert auth.handled == []
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "body_too_large"
    assert (("connection", "close") in headers_of(sent[0])) is (version == "1.1")


async def test_a_body_at_the_limit_is_read() -> None:
    auth = RecordingAuth()
    headers = (("content-length", str(MAX_BODY)),)
    body = {"type": "http.request", "body": b"x" * MAX_BODY, "more_body": False}
    await ask(app_that(auth), scope_of("/api/auth/signin", method="POST", headers=headers), body)
    assert len(auth.handled[0].body) == MAX_BODY


async def test_a_bad_request_is_a_problem_document() -> None:
    auth = RecordingAuth()
    auth.failure = BadRequest("invalid_body", "That is not JSON.")
    sent = await ask(app_that(auth), scope_of("/api/auth/session", method="POST"))
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "invalid_body"


async def test_an_unexpected_failure_is_one_500_without_detail_and_one_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    auth = RecordingAuth()
    auth.failure = RuntimeError("SELECT secret FROM table")
    with caplog.at_level(logging.ERROR, logger="sojourn"):
        sent = await ask(app_that(auth), scope_of("/api/auth/se\r\nssion"))
    assert sent[0]["status"] == 500
    assert b"SELECT" not in sent[1]["body"]
    (record,) = caplog.records
    incident = cast("tuple[str, ...]", record.args)[0]
    assert incident in json.loads(sent[1]["body"])["detail"]
    assert "\n" not in record.getMessage()


async def test_a_header_that_no_server_can_send_is_a_500() -> None:
    auth = RecordingAuth()
    auth.response = Response(status=302, headers=(("Location", "/\u20ac"),))
    sent = await ask(app_that(auth), scope_of("/api/auth/session"))
    assert sent[0]["status"] == 500


async def test_what_the_application_raises_passes_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await ask(SojournMiddleware(app, RecordingAuth().typed), scope_of("/page"))


async def test_an_unknown_scope_is_the_applications() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        assert "sojourn" not in scope

    await ask(SojournMiddleware(app, RecordingAuth().typed), {"type": "timer"})
    assert seen == ["timer"]


LIFESPAN = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})


async def test_start_and_stop_enclose_the_applications_own_lifespan() -> None:
    auth = RecordingAuth()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        auth.lifespan.append("app up")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        auth.lifespan.append("app down")
        await send({"type": "lifespan.shutdown.complete"})

    sent = await ask(SojournMiddleware(app, auth.typed), {"type": "lifespan"}, *LIFESPAN)
    assert auth.lifespan == ["start", "app up", "app down", "close"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_an_application_without_a_lifespan_still_has_its_auth_started() -> None:
    auth = RecordingAuth()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError(scope["type"])

    sent = await ask(SojournMiddleware(app, auth.typed), {"type": "lifespan"}, *LIFESPAN)
    assert auth.lifespan == ["start", "close"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_is_reported_as_failed() -> None:
    auth = RecordingAuth()
    auth.failure = ConfigError("database", "nothing", "Set it.")
    sent: list[Message] = []
    app = app_that(auth)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    with pytest.raises(ConfigError):
        await app({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "database: nothing. Set it."}]


async def test_an_application_that_fails_in_its_lifespan_closes_the_auth_and_raises() -> None:
    auth = RecordingAuth()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await ask(SojournMiddleware(app, auth.typed), {"type": "lifespan"}, *LIFESPAN)
    assert auth.lifespan == ["start", "close"]


def test_headers_are_read_in_place() -> None:
    headers = RawHeaders([(b"cookie", b"a=1"), (b"host", b"h"), (b"cookie", b"b=2"), (b"x", b"1"), (b"x", b"2")])
    assert dict(headers) == {"cookie": "a=1; b=2", "host": "h", "x": "1, 2"}
    assert len(headers) == 3
    assert headers.get("y") is None
    with pytest.raises(KeyError):
        headers["y"]
