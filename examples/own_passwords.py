"""People and passwords that the application keeps itself: `authorize` says who a name and a password belong to.

Run it with `uvicorn own_passwords:app` beside this file. SOJOURN_SECRET has to be set: `sojourn keys new` prints one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI

from sojourn import Auth, Claims, Profile, Session
from sojourn.adapters.fastapi import SignedIn, mount
from sojourn.passwords import PasswordHasher
from sojourn.providers import Credentials


@dataclass(frozen=True)
class Member:
    number: str
    name: str
    email: str
    password_hash: str


MEMBERS: dict[str, Member] = {}  # stands for the application's own table
hasher = PasswordHasher()


async def register(login: str, name: str, email: str, password: str) -> None:
    """Keep a new member; of the password only its Argon2id hash."""
    MEMBERS[login] = Member(str(len(MEMBERS) + 1), name, email, await hasher.hash(password))


async def check_password(form: Mapping[str, str]) -> Profile | None:
    """The member, or None: for an unknown name and for a wrong password alike, after the same time."""
    member = MEMBERS.get(form.get("username", ""))
    fits = await hasher.verify(form.get("password"), member.password_hash if member else None)
    return Profile(id=member.number, name=member.name, email=member.email) if member and fits else None


auth = Auth(base_url="http://127.0.0.1:8000", providers=[Credentials(authorize=check_password)])

app = FastAPI()
mount(app, auth)


@app.get("/number")
async def number(session: Annotated[Session[Claims], Depends(SignedIn(auth))]) -> str:
    return session.user_id
