"""Tokens and cookies cross between Sojourn and the npm packages, both ways, with one secret and with several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sojourn import Auth, Claims, Session, SessionPolicy
from sojourn.errors import TokenError
from sojourn.http import Request
from tests.node.real_parts import PackageError, TokenPackages

pytestmark = pytest.mark.browser

URL = "http://localhost:3000"
OLD, NEW = "the secret that was", "the secret that is now"
COOKIE = {"nextauth-v4": "next-auth.session-token", "authjs-v5": "authjs.session-token"}
PACKAGE = {"nextauth-v4": "v4", "authjs-v5": "v5"}


class Everything(Claims):
    """Claims with a member of the application's own."""

    is_sponsor: bool = False
    notes: str = ""


NAMED = {*Everything.__struct_encode_fields__, "nbf", "iss", "aud", "__proto__"}

# What npm's JSON writes and reads back unchanged: no lone surrogates, integers that a double holds.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(texts.filter(lambda name: name not in NAMED), values, max_size=4)
claim_sets = st.builds(
    lambda more, sub, name, email: {**more, "sub": sub, "name": name, "email": email},
    extras,
    texts.filter(bool),
    st.none() | texts,
    st.none() | texts,
)
fifty = settings(
    max_examples=50,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
both = pytest.mark.parametrize("compat", ["nextauth-v4", "authjs-v5"])


def make_auth(compat: str, *secrets: str) -> Auth[Everything]:
    return Auth(secrets=list(secrets or (NEW,)), base_url=URL, compat=compat, claims=Everything)


def every_read() -> SessionPolicy:
    """Extend at every read, as next-auth does."""
    return SessionPolicy(max_age="1h", update_age="0s")


def as_long_as_theirs(compat: str) -> Auth[Everything]:
    """Sessions of 30 days, the packages' default: a token that lives longer than `max_age` is refused."""
    return Auth(secret=NEW, base_url=URL, compat=compat, claims=Everything, session=SessionPolicy(max_age="30d"))


def read_by_package(packages: TokenPackages, compat: str, cookies: list[tuple[str, str]], secret: object) -> Any:
    """What the package's own `getToken` makes of a Cookie header."""
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    return packages.call(f"{PACKAGE[compat]}.getToken", cookie=header, secret=secret, cookieName=COOKIE[compat])


def made_by_package(
    packages: TokenPackages, compat: str, claims: dict[str, Any], secret: object, max_age: int = 3600
) -> str:
    salt = {"salt": COOKIE[compat]} if compat == "authjs-v5" else {}
    token: str = packages.call(f"{PACKAGE[compat]}.encode", claims=claims, secret=secret, maxAge=max_age, **salt)
    return token


async def load(auth: Auth[Everything], cookies: list[tuple[str, str]]) -> Session[Everything] | None:
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    return (await auth.load(Request(method="GET", path="/", headers={"cookie": header}))).session


@both
@fifty
@given(sub=texts.filter(bool), name=st.none() | texts, email=st.none() | texts, sponsor=st.booleans())
def test_the_package_reads_our_cookie(
    packages: TokenPackages, compat: str, sub: str, name: str | None, email: str | None, sponsor: bool
) -> None:
    auth = make_auth(compat)
    token = auth.issue(Everything(sub=sub, name=name, email=email, is_sponsor=sponsor))
    seen = read_by_package(packages, compat, [(COOKIE[compat], token)], NEW)
    assert {key: seen.get(key) for key in ("sub", "name", "email", "isSponsor")} == {
        "sub": sub,
        "name": name,
        "email": email,
        "isSponsor": sponsor,
    }
    session = auth.verify(token)
    assert seen["sid"] == session.sid
    assert (seen["iat"], seen["exp"], seen["auth_time"]) == (session.issued_at, session.expires_at, session.auth_time)


@both
@fifty
@given(claims=claim_sets)
def test_we_read_the_packages_token(packages: TokenPackages, compat: str, claims: dict[str, Any]) -> None:
    session = make_auth(compat).verify(made_by_package(packages, compat, claims, NEW))
    assert (session.user_id, session.claims.name, session.claims.email) == (
        claims["sub"],
        claims["name"],
        claims["email"],
    )
    assert session.expires_at - session.issued_at == 3600


@both
async def test_members_of_a_foreign_token_survive_our_refresh(packages: TokenPackages, compat: str) -> None:
    auth = Auth(secret=NEW, base_url=URL, compat=compat, claims=Everything, session=every_read())
    claims = {"sub": "1", "isSponsor": True, "theme": {"dark": [1, "✓", None]}}
    token = made_by_package(packages, compat, claims, NEW)
    loaded = await auth.load(Request(method="GET", path="/", headers={"cookie": f"{COOKIE[compat]}={token}"}))
    [cookie] = loaded.cookies
    seen = read_by_package(packages, compat, [(cookie.name, cookie.value)], NEW)
    assert (seen["theme"], seen["isSponsor"]) == (claims["theme"], True)


@both
async def test_long_tokens_are_split_the_same_way_and_read_by_both(packages: TokenPackages, compat: str) -> None:
    auth, name = make_auth(compat), COOKIE[compat]
    token = made_by_package(packages, compat, {"sub": "1", "notes": "x" * 9000}, NEW)
    theirs = [(part, value) for part, value in packages.call(f"{PACKAGE[compat]}.split", name=name, token=token)]
    assert [part for part, _ in theirs] == [f"{name}.{n}" for n in range(len(theirs))]
    assert len(theirs) > 2
    session = await load(auth, theirs)
    assert session is not None
    assert session.claims.notes == "x" * 9000

    extended = Auth(secret=NEW, base_url=URL, compat=compat, claims=Everything, session=every_read())
    header = "; ".join(f"{part}={value}" for part, value in theirs)
    loaded = await extended.load(Request(method="GET", path="/", headers={"cookie": header}))
    ours = [(cookie.name, cookie.value) for cookie in loaded.cookies]
    whole = "".join(value for _, value in ours)
    assert ours == [tuple(pair) for pair in packages.call(f"{PACKAGE[compat]}.split", name=name, token=whole)]
    assert read_by_package(packages, compat, ours, NEW)["notes"] == "x" * 9000


@both
def test_a_token_of_another_secret_is_refused_by_name(packages: TokenPackages, compat: str) -> None:
    with pytest.raises(TokenError) as refused:
        make_auth(compat, NEW).verify(made_by_package(packages, compat, {"sub": "1"}, OLD))
    assert refused.value.step == "key"
    ours = make_auth(compat, OLD).issue(Everything(sub="1"))
    assert read_by_package(packages, compat, [(COOKIE[compat], ours)], NEW) is None


@both
def test_an_expired_token_is_expired_for_both(packages: TokenPackages, compat: str) -> None:
    token = made_by_package(packages, compat, {"sub": "1"}, NEW, max_age=-100)
    with pytest.raises(TokenError) as refused:
        make_auth(compat).verify(token)
    assert refused.value.step == "expired"
    salt = {"salt": COOKIE[compat]} if compat == "authjs-v5" else {}
    with pytest.raises(PackageError):
        packages.call(f"{PACKAGE[compat]}.decode", token=token, secret=NEW, **salt)


def test_several_secrets_cross_both_ways_under_v5(packages: TokenPackages) -> None:
    compat, name = "authjs-v5", COOKIE["authjs-v5"]
    both_secrets = make_auth(compat, NEW, OLD)
    assert both_secrets.verify(made_by_package(packages, compat, {"sub": "1"}, [OLD])).user_id == "1"
    assert both_secrets.verify(made_by_package(packages, compat, {"sub": "2"}, [NEW, OLD])).user_id == "2"
    old = make_auth(compat, OLD).issue(Everything(sub="3"))
    assert read_by_package(packages, compat, [(name, old)], [NEW, OLD])["sub"] == "3"
    # The newest secret writes: a server that knows no other still reads it.
    assert read_by_package(packages, compat, [(name, both_secrets.issue(Everything(sub="4")))], [NEW])["sub"] == "4"


def test_several_secrets_under_v4_read_what_a_v4_server_wrote_with_any_of_them(packages: TokenPackages) -> None:
    auth = make_auth("nextauth-v4", NEW, OLD)
    for secret in (NEW, OLD):
        assert auth.verify(made_by_package(packages, "nextauth-v4", {"sub": secret}, secret)).user_id == secret
    ours = auth.issue(Everything(sub="5"))
    assert read_by_package(packages, "nextauth-v4", [(COOKIE["nextauth-v4"], ours)], NEW)["sub"] == "5"


def test_under_v5_a_token_is_bound_to_its_cookies_name(packages: TokenPackages) -> None:
    token = packages.call("v5.encode", claims={"sub": "1"}, secret=NEW, salt="__Secure-authjs.session-token", maxAge=60)
    with pytest.raises(TokenError) as refused:
        make_auth("authjs-v5").verify(token)
    assert refused.value.step == "key"
    secure = Auth(secret="0123456789abcdefghijklmnopqrstuvwxyz", base_url="https://app.example", compat="authjs-v5")
    ours = secure.issue(Claims(sub="7"))
    header = f"__Secure-authjs.session-token={ours}"
    seen = packages.call("v5.getToken", cookie=header, secret="0123456789abcdefghijklmnopqrstuvwxyz", secureCookie=True)
    assert seen["sub"] == "7"


def csrf_pair(headers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The CSRF cookie that an answer sets."""
    [line] = [value for name, value in headers if name == "Set-Cookie" and "csrf-token" in value]
    name, _, value = line.partition(";")[0].partition("=")
    return name, value


@both
async def test_the_packages_server_takes_over_our_session_and_we_take_over_its(
    packages: TokenPackages, compat: str
) -> None:
    auth, name = as_long_as_theirs(compat), COOKIE[compat]
    ours = auth.issue(Everything(sub="1", name="Ada", email="ada@app.example", picture="https://app.example/ada.png"))
    wanted = {"name": "Ada", "email": "ada@app.example", "image": "https://app.example/ada.png"}
    server = {"secret": NEW, "origin": URL}
    answer = packages.call(f"{PACKAGE[compat]}.answer", action="session", cookie=f"{name}={ours}", **server)
    assert answer["body"]["user"] == wanted
    # The package has made a new token from ours; it is the same session to us.
    theirs = [(cookie, value) for cookie, value in answer["cookies"] if cookie == name]
    session = await load(auth, theirs)
    assert session is not None
    assert (session.sid, session.auth_time) == (auth.verify(ours).sid, auth.verify(ours).auth_time)


@both
async def test_csrf_pairs_are_good_on_both_sides(packages: TokenPackages, compat: str) -> None:
    auth = make_auth(compat)
    await auth.start()
    made = await auth.handle(Request(method="GET", path="/api/auth/csrf"))
    name, value = csrf_pair(made.headers)
    server = {"secret": NEW, "origin": URL}
    theirs = packages.call(f"{PACKAGE[compat]}.answer", action="csrf", cookie=f"{name}={unquote(value)}", **server)
    assert theirs["body"] == json.loads(made.body)

    fresh = packages.call(f"{PACKAGE[compat]}.answer", action="csrf", cookie="", **server)
    pair = dict(fresh["cookies"])[name]
    header = f"{name}={pair if '%' in pair else quote(pair)}"
    ours = await auth.handle(Request(method="GET", path="/api/auth/csrf", headers={"cookie": header}))
    assert json.loads(ours.body) == fresh["body"]
    await auth.aclose()
