"""The standalone server's settings: a TOML file, and every key also as `SOJOURN_…` in the environment, which wins."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from sojourn.callbacks import Callbacks
from sojourn.config import AuthConfig, Pages, RateLimit, RevocationPolicy, SessionPolicy
from sojourn.errors import ConfigError
from sojourn.models import ClaimsT, Profile
from sojourn.providers import OIDC, Credentials, GitHub, Google, OAuth, Provider
from sojourn.settings import shown

__all__ = ["load"]

_TEXTS = ("secret", "base_url", "database", "redis", "compat", "cookie_domain", "site_name")
_SWITCHES = ("compat_tables",)
_LISTS = ("secrets", "trusted_proxies", "signing_keys")
_TABLES: dict[str, type[SessionPolicy | RateLimit | RevocationPolicy | Pages]] = {
    "session": SessionPolicy,
    "rate_limit": RateLimit,
    "revocation": RevocationPolicy,
    "pages": Pages,
}
_KEYS = (*_TEXTS, *_SWITCHES, *_LISTS, *_TABLES, "providers")
_HOW_TO_WRITE: dict[type, str] = {
    int: "Write a whole number.",
    bool: "Write true or false.",
    str: 'Write a text in quotes; a duration has a unit, like "12h".',
}
_PROVIDERS: dict[str, Callable[..., Provider]] = {
    "oidc": OIDC,
    "oauth": OAuth,
    "credentials": Credentials,
    "github": GitHub,
    "google": Google,
}


def load(
    path: Path | None,
    *,
    claims: type[ClaimsT],
    callbacks: Callbacks[ClaimsT] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AuthConfig[ClaimsT]:
    """The configuration of a file (or of the environment alone); raises `ConfigError` naming the key."""
    variables = os.environ if environment is None else environment
    settings = _read(path) if path is not None else {}
    for key in settings:
        if key not in _KEYS:
            raise ConfigError(key, "a key that does not exist", f"Known keys: {', '.join(_KEYS)}.")
    for key in _TEXTS:
        if variables.get(f"SOJOURN_{key.upper()}"):
            settings[key] = variables[f"SOJOURN_{key.upper()}"]
    for key in _SWITCHES:
        if variables.get(variable := f"SOJOURN_{key.upper()}"):
            settings[key] = _read_variable(variable, variables[variable], bool)
    for key in (*_LISTS, "providers"):
        if variables.get(f"SOJOURN_{key.upper()}"):
            settings[key] = _list_from(f"SOJOURN_{key.upper()}", variables)
    if "secrets" in settings and "SOJOURN_SECRET" in variables and "SOJOURN_SECRETS" not in variables:
        del settings["secrets"]  # the environment's one secret replaces the file's list
    elif "SOJOURN_SECRETS" in variables:
        settings.pop("secret", None)
    for key in _TEXTS:
        _expect(settings, key, str, "a text")
    for key in _SWITCHES:
        _expect(settings, key, bool, "true or false")
    for key in _LISTS:
        _expect(settings, key, list, "a list of texts")
    tables = {name: _table(name, kind, settings.get(name, {}), variables) for name, kind in _TABLES.items()}
    return AuthConfig.build(
        **{key: settings[key] for key in (*_TEXTS, *_SWITCHES, *_LISTS) if key in settings},
        **tables,
        providers=[_provider(position, entry) for position, entry in enumerate(settings.get("providers", []))],
        claims=claims,
        callbacks=callbacks,
        environment=variables,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            "--config", f"{path} cannot be read ({error.strerror})", "Give the path of a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "--config", f"{path} is not TOML ({error})", "Mend the file at the place it names."
        ) from error


def _list_from(variable: str, variables: Mapping[str, str]) -> list[Any]:
    text = variables[variable]
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            variable, "a text that is not JSON", "Write a JSON list, newest first where order matters."
        ) from error
    if not isinstance(value, list):
        raise ConfigError(variable, "JSON that is not a list", "Write a JSON list.")
    return value


def _expect(settings: Mapping[str, Any], key: str, kind: type, words: str) -> None:
    if key not in settings:
        return
    value = settings[key]
    if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        # The value may be a secret that was written in the wrong shape: say what it is, not what it says.
        raise ConfigError(key, f"a {type(value).__name__}", f"Write {words}.")


def _table(name: str, kind: type[Any], given: object, variables: Mapping[str, str]) -> Any:
    if not isinstance(given, dict):
        raise ConfigError(name, f"a {type(given).__name__}", f"Write a table: [{name}].")
    known = set(kind.__struct_fields__)
    hints = get_type_hints(kind)
    for key in given:
        if key not in known:
            raise ConfigError(f"{name}.{key}", "a key that does not exist", f"Known keys: {', '.join(sorted(known))}.")
    values = dict(given)
    for key in known:
        variable = f"SOJOURN_{name.upper()}_{key.upper()}"
        if variables.get(variable):
            values[key] = _read_variable(variable, variables[variable], hints[key])
    for key, value in values.items():
        wanted = hints[key] if hints[key] in (int, bool) else str
        if type(value) is not wanted:
            raise ConfigError(f"{name}.{key}", shown(value), _HOW_TO_WRITE[wanted])
    return kind(**values)


def _read_variable(variable: str, text: str, wanted: object) -> int | bool | str:
    if wanted is bool:
        if text not in ("true", "false"):
            raise ConfigError(variable, shown(text), _HOW_TO_WRITE[bool])
        return text == "true"
    if wanted is int:
        try:
            return int(text)
        except ValueError:
            raise ConfigError(variable, shown(text), _HOW_TO_WRITE[int]) from None
    return text


def _provider(position: int, entry: object) -> Provider:
    key = f"providers[{position}]"
    if not isinstance(entry, dict):
        raise ConfigError(key, f"a {type(entry).__name__}", "Write a table: [[providers]].")
    settings = dict(entry)
    kind = settings.pop("type", None)
    build = _PROVIDERS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise ConfigError(f"{key}.type", repr(kind), f"Choose one of {', '.join(_PROVIDERS)}.")
    if build is Credentials and "authorize" in settings:
        raise ConfigError(f"{key}.authorize", "a setting", "A file cannot hold a function: the users table is asked.")
    if build is OAuth:
        settings["profile"] = _profile_mapper(key, settings.get("profile", {}))
    try:
        return build(**settings)
    except TypeError as error:
        raise ConfigError(
            key, str(error).partition(") ")[2] or str(error), "Correct the keys of this provider."
        ) from error


def _profile_mapper(key: str, members: object) -> Callable[[Mapping[str, Any]], Profile]:
    """Which members of a plain OAuth 2 provider's profile mean what: `{id = "id", name = "name", …}`."""
    names = {"id": "id", "name": "name", "email": "email", "image": "picture", "username": "username"}
    if (
        not isinstance(members, dict)
        or not set(members) <= set(names)
        or not all(isinstance(v, str) for v in members.values())
    ):
        raise ConfigError(
            f"{key}.profile", repr(members), 'Name members of the profile, like {id = "id", image = "avatar_url"}.'
        )
    names |= members

    def profile(raw: Mapping[str, Any]) -> Profile:
        identity = raw.get(names["id"])
        texts = {field: value if isinstance(value := raw.get(member), str) else None for field, member in names.items()}
        return Profile(
            id=str(identity) if isinstance(identity, str | int) and not isinstance(identity, bool) else "",
            name=texts["name"],
            email=texts["email"],
            image=texts["image"],
            username=texts["username"],
        )

    return profile
