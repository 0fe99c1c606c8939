"""Claims of the application's own: filled at sign-in, renewed with every refresh, changed by the browser where allowed.

Run it with `uvicorn typed_claims:app` beside this file. SOJOURN_SECRET has to be set: `sojourn keys new` prints one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException
from msgspec import Meta

from sojourn import Auth, Callbacks, Claims, ClaimsChange, Profile, Session
from sojourn.adapters.fastapi import SignedIn, mount
from sojourn.providers import Credentials

Role = Literal["reader", "editor"]
ROLES: dict[str, Role] = {"grace": "editor"}  # stands for the application's own table


class MyClaims(Claims):
    username: Annotated[str, Meta(max_length=64)] | None = None
    role: Role = "reader"
    is_sponsor: bool = False  # travels as isSponsor


def check_password(form: Mapping[str, str]) -> Profile | None:
    """Everybody known here may enter with the password `open sesame`."""
    name = form.get("username", "")
    if name not in ("ada", "grace") or form.get("password") != "open sesame":
        return None
    return Profile(id=name, name=name.title(), username=name)


def fill_claims(claims: MyClaims, change: ClaimsChange) -> MyClaims:
    match change.trigger:
        case "sign_in" | "sign_up":
            return claims.replace(role=ROLES.get(claims.sub, "reader"), is_sponsor=claims.sub == "ada")
        case "refresh":  # about once an hour: a role that was taken away is gone then
            return claims.replace(role=ROLES.get(claims.sub, "reader"))
        case "update":  # the browser posted `change.data`; only the display name is its to change
            name = change.data.get("name") if isinstance(change.data, dict) else None
            return claims.replace(name=name) if isinstance(name, str) and 0 < len(name) <= 60 else claims


def show(view: dict[str, Any], session: Session[MyClaims]) -> dict[str, Any]:
    """What `GET /api/auth/session` says: the usual view, and two claims more."""
    return {**view, "role": session.claims.role, "isSponsor": session.claims.is_sponsor}


auth = Auth(
    base_url="http://127.0.0.1:8000",
    providers=[Credentials(authorize=check_password)],
    claims=MyClaims,
    callbacks=Callbacks(claims=fill_claims, session=show),
)

app = FastAPI()
mount(app, auth)


async def editor(session: Annotated[Session[MyClaims], Depends(SignedIn(auth))]) -> Session[MyClaims]:
    if session.claims.role != "editor":
        raise HTTPException(403, "Editors only.")
    return session


@app.post("/articles")
async def write(session: Annotated[Session[MyClaims], Depends(editor)]) -> str:
    return f"Written by {session.claims.name}."
