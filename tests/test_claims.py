"""Claims are typed on the way in, complete on the way out, and judged by the clock."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn import claims as module
from sojourn.claims import ENVELOPE, ClaimsCodec, check, for_user, judge, worst_case_size
from sojourn.errors import ConfigError, TokenError
from sojourn.keys import Keyring
from sojourn.models import Claims, Profile, User
from sojourn.tokens import AuthJSV5, NextAuthV4

NOW = 1_800_000_000


class MyClaims(Claims):
    username: str | None = None
    is_sponsor: bool = False


class Rich(Claims):
    roles: list[str] = msgspec.field(default_factory=list)
    nested: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


CODEC, RICH = ClaimsCodec(MyClaims), ClaimsCodec(Rich)
FULL = MyClaims(
    sub="1",
    name="Ada",
    email="ada@example.com",
    sid="s",
    auth_time=NOW,
    iat=NOW,
    exp=NOW + 60,
    jti="j",
    is_sponsor=True,
)


def refused(payload: bytes, codec: ClaimsCodec[Any] = CODEC) -> str:
    with pytest.raises(TokenError) as error:
        codec.decode(payload)
    assert error.value.step == "claims"
    return error.value.detail


def test_round_trip_and_names_on_the_wire() -> None:
    payload = CODEC.encode(FULL)
    assert CODEC.decode(payload) == FULL
    members = json.loads(payload)
    assert members["isSponsor"] is True
    assert members["auth_time"] == NOW
    assert b" " not in payload


@given(name=st.text(st.characters(exclude_categories=["Cs"])), sponsor=st.booleans(), iat=st.integers(-(2**40), 2**40))
def test_every_value_goes_round(name: str, sponsor: bool, iat: int) -> None:
    claims = FULL.replace(name=name, is_sponsor=sponsor, iat=iat, username=name)
    payload = CODEC.encode(claims)
    assert CODEC.decode(payload) == claims
    assert json.loads(payload)["name"] == name
    as_javascript = json.dumps(json.loads(payload), ensure_ascii=False, separators=(",", ":"))
    assert payload.decode() == as_javascript


def test_a_token_made_by_next_auth() -> None:
    payload = b'{"name":null,"email":"a@b.c","picture":null,"sub":"1","iat":1800000000,"exp":1800000060,"jti":"j"}'
    claims = CODEC.decode(payload)
    assert (claims.sub, claims.email, claims.sid, claims.auth_time, claims.exp) == ("1", "a@b.c", "", 0, NOW + 60)


REFUSED = {
    "no exp": b'{"sub":"1"}',
    "exp zero": b'{"sub":"1","exp":0}',
    "exp negative": b'{"sub":"1","exp":-1}',
    "exp null": b'{"sub":"1","exp":null}',
    "exp text": b'{"sub":"1","exp":"1800000060"}',
    "exp float": b'{"sub":"1","exp":1800000060.5}',
    "exp whole float": b'{"sub":"1","exp":1800000060.0}',
    "exp exponent": b'{"sub":"1","exp":1e300}',
    "exp boolean": b'{"sub":"1","exp":true}',
    "exp huge": b'{"sub":"1","exp":' + b"9" * 5000 + b"}",
    "sub number": b'{"sub":12345,"exp":1800000060}',
    "sub null": b'{"sub":null,"exp":1800000060}',
    "iat text": b'{"sub":"1","iat":"x","exp":1800000060}',
    "sponsor text": b'{"sub":"1","isSponsor":"yes","exp":1800000060}',
    "array": b"[]",
    "number": b"1",
    "empty": b"",
    "single quotes": b"{'exp':1800000060}",
    "byte order mark": b'\xef\xbb\xbf{"exp":1800000060}',
    "bad UTF-8": b'{"exp":1800000060,"name":"\xff"}',
    "bad UTF-8 in a stranger": b'{"exp":1800000060,"x":"\xff"}',
    "bad UTF-8 in an odd name": b'{"exp":1800000060,"\xff":1}',
    "encoded surrogate in a stranger": b'{"exp":1800000060,"x":"\xed\xa0\x80"}',
    "half a pair": b'{"exp":1800000060,"name":"\\ud83d"}',
    "half a pair in a stranger": b'{"exp":1800000060,"x":"\\ud83d"}',
    "half a pair inside": b'{"exp":1800000060,"x":{"y":"\\udc00 "}}',
    "NaN": b'{"exp":1800000060,"x":NaN}',
    "infinite": b'{"exp":1800000060,"x":1e309}',
    "long integer": b'{"exp":1800000060,"x":' + b"9" * 5000 + b"}",
    "depth bomb": b'{"exp":1800000060,"x":' + b"[" * 9000 + b"]" * 9000 + b"}",
    "object bomb": b'{"exp":1800000060,"x":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
    "twice": b'{"sub":"1","sub":"1","exp":1800000060}',
    "twice, another between": b'{"exp":1,"sub":"1","exp":1800000060}',
    "twice by escape": b'{"sub":"1","s\\u0075b":"2","exp":1800000060}',
    "twice by escape, both": b'{"s\\u0075b":"1","s\\u0075b":"2","exp":1800000060}',
    "twice with spaces": b'{"sub" :"1","sub" :"2","exp" :1800000060}',
    "twice, one space": b'{"sub" :"1","sub":"2","exp":1800000060}',
    "twice, tab": b'{"sub"\t:"1","sub":"2","exp":1800000060}',
    "twice, line": b'{"sub"\n:"1","sub":"2","exp":1800000060}',
    "twice, return": b'{"sub"\r:"1","sub":"2","exp":1800000060}',
    "twice, hidden by a text": b'{"sub" :"1","sub":"a\\":","exp":1800000060}',
    "a stranger twice": b'{"exp":1800000060,"x":1,"x":1}',
    "inside twice": b'{"exp":1800000060,"x":{"y":1,"y":1}}',
    "nbf text": b'{"exp":1800000060,"nbf":"1"}',
    "nbf null": b'{"exp":1800000060,"nbf":null}',
    "nbf float": b'{"exp":1800000060,"nbf":1.5}',
    "nbf boolean": b'{"exp":1800000060,"nbf":true}',
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED.keys())
def test_payloads_that_are_refused(payload: bytes) -> None:
    refused(payload)


def test_a_refusal_quotes_no_value() -> None:
    assert "hunter2" not in refused(b'{"exp":1800000060,"isSponsor":"hunter2"}')


def members_of(text: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=lambda found: found)
    return pairs


names = st.sampled_from(["sub", "name", "x", "exp", '"', "a:b", "é"])
values = st.sampled_from(["1", '":', " :", "é\n"]) | st.lists(st.just('":'), max_size=2)


@given(st.lists(st.tuples(names, values), max_size=5), st.sampled_from([":", " :", ": ", "\n:"]), st.booleans())
def test_a_name_twice_is_always_seen(pairs: list[tuple[str, Any]], colon: str, escaped: bool) -> None:
    """Every spelling of every name: refused if and only if one comes twice."""
    fields = [*((name, value) for name, value in pairs if name != "exp"), ("exp", NOW)]
    texts = [
        (f'"\\u{ord(name[0]):04x}{name[1:]}"' if escaped and name.isalpha() else json.dumps(name))
        + colon
        + json.dumps(value)
        for name, value in fields
    ]
    payload = ("{" + ",".join(texts) + "}").encode()
    typed_wrongly = any(name in ("sub", "name") and isinstance(value, list) for name, value in fields)
    if len({name for name, _ in fields}) == len(fields) and not typed_wrongly:
        assert CODEC.decode(payload).exp == NOW
    else:
        refused(payload)


def test_nested_values_of_ours_are_read_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = Rich(exp=NOW, roles=["a", "b"], nested={"x": {"y": 1}})
    payload = RICH.encode(claims)
    monkeypatch.setattr(module, "judge", None)
    assert RICH.decode(payload) == claims


def test_nbf_is_read_though_no_field_names_it() -> None:
    assert judge(b'{"exp":1800000060,"nbf":1799999999}') == NOW - 1
    assert judge(b'{"exp":1800000060,"\\u006ebf":1799999999,"x":{"y":1}}') == NOW - 1
    assert judge(CODEC.encode(FULL)) == 0


# what no field names


def test_unknown_members_survive_in_place() -> None:
    old = b'{"role":"x","sub":"0","deep":{"a":[1.50,"\\u00e9"]},"iat":1,"exp":2,"jti":"old"}'
    text = CODEC.encode(FULL, old).decode()
    assert text.startswith(
        '{"role":"x","sub":"1","deep":{"a":[1.50,"\\u00e9"]},"iat":1800000000,"exp":1800000060,"jti":"j",'
    )
    assert CODEC.decode(text.encode()) == FULL


def test_without_unknown_members_nothing_is_carried_over() -> None:
    old = CODEC.encode(FULL.replace(name="Old"))
    assert CODEC.encode(FULL, old) == CODEC.encode(FULL)


def test_half_a_character_cannot_be_issued() -> None:
    with pytest.raises(TokenError, match="claims"):
        CODEC.encode(FULL.replace(name="\ud83d"))


# types


def test_types_that_cannot_work() -> None:
    class Required(Claims):
        plan: str

    class Judged(Claims):
        nbf: int = 0

    for claims_type, seen in (
        (Required, "Required.plan"),
        (Judged, "Judged.nbf"),
        (dict, "dict"),
        ("MyClaims", "MyClaims"),
    ):
        with pytest.raises(ConfigError, match=seen) as error:
            ClaimsCodec(claims_type)  # type: ignore[arg-type,type-var]
        assert error.value.key == "claims"


class Point(msgspec.Struct, frozen=True):
    x: int = 0


class Movable(msgspec.Struct):
    x: int = 0


class Colour(enum.Enum):
    RED = "red"
    ULTRAMARINE = "ultramarine"


class Immutable(Claims):
    point: Point = Point()
    pair: tuple[int, str] = (0, "")
    tags: tuple[str, ...] = ()
    kinds: frozenset[Colour] = frozenset()
    at: datetime.datetime | None = None


class Mutable(Claims):
    point: Movable | None = None


class Open(Claims):
    anything: Any = None


class DeepMutable(Claims):
    lists: tuple[list[int], ...] = ()


class PairMutable(Claims):
    pair: tuple[int, dict[str, int]] = (0, {})


@pytest.mark.parametrize(
    ("claims_type", "shareable"),
    [
        (Claims, True),
        (MyClaims, True),
        (Immutable, True),
        (Rich, False),
        (Mutable, False),
        (Open, False),
        (DeepMutable, False),
        (PairMutable, False),
    ],
)
def test_only_values_that_cannot_change_are_shared(claims_type: type[Claims], shareable: bool) -> None:
    assert ClaimsCodec(claims_type).shareable is shareable


# mappings


def test_from_field_names_and_wire_names() -> None:
    assert CODEC.from_mapping({"sub": "1", "isSponsor": True}) == CODEC.from_mapping({"sub": "1", "is_sponsor": True})


@pytest.mark.parametrize(
    ("members", "seen"), [({"role": "x"}, "role"), ({"sub": 1}, "sub"), ({"is_sponsor": "yes"}, "isSponsor")]
)
def test_mappings_that_do_not_fit(members: dict[str, Any], seen: str) -> None:
    with pytest.raises(ConfigError, match=seen):
        CODEC.from_mapping(members)


# times


@pytest.mark.parametrize(
    ("changes", "not_before", "step"),
    [
        ({}, 0, None),
        ({"exp": NOW - 14}, 0, None),
        ({"exp": NOW - 15}, 0, "expired"),
        ({"exp": NOW + 3600 + 60}, 0, None),
        ({"exp": NOW + 3600 + 61}, 0, "lifetime"),
        ({"iat": NOW + 15}, 0, None),
        ({"iat": NOW + 16}, 0, "issued_in_future"),
        ({"auth_time": NOW + 15}, 0, None),
        ({"auth_time": NOW + 16}, 0, "issued_in_future"),
        ({"iat": NOW - 5, "exp": NOW - 6}, 0, "lifetime"),
        ({}, NOW + 15, None),
        ({}, NOW + 16, "not_yet_valid"),
        ({"exp": NOW - 15, "iat": NOW + 16}, NOW + 16, "expired"),
    ],
)
def test_check(changes: dict[str, int], not_before: int, step: str | None) -> None:
    claims = Claims().replace(**({"iat": NOW - 100, "exp": NOW + 50, "auth_time": NOW - 100} | changes))
    assert check(claims, NOW, leeway=15, max_age=60, not_before=not_before) == step


def test_lifetime_is_not_judged_without_a_max_age() -> None:
    assert check(Claims(exp=2**40), NOW, leeway=15, max_age=None) is None


# users


def test_for_user_prefers_the_record() -> None:
    profile = Profile(id="7", name="P", email="p@example.com", image="p.png", username="pp")
    full = User(id="u", username="uu", name="U", email="u@example.com", image="u.png")
    assert for_user(MyClaims, full, profile) == MyClaims(
        sub="u", name="U", email="u@example.com", picture="u.png", username="uu"
    )
    assert for_user(MyClaims, User(id="u"), profile) == MyClaims(
        sub="u", name="P", email="p@example.com", picture="p.png", username="pp"
    )
    assert for_user(Claims, User(id="u"), None) == Claims(sub="u")


# sizes


class Bounded(Claims):
    flag: bool = False
    count: int = 0
    ratio: float = 0.0
    nothing: None = None
    at: datetime.datetime | None = None
    id: uuid.UUID | None = None
    level: Literal["low", "high", 10] = "low"
    colour: Colour = Colour.RED
    nick: Annotated[str, msgspec.Meta(max_length=8)] = ""
    blob: Annotated[bytes, msgspec.Meta(max_length=5)] = b""
    tags: Annotated[list[Annotated[str, msgspec.Meta(max_length=4)]], msgspec.Meta(max_length=3)] = msgspec.field(
        default_factory=list
    )
    seen: Annotated[dict[Colour, int], msgspec.Meta(max_length=2)] = msgspec.field(default_factory=dict)
    pair: tuple[int, bool] = (0, False)
    point: Point = Point()


unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'))
bounded = st.builds(
    Bounded,
    flag=st.booleans(),
    count=st.integers(-(2**63), 2**64 - 1),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    at=st.none() | st.datetimes(timezones=st.just(datetime.UTC)),
    id=st.none() | st.uuids(),
    level=st.sampled_from(["low", "high", 10]),
    colour=st.sampled_from(Colour),
    nick=st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    blob=st.binary(max_size=5),
    tags=st.lists(st.text(st.characters(max_codepoint=40), max_size=4), max_size=3),
    seen=st.dictionaries(st.sampled_from(Colour), st.integers(-(2**63), 2**63), max_size=2),
    pair=st.tuples(st.integers(-(2**63), 2**63), st.booleans()),
    sub=st.text(st.sampled_from("ab"), max_size=64),
    name=st.none() | st.text(st.sampled_from("ab"), min_size=200, max_size=256),
    picture=st.none() | st.integers(900, 1024).map("x".__mul__),
    iat=st.integers(0, 2**63),
)


@given(bounded)
def test_no_session_of_bounded_types_passes_the_worst_case(claims: Bounded) -> None:
    most = worst_case_size(Bounded)
    assert most is not None
    payload = ClaimsCodec(Bounded).encode(claims)
    for token_format in (NextAuthV4(Keyring(["s"])), AuthJSV5(Keyring(["s"]), salt="__Secure-authjs.session-token")):
        assert len(token_format.seal(payload)) <= most


def test_the_registered_claims_fit_one_cookie() -> None:
    most = worst_case_size(Claims)
    assert most is not None
    assert 2000 < most < 3933
    assert most > ENVELOPE


class Itself(Claims):
    friend: Itself | None = None


class Texts(Claims):
    bio: str = ""


class Unions(Claims):
    thing: int | list[int] = 0


class Sets(Claims):
    thing: set[int] = msgspec.field(default_factory=set)


class AnyPair(Claims):
    pair: tuple[int, Any] = (0, None)


@pytest.mark.parametrize("claims_type", [Texts, Rich, Open, Unions, Sets, AnyPair, Itself])
def test_what_types_do_not_bound_has_no_worst_case(claims_type: type[Claims]) -> None:
    assert worst_case_size(claims_type) is None
