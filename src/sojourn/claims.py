"""Users become claims, claims become JSON and back; `check` judges their times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic

import msgspec
from msgspec import inspect as types

from sojourn.errors import ConfigError, TokenError
from sojourn.models import Claims, ClaimsT, Profile, User
from sojourn.tokens.strict_json import MOST_LEVELS, read_object

__all__ = [
    "ASSUMED_BYTES",
    "ENVELOPE",
    "LIFETIME_MARGIN",
    "MALFORMED",
    "ClaimsCodec",
    "check",
    "for_user",
    "judge",
    "worst_case_size",
    "write",
]

LIFETIME_MARGIN: Final = 3600
"""Seconds that `exp` may lie ahead beyond `max_age`: the drift between two servers' settings and clocks (TOK-17)."""

ASSUMED_BYTES: Final = {"sub": 64, "username": 64, "name": 256, "email": 254, "picture": 1024, "sid": 64, "jti": 64}
"""What `worst_case_size` takes the registered texts to need, since nothing bounds them: bytes, without quotes."""

ENVELOPE: Final = 512
"""Characters of a token beside its payload, in the largest format (v5's kid, or an RSA signature, iss and aud)."""

_JUDGED_BY_US: Final = frozenset({"nbf"})
MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Any])
_RAW_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
write: Final = msgspec.json.Encoder().encode


class ClaimsCodec(Generic[ClaimsT]):
    """A claims type and its JSON. Raises `ConfigError` for a type that could not be filled or is not ours."""

    def __init__(self, claims_type: type[ClaimsT]) -> None:
        if not (isinstance(claims_type, type) and issubclass(claims_type, Claims)):
            raise ConfigError("claims", repr(claims_type), "Give a subclass of sojourn.Claims.")
        self.claims_type: Final = claims_type
        self._wire: Final[dict[str, str]] = {}
        for field in msgspec.structs.fields(claims_type):
            if field.required:
                fix = "Give it a default: signing in fills the registered claims first, and older tokens lack it."
                raise ConfigError("claims", f"{claims_type.__name__}.{field.name} has no default", fix)
            if field.encode_name in _JUDGED_BY_US:
                seen = f"{claims_type.__name__}.{field.name}"
                raise ConfigError("claims", seen, "Leave it out: the verifier judges nbf itself.")
            self._wire[field.name] = self._wire[field.encode_name] = field.encode_name
        # Values that cannot be changed may be handed out twice; a list in them forbids it.
        self.shareable: Final = _is_immutable(types.type_info(claims_type))
        self.parse: Final = msgspec.json.Decoder(claims_type).decode
        """Claims from JSON, judged by their types alone: what `write` would not write the same must pass `judge`."""

    def decode(self, payload: bytes) -> ClaimsT:
        """The claims; raises `TokenError("claims")` for wrong types, duplicates, no `exp` and loose JSON."""
        try:
            claims = self.parse(payload)
            if write(claims) != payload:
                judge(payload)
        except MALFORMED as error:
            raise TokenError("claims", str(error)[:200]) from None
        if claims.exp <= 0:
            raise TokenError("claims", "exp is missing or not positive")
        return claims

    def encode(self, claims: ClaimsT, unknown: bytes | None = None) -> bytes:
        """Compact JSON. Of `unknown`, the payload of an older token, members that no field names are kept, in place.

        Raises `TokenError("claims")` for a text with half a surrogate pair, which no JSON in UTF-8 can say.
        """
        try:
            payload = write(claims)
        except UnicodeEncodeError:
            raise TokenError("claims", "a text that is not Unicode") from None
        if unknown is None:
            return payload
        older = _RAW_MEMBERS.decode(unknown)
        if older.keys() <= self._wire.keys():
            return payload
        return write(older | _RAW_MEMBERS.decode(payload))

    def from_mapping(self, members: Mapping[str, Any]) -> ClaimsT:
        """Claims from field or wire names; raises `ConfigError` for a name or type that does not fit."""
        kind = self.claims_type.__name__
        strangers = [name for name in members if name not in self._wire]
        if strangers:
            raise ConfigError("claims", f"{kind} has no field {strangers[0]!r}", f"Add it to {kind}, or leave it out.")
        try:
            return msgspec.convert({self._wire[name]: value for name, value in members.items()}, self.claims_type)
        except msgspec.ValidationError as error:
            raise ConfigError("claims", f"{kind}: {error}", "Give values of the fields' types.") from None


def judge(payload: bytes) -> int:
    """`nbf`, which is no field of any claims, or 0; raises one of `MALFORMED` for whatever is not strict JSON."""
    members = _MEMBERS.decode(payload)
    text = payload.decode()
    # One colon after a quote for each distinct name, and none after a space: flat but for lists, and nothing twice. How
    # deep lists may lie in each other, the decoder leaves to the interpreter's stack, which differs between versions.
    spaced = " :" in text or "\n" in text or "\t" in text or "\r" in text
    if spaced or text.count('":') != len(members) or text.count("[") > MOST_LEVELS:
        members = read_object(payload)
    not_before = members.get("nbf", 0)
    if type(not_before) is not int:
        raise ValueError("nbf is not a whole number of seconds")
    return not_before


