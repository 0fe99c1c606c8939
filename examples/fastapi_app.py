"""A FastAPI application in which people sign in with a password.

Run it with `uvicorn fastapi_app:app` beside this file. SOJOURN_SECRET has to be set: `sojourn keys new` prints one.
"""

from typing import Annotated

from fastapi import Depends, FastAPI

from sojourn import Auth, Claims, Session
from sojourn.adapters.fastapi import MaybeSignedIn, SignedIn, mount
from sojourn.providers import Credentials


class MyClaims(Claims):
    username: str | None = None


auth = Auth(
    base_url="http://127.0.0.1:8000",
    providers=[Credentials()],  # the users table; `sojourn users add` puts people into it
    database="sqlite:///app.db",
    claims=MyClaims,
)

app = FastAPI()
mount(app, auth)


@app.get("/")
async def home(session: Annotated[Session[MyClaims] | None, Depends(MaybeSignedIn(auth))]) -> str:
    return "Hello, whoever you are." if session is None else f"Hello, {session.claims.name}."


@app.get("/me")
async def me(session: Annotated[Session[MyClaims], Depends(SignedIn(auth))]) -> dict[str, object]:
    user = await session.user()
    return {
        "username": session.claims.username,
        "email": session.claims.email,
        "last_login_at": None if user is None else user.last_login_at,
    }
