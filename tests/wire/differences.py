"""Every deliberate difference from what next-auth 4 answered, in one table: the replay's tests and the docs read it.

`python -m tests.wire.differences` writes the table into `docs/compatibility.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.wire.recorded import exchanges

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN = "<!-- table: begin (written by `python -m tests.wire.differences`) -->"
END = "<!-- table: end -->"


@dataclass(frozen=True)
class Difference:
    """In these exchanges this field is `ours` instead of `recorded`; an empty text: the field is not there.

    `where` names the exchanges in the docs when they are too many to list.
    """

    field: str
    recorded: str
    ours: str
    reason: str
    exchanges: tuple[str, ...]
    where: str = ""


BASE = "http://localhost:4001/api/auth"
FORM = "; Path=/; HttpOnly; SameSite=Lax"
CHECK = "<JWE>; Max-Age=900; Path=/; Expires=Mon, 23 Nov 2026 18:44:17 GMT; HttpOnly; SameSite=Lax"
GONE = "; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"
SESSION = "; Path=/; Expires=Wed, 23 Dec 2026 18:29:17 GMT; HttpOnly; SameSite=Lax"
CONFIGURATION = "There is a problem with the server configuration. Check the server logs for more information."

NOT_REPLAYED = {
    "email signin": "this version has no e-mail provider",
    "email signin, bad address": "this version has no e-mail provider",
    "email callback, wrong token": "this version has no e-mail provider",
    "email callback, no token": "this version has no e-mail provider",
    "email callback ok": "this version has no e-mail provider",
    "email callback reuse": "this version has no e-mail provider",
}

_POLLED = ("session update", "csrf with callbackUrl=foo", "csrf with callbackUrl=javascript:alert(1)")
_UNCACHED = tuple(
    one.label
    for one in exchanges()
    if "cache-control" not in dict(one.headers) and one.label not in {*_POLLED, *NOT_REPLAYED}
)
_MALFORMED = ("csrf with callbackUrl=foo", "csrf with callbackUrl=javascript:alert(1)")
_START = ("oauth signin, json=true, extra query",)
_FINISH = ("oauth callback ok (database session)",)
_CREDENTIALS_GET = ("GET callback/credentials",)

DIFFERENCES = [
    Difference(
        "status",
        "200",
        "403",
        "With 200 and an address without `error` the client reports success; now it reports `ok: false`.",
        ("credentials with bad csrf, json=true", "signout bad csrf, json=true"),
    ),
    Difference(
        "body",
        f'{{"url": "{BASE}/signin?csrf=true"}}',
        f'{{"url": "{BASE}/signin?csrf=true&error=MissingCSRF"}}',
        "The client looks for `error` in the address.",
        ("credentials with bad csrf, json=true",),
    ),
    Difference(
        "body",
        f'{{"url": "{BASE}/signout?csrf=true"}}',
        f'{{"url": "{BASE}/signout?csrf=true&error=MissingCSRF"}}',
        "The client looks for `error` in the address.",
        ("signout bad csrf, json=true",),
    ),
    Difference(
        "location",
        f"{BASE}/signin?csrf=true",
        f"{BASE}/signin?csrf=true&error=MissingCSRF",
        "The page then says what was wrong.",
        ("POST signin without csrf", "POST signin/fake without csrf"),
    ),
    Difference(
        "body",
        f'{{"url": "{BASE}/error?error=Custom%20failure%20%26%20more"}}',
        f'{{"url": "{BASE}/error?error=CredentialsSignin&provider=credentials"}}',
        "What the application's code raises is for its log, never for an address.",
        ("credentials authorize() throws",),
    ),
    Difference(
        "status",
        "500",
        "400",
        "A request that makes no sense is the client's mistake: no input of a browser leads to a 5xx.",
        _CREDENTIALS_GET,
    ),
    Difference(
        "body",
        "Error: Callback for provider type credentials not supported",
        "Error: This action with HTTP GET is not supported by NextAuth.js",
        "The answer to any action that is not supported.",
        _CREDENTIALS_GET,
    ),
    Difference(
        "cookie next-auth.callback-url",
        f"http://localhost:4001{FORM}",
        "",
        "An answer to what is not supported sets no cookies.",
        _CREDENTIALS_GET,
    ),
    Difference(
        "cookie next-auth.csrf-token",
        f"<token>|<hash>{FORM}",
        "",
        "An answer to what is not supported sets no cookies.",
        _CREDENTIALS_GET,
    ),
    Difference(
        "content-type",
        "",
        "text/plain",
        "Without a type a browser would guess one.",
        ("GET nope", "GET callback/nope", "GET callback/credentials", "GET _log", "POST providers without csrf"),
    ),
    Difference(
        "status", "500", "200", "A malformed `callbackUrl` is ignored, also when a cookie carries it.", _MALFORMED
    ),
    Difference(
        "body",
        f'{{"message": "{CONFIGURATION}"}}',
        '{"csrfToken": "<token>"}',
        "As if it had not been sent.",
        _MALFORMED,
    ),
    Difference(
        "cookie next-auth.callback-url", "", f"http://localhost:4001{FORM}", "As if it had not been sent.", _MALFORMED
    ),
    Difference("cookie next-auth.csrf-token", "", f"<token>|<hash>{FORM}", "As if it had not been sent.", _MALFORMED),
    Difference(
        "cookie next-auth.callback-url",
        f"http://localhost:4001//evil.example{FORM}",
        f"http://localhost:4001{FORM}",
        "Nothing that a browser or a proxy could read as another host is kept, not even as a path.",
        ("csrf with callbackUrl=//evil.example",),
    ),
    Difference(
        "cookie next-auth.pkce.code_verifier",
        CHECK,
        "",
        "One sealed cookie for each sign-in carries all of it, so that tabs do not overwrite each other.",
        _START,
    ),
    Difference("cookie next-auth.state", CHECK, "", "In the cookie of the sign-in.", _START),
    Difference(
        "cookie sojourn.transaction.<id>", "", CHECK, "The cookie of the sign-in, named after its state.", _START
    ),
    Difference("cookie next-auth.pkce.code_verifier", GONE, "", "In the cookie of the sign-in.", _FINISH),
    Difference("cookie next-auth.state", GONE, "", "In the cookie of the sign-in.", _FINISH),
    Difference(
        "cookie sojourn.transaction.<id>",
        "",
        GONE,
        "Deleted when the sign-in ends, also when it fails; what it carried can be spent once only.",
        _FINISH,
    ),
    Difference(
        "cookie next-auth.session-token",
        f"<opaque>{SESSION}",
        f"<JWE>{SESSION}",
        "This version keeps sessions in the token; sessions in a store come with a later one.",
        ("oauth callback ok (database session)", "session (database)"),
    ),
    Difference(
        "cookie __Secure-next-auth.callback-url",
        "http://localhost:4001; Path=/; HttpOnly; Secure; SameSite=Lax",
        "https://localhost:4001; Path=/; HttpOnly; Secure; SameSite=Lax",
        "The recorder forced secure cookies on an `http` address; here they follow from `base_url`.",
        ("secure cookies: csrf",),
    ),
    Difference(
        "cache-control",
        "",
        "private, no-cache, no-store",
        "What carries a session or a CSRF token is never kept by anybody between server and browser.",
        _POLLED,
    ),
    Difference(
        "cache-control",
        "",
        "private, no-store",
        "What depends on a cookie or sets one is never kept by anybody between server and browser.",
        _UNCACHED,
        where="every other exchange, but for `GET /csrf` and `GET /session`, where next-auth has it too",
    ),
]


def expected(label: str) -> dict[str, tuple[str, str]]:
    """The differences of one exchange: field → (recorded, ours)."""
    found: dict[str, tuple[str, str]] = {}
    for difference in DIFFERENCES:
        if label in difference.exchanges:
            assert difference.field not in found, f"{label}: {difference.field} is listed twice"
            found[difference.field] = (difference.recorded, difference.ours)
    return found


def table() -> str:
    """The differences as Markdown."""
    lines = ["| exchanges | field | next-auth 4 | Sojourn | why |", "| --- | --- | --- | --- | --- |"]
    for one in DIFFERENCES:
        cells = (
            _cell(one.where or "; ".join(one.exchanges)),
            one.field,
            _code(one.recorded),
            _code(one.ours),
            _cell(one.reason),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Sent, but not compared:", ""]
    lines += [f"- {label}: {reason}" for label, reason in NOT_REPLAYED.items()]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else "-"


def written(document: str) -> str:
    """The document with the table of this module in its place."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
