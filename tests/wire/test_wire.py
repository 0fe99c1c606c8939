"""Every recorded exchange of a real next-auth 4 is sent to Sojourn, and the answers are compared field by field."""

from __future__ import annotations

import json

import pytest

from sojourn.http import Response
from tests.wire import differences
from tests.wire.recorded import Exchange, compared, exchanges
from tests.wire.replay import SESSION, Browser, csrf_token_of

RECORDED = exchanges()
LABELS = [exchange.label for exchange in RECORDED]

# Exchanges that one browser made, in a row, by the first and last label; every other one came from a new browser.
WALKS = [
    ("csrf, no cookies", "session with undecodable cookie"),
    ("oauth signin, json=true, extra query", "signout (database)"),
    ("oauth callback, wrong state", "oauth callback, provider error"),
    ("email signin", "email callback reuse"),
]
RECORDED_STATE = "wxwIVzFuUqwH5ayVw3ptlzCqOPVRmMW3a-8ad4vrTgk"
RECORDED_CSRF = "61f976a94c0f836f044bf66f7b44d7db76c8e282c048bf4ec95e0ce9df503f89"


def walk_of(label: str) -> list[Exchange]:
    """This exchange and those that its browser made before it."""
    position = LABELS.index(label)
    for first, last in WALKS:
        start = LABELS.index(first)
        if start <= position <= LABELS.index(last):
            return RECORDED[start : position + 1]
    return [RECORDED[position]]


async def prepare(browser: Browser, exchange: Exchange) -> Exchange:
    """What the recorder's browser did between the recorded requests; the exchange as ours has to send it."""
    match exchange.label:
        case "csrf again: same token, nothing re-set":
            # From here on with the recorder's own pair: the same secret accepts it.
            browser.knows(RECORDED_CSRF)
        case "oauth callback, wrong state":
            browser.knows("0" * 64)
            await browser.request("POST", "/signin/fake", f"csrfToken={'0' * 64}")
        case "session with undecodable cookie":
            browser.cookies[SESSION] = "garbage"
        case _:
            token = csrf_token_of(exchange)
            if token and token not in browser.cookies.get("next-auth.csrf-token", ""):
                browser.knows(token)
    return Exchange(**{**vars(exchange), "path": exchange.path.replace(RECORDED_STATE, browser.state)})


async def replay(label: str) -> Response:
    steps = walk_of(label)
    browser = Browser(steps[0].config)
    await browser.auth.start()
    for exchange in steps[:-1]:
        await browser.send(await prepare(browser, exchange))
    response = await browser.send(await prepare(browser, steps[-1]))
    await browser.auth.aclose()
    return response


@pytest.mark.parametrize("label", [label for label in LABELS if label not in differences.NOT_REPLAYED])
async def test_exchange(label: str) -> None:
    exchange = RECORDED[LABELS.index(label)]
    response = await replay(label)
    theirs = compared(exchange.status, exchange.headers, exchange.answer)
    ours = compared(response.status, response.headers, response.body.decode())
    different = {
        field: (theirs.get(field, ""), ours.get(field, ""))
        for field in sorted({*theirs, *ours})
        if theirs.get(field) != ours.get(field)
    }
    assert different == differences.expected(label)


@pytest.mark.parametrize("label", differences.NOT_REPLAYED)
async def test_what_is_not_offered_is_refused_without_a_session(label: str) -> None:
    response = await replay(label)
    assert response.status < 500
    assert not any(SESSION in value for name, value in response.headers if name == "Set-Cookie")


async def test_the_session_cookie_that_next_auth_made_is_a_session_here() -> None:
    signed_in = RECORDED[LABELS.index("credentials good, json=true")]
    shown = RECORDED[LABELS.index("session, signed in (JWT)")]
    browser = Browser("jwt")
    [cookie] = [value for name, value in signed_in.headers if name == "set-cookie" and value.startswith(SESSION)]
    browser.cookies[SESSION] = cookie.partition(";")[0].partition("=")[2]
    response = await browser.send(shown)
    assert json.loads(response.body)["user"] == json.loads(shown.answer)["user"]


def test_every_label_of_the_table_is_an_exchange() -> None:
    named = {label for difference in differences.DIFFERENCES for label in difference.exchanges}
    assert named | differences.NOT_REPLAYED.keys() <= set(LABELS)
    assert len(LABELS) == len(set(LABELS)) == 57


def test_the_docs_show_the_table() -> None:
    document = differences.DOCUMENT.read_text(encoding="utf-8")
    assert differences.written(document) == document
