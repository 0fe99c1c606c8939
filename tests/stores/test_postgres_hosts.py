"""One URL may name several servers."""

from __future__ import annotations

import pytest

from sojourn.stores.postgres_hosts import hosts_of

WRITES = "target_session_attrs=read-write"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@one:1/name", ["postgresql://u:p@one:1/name"]),
        ("postgresql://u:p,q@one/name?a=b,c", ["postgresql://u:p,q@one/name?a=b,c"]),
        ("postgresql:///name?host=/tmp,/run", ["postgresql:///name?host=/tmp,/run"]),
        ("nonsense", ["nonsense"]),
        (
            "postgresql://u:p,q@one:1,two/name",
            [f"postgresql://u:p,q@one:1/name?{WRITES}", f"postgresql://u:p,q@two/name?{WRITES}"],
        ),
        (
            "postgresql://[::1]:1,[::2]:2/name?sslmode=require",
            [
                f"postgresql://[::1]:1/name?sslmode=require&{WRITES}",
                f"postgresql://[::2]:2/name?sslmode=require&{WRITES}",
            ],
        ),
        (
            "postgresql://one,two/name?target_session_attrs=any",
            ["postgresql://one/name?target_session_attrs=any", "postgresql://two/name?target_session_attrs=any"],
        ),
    ],
)
def test_each_server_has_a_url_of_its_own(url: str, hosts: list[str]) -> None:
    assert hosts_of(url) == hosts