def check(claims: Claims, now: int, *, leeway: int, max_age: int | None, not_before: int = 0) -> str | None:
    """The step that refuses these times, or None; seconds. `exp`, `nbf` and `iat` share the leeway (TOK-17, TOK-18).

    "expired" from `exp` + leeway on; "not_yet_valid"; "issued_in_future"; "lifetime" if `exp` lies more than `max_age`
    and an hour ahead (not judged when `max_age` is None) or before `iat`.
    """
    if claims.exp <= now - leeway:
        return "expired"
    if not_before > now + leeway:
        return "not_yet_valid"
    if claims.iat > now + leeway or claims.auth_time > now + leeway:
        return "issued_in_future"
    if claims.iat > claims.exp or (max_age is not None and claims.exp > now + max_age + LIFETIME_MARGIN):
        return "lifetime"
    return None


def for_user(claims_type: type[ClaimsT], user: User, profile: Profile | None = None) -> ClaimsT:
    """What a session says of this user at first; the profile fills what the record leaves open."""
    found = profile if profile is not None else Profile(id=user.id)
    claims: dict[str, Any] = {
        "sub": user.id,
        "name": user.name if user.name is not None else found.name,
        "email": user.email if user.email is not None else found.email,
        "picture": user.image if user.image is not None else found.image,
    }
    if any(field.name == "username" for field in msgspec.structs.fields(claims_type)):
        claims["username"] = user.username if user.username is not None else found.username
    return claims_type(**claims)


def worst_case_size(claims_type: type[Claims]) -> int | None:
    """The most characters of cookie that a session of these claims can take, or None if its types do not say.

    Registered texts count as `ASSUMED_BYTES`. Of the application's own fields, numbers, booleans, literals, enums,
    dates and UUIDs are bounded by nature; texts, lists and mappings only by `msgspec.Meta(max_length=…)`, each
    character of a text taken at its longest JSON escape, 6 bytes.
    """
    try:
        payload = _most_bytes(types.type_info(claims_type), ASSUMED_BYTES)
    except RecursionError:  # a type that contains itself
        return None
    return None if payload is None else ENVELOPE + -(-payload * 4 // 3)


def _most_bytes(kind: types.Type, assumed: Mapping[str, int] = MappingProxyType({})) -> int | None:
    match kind:
        case types.BoolType() | types.NoneType():
            return 5
        case types.IntType():
            return 20
        case types.FloatType():
            return 25
        case types.DateTimeType() | types.DateType() | types.TimeType() | types.UUIDType():
            return 40
        case types.EnumType() | types.LiteralType():
            values = kind.values if isinstance(kind, types.LiteralType) else [member.value for member in kind.cls]
            return max(len(write(value)) for value in values)
        case types.StrType(max_length=int(longest)):
            return 2 + 6 * longest
        case types.BytesType(max_length=int(longest)):
            return 2 + 4 * -(-longest // 3)
        case types.UnionType():
            sizes = [_most_bytes(choice) for choice in kind.types]
            return None if None in sizes else max(size for size in sizes if size is not None)
        case types.TupleType():
            return _sum(_most_bytes(item) for item in kind.item_types)
        case types.ListType() | types.SetType() | types.FrozenSetType() | types.VarTupleType():
            return None if kind.max_length is None else _sum([_most_bytes(kind.item_type)] * kind.max_length)
        case types.DictType(max_length=int(longest)):
            return _sum([_most_bytes(kind.key_type), _most_bytes(kind.value_type)] * longest)
        case types.StructType():
            return _sum(
                size if size is None else size + len(field.encode_name) + 4
                for field in kind.fields
                for size in [_most_bytes(field.type) or _assumed(assumed, field.encode_name)]
            )
        case _:
            return None


def _assumed(assumed: Mapping[str, int], name: str) -> int | None:
    return assumed[name] + 2 if name in assumed else None


def _sum(sizes: Iterable[int | None]) -> int | None:
    """The sizes with a separator each, and brackets; None if any is unbounded."""
    total = 2
    for size in sizes:
        if size is None:
            return None
        total += size + 1
    return total


def _is_immutable(kind: types.Type) -> bool:
    """Whether no value of this type can be changed by whoever holds it."""
    match kind:
        case types.UnionType():
            return all(_is_immutable(choice) for choice in kind.types)
        case types.TupleType():
            return all(_is_immutable(item) for item in kind.item_types)
        case types.VarTupleType() | types.FrozenSetType():
            return _is_immutable(kind.item_type)
        case types.StructType():
            return kind.cls.__struct_config__.frozen and all(_is_immutable(field.type) for field in kind.fields)
        case _:
            return isinstance(kind, _IMMUTABLE)


_IMMUTABLE: Final = (
    types.BoolType,
    types.NoneType,
    types.IntType,
    types.FloatType,
    types.StrType,
    types.BytesType,
    types.EnumType,
    types.LiteralType,
    types.DateTimeType,
    types.DateType,
    types.TimeType,
    types.TimeDeltaType,
    types.UUIDType,
    types.DecimalType,
)
