"""The command line: results, refusals on one line with exit code 2, JSON for every command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sojourn.cli.users import add_user
from sojourn.server import bind
from sojourn.stores import open_database
from sojourn.tokens.raw import seal_token
from tests.command_line import SECRETS, Run, refused, runner
from tests.servers.valkey import own_server

AT = 1_700_000_000


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sojourn.toml"
    path.write_text(
        f'base_url = "http://127.0.0.1:8000"\ndatabase = "sqlite:///{tmp_path}/sojourn.db"\n'
        '[[providers]]\ntype = "credentials"\n'
    )
    return path


# token


def test_token_open_answers_one_line_per_token(run: Run) -> None:
    good = seal_token({"sub": "1", "name": "\u00e5da"}, SECRETS[1:], now=AT)
    late = seal_token({"sub": "1"}, SECRETS, now=AT - 10_000, max_age=10)
    foreign = seal_token({"sub": "1"}, ["another server's secret"], now=AT)
    lines = "\n".join([good, late, foreign, "nonsense", "", good + " "]).encode() + b"\n\xff\xfe\n"
    result = run("token", "open", "--at", str(AT), stdin=lines)
    assert result.code == 0
    first, *others = result.lines
    assert first["ok"] is True
    assert first["claims"]["name"] == "\u00e5da"
    assert [(line["ok"], line["code"], line["step"]) for line in others] == [
        (False, "session_expired", "expired"),
        (False, "session_invalid", "key"),
        (False, "session_invalid", "form"),
        (False, "session_invalid", "form"),
        (False, "session_invalid", "form"),
        (False, "session_invalid", "form"),
    ]
    assert all(line["cause"] and line["fix"] for line in others)


@pytest.mark.parametrize("options", [(), ("--compat", "authjs-v5"), ("--compat", "authjs-v5", "--cookie-name", "x")])
def test_what_token_seal_makes_token_open_reads(run: Run, options: tuple[str, ...]) -> None:
    sealed = run("token", "seal", *options, "--at", str(AT), stdin=b'{"sub":"1","isSponsor":true}\n')
    token = sealed.lines[0]["token"]
    opened = run("token", "open", *options, "--at", str(AT), stdin=token.encode())
    claims = opened.lines[0]["claims"]
    assert (claims["sub"], claims["isSponsor"], claims["iat"]) == ("1", True, AT)


def test_a_salt_is_the_cookies_name(run: Run) -> None:
    sealed = run("token", "seal", "--compat", "authjs-v5", stdin=b'{"sub":"1"}')
    named = run(
        "token",
        "open",
        "--compat",
        "authjs-v5",
        "--cookie-name",
        "authjs.session-token",
        stdin=sealed.lines[0]["token"].encode(),
    )
    assert named.lines[0]["ok"] is True
    other = run(
        "token", "open", "--compat", "authjs-v5", "--cookie-name", "other", stdin=sealed.lines[0]["token"].encode()
    )
    assert other.lines[0]["ok"] is False


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff"])
def test_token_seal_refuses_what_is_no_claim_set(run: Run, line: bytes) -> None:
    result = run("token", "seal", stdin=line + b"\n")
    (answer,) = result.lines
    assert (answer["ok"], answer["step"]) == (False, "claims")


@pytest.mark.parametrize("value", ["", "x", "{}", "[]", "[1]", '[""]', "null"])
def test_token_names_the_variable_that_it_needs(run: Run, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SOJOURN_SECRETS", value)
    refused(run("token", "open"), "SOJOURN_SECRETS", "JSON list")


def test_token_open_answers_each_line_before_the_next_arrives() -> None:
    token = seal_token({"sub": "1"}, SECRETS, now=AT)
    command = [sys.executable, "-m", "sojourn.cli", "token", "open", "--at", str(AT)]
    environment = {**os.environ, "SOJOURN_SECRETS": json.dumps(SECRETS)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(2):
        process.stdin.write(token + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["ok"] is True
    process.communicate(timeout=10)
    assert process.returncode == 0


# users


def test_users_add_makes_somebody_who_can_sign_in(run: Run, config: Path) -> None:
    arguments = (
        "users",
        "add",
        "Ada",
        "--email",
        "Ada@Example.org",
        "--password-stdin",
        "--config",
        str(config),
        "--json",
    )
    result = run(*arguments, stdin=b"correct horse\n")
    assert result.code == 0, result.err
    (user,) = result.lines
    assert (user["username"], user["email"]) == ("ada", "ada@example.org")
    assert "correct horse" not in result.out + result.err
    refused(run(*arguments[:-1], stdin=b"correct horse\n"), "belongs to somebody already")


async def test_a_user_from_the_command_line_has_a_hash_and_an_account(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    user = await add_user(url, "ada", "ada@example.org", "correct horse", email_verified=True)
    stores = open_database(url)
    await stores.start()
    found = await stores.users.get_by_username("ada")
    assert found is not None
    assert found[0] == user
    assert user.email_verified_at == user.created_at
    assert (found[1] or "").startswith("$argon2id$")
    assert [account.provider for account in await stores.users.list_accounts(user.id)] == ["credentials"]
    await stores.aclose()


@pytest.mark.parametrize(
    ("name", "email", "password", "words"),
    [
        ("a@b", "ada@example.org", b"correct horse", "NAME"),
        ("ada", "nonsense", b"correct horse", "--email"),
        ("ada", "ada@example.org", b"short", "password"),
        ("ada", "ada@example.org", b"x" * 2000, "password"),
        ("ada", "ada@example.org", b"\xff\xff\xff\xff\xff\xff\xff\xff", "UTF-8"),
        ("ada\x1b[31m", "ada@example.org", b"correct horse", "NAME"),
    ],
)
def test_users_add_refuses_what_cannot_be_used(
    run: Run, config: Path, name: str, email: str, password: bytes, words: str
) -> None:
    result = run("users", "add", name, "--email", email, "--password-stdin", "--config", str(config), stdin=password)
    refused(result, words)
    assert "\x1b" not in result.err


def test_users_add_does_not_guess_where_the_password_is(run: Run, config: Path) -> None:
    refused(run("users", "add", "ada", "--email", "a@example.org", "--config", str(config)), "--password-stdin")


def test_users_add_needs_a_database_that_lasts(run: Run, config: Path) -> None:
    config.write_text('base_url = "http://127.0.0.1:8000"\n')
    refused(run("users", "add", "ada", "--email", "a@example.org", "--config", str(config)), "database", "sqlite:///")
    config.write_text('base_url = "http://127.0.0.1:8000"\ndatabase = "memory:"\n')
    refused(run("db", "upgrade", "--config", str(config)), "database", "ends with this command")


# keys, what is not there yet


def test_keys_new_prints_a_strong_secret_each_time(run: Run) -> None:
    first, second = run("keys", "new").out.strip(), run("keys", "new", "--json").lines[0]["secret"]
    assert first != second
    assert len(first) >= 43


@pytest.mark.parametrize(
    "command",
    [("keys", "rotate"), ("keys", "retire"), ("keys", "list")],
    ids=" ".join,
)
def test_what_a_later_version_brings_is_refused_by_name(run: Run, command: tuple[str, ...]) -> None:
    refused(run(*command), " ".join(command), "not in this version")
    refused(run(*command, "--config", "x.toml", "7f3a"), " ".join(command), "not in this version")
    as_json = run(*command, "--json")
    assert as_json.code == 2
    assert json.loads(as_json.err)["error"]["key"] == " ".join(command)


# doctor, lifecycle


def test_doctor_says_what_is_good(run: Run, config: Path) -> None:
    result = run("doctor", "--config", str(config), "--json")
    assert result.code == 0, result
    (report,) = result.lines
    assert report["ok"] is True
    seen = {finding["check"]: finding["seen"] for finding in report["findings"]}
    assert seen["cookie name"] == "next-auth.session-token"
    assert "2 secrets" in seen["secrets"]
    assert "plain http" in seen["base_url"]
    assert seen["database"] == "sqlite, answers"
    assert seen["sessions"] == "in their tokens; a check asks no store, and the database lists them"
    assert "redis" not in seen
    assert "ok   database" in run("doctor", "--config", str(config)).out
    assert SECRETS[0] not in result.out


def test_doctor_finds_what_needs_mending(run: Run, config: Path, tmp_path: Path) -> None:
    config.write_text(f'base_url = "http://127.0.0.1:8000"\ndatabase = "sqlite:///{tmp_path}"\n')
    result = run("doctor", "--config", str(config))
    assert result.code == 1
    assert "MEND database" in result.out
    config.write_text('base_url = "ftp://x"\n')
    result = run("doctor", "--config", str(config))
    assert (result.code, "MEND base_url" in result.out) == (1, True)


def seen_by_doctor(run: Run, config: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    result = run("doctor", "--config", str(config), "--json")
    return result.code, {finding["check"]: finding for finding in result.lines[0]["findings"]}


def test_doctor_says_where_sessions_are_kept(run: Run, config: Path) -> None:
    config.write_text(config.read_text() + '[session]\nstrategy = "database"\nwith_user = true\n')
    code, findings = seen_by_doctor(run, config)
    assert code == 0
    assert findings["sessions"]["seen"] == "records in sqlite, asked at each check, with the user's row"
    assert findings["cookie size"]["seen"].startswith("80 characters")


def test_doctor_asks_redis_and_repeats_no_password(run: Run, config: Path) -> None:
    text = config.read_text() + '[session]\nstrategy = "database"\nstore = "redis"\n'
    with own_server() as server:
        config.write_text(f'redis = "{server.url}"\n{text}')
        code, findings = seen_by_doctor(run, config)
    assert code == 0
    assert findings["redis"]["seen"] == "redis, answers"
    assert findings["sessions"]["seen"] == "records in Redis, asked at each check"
    config.write_text(f'redis = "{server.url.replace("//", "//:hunter2@")}"\n{text}')
    result = run("doctor", "--config", str(config))
    assert result.code == 1
    assert "MEND redis: redis is unavailable" in result.out
    assert "Start the server" in result.out
    assert "hunter2" not in result.out + result.err


@pytest.mark.parametrize(("base_url", "code"), [("http://127.0.0.1:8000", 0), ("https://app.example", 1)])
def test_doctor_warns_of_sessions_that_end_with_the_process(run: Run, config: Path, base_url: str, code: int) -> None:
    config.write_text(f'base_url = "{base_url}"\ndatabase = "memory:"\n[session]\nstrategy = "database"\n')
    seen, findings = seen_by_doctor(run, config)
    assert (seen, findings["sessions"]["ok"]) == (code, code == 0)
    assert "restart" in findings["sessions"]["seen"]
    assert "lasting" in findings["sessions"]["fix"]


def test_doctor_calls_a_short_secret_good_on_loopback_only(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOJOURN_SECRETS", '["short"]')
    result = run("doctor", "--config", str(config), "--json")
    finding = next(f for f in result.lines[0]["findings"] if f["check"] == "secrets")
    assert finding["ok"] is True
    assert "loopback" in finding["fix"]


def test_lifecycle_prints_the_diagram(run: Run) -> None:
    assert run("lifecycle").out.startswith("stateDiagram")
    assert run("lifecycle", "--json").lines[0]["mermaid"].startswith("stateDiagram")


# demo


def test_the_demo_needs_nothing_and_takes_a_free_port_when_its_own_is_taken() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "sojourn.cli",
            "demo",
            "--port",
            str(port),
            "--max-age",
            "60s",
            "--update-age",
            "20s",
        ]
        environment = {name: value for name, value in os.environ.items() if "SECRET" not in name and "AUTH" not in name}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("sojourn ready on http://127.0.0.1:"), line + process.communicate()[1]
            url = line.split()[-1]
            username, password = re.findall(r"as (\S+) with the password ([^ ]+)\.", process.stdout.readline())[0]
            with httpx2.Client(base_url=url, headers={"origin": url}) as client:
                assert client.get("/").status_code == 200
                fields = {"csrfToken": client.get("/api/auth/csrf").json()["csrfToken"], "json": "true"}
                fields |= {"username": username, "password": password}
                assert client.post("/api/auth/callback/credentials", data=fields).status_code == 200
                claims = client.get("/demo/claims").json()["claims"]
                assert (claims["username"], claims["isSponsor"], claims["exp"] - claims["iat"]) == ("ada", True, 60)
                sent = client.post("/api/auth/signin/development", data=fields).json()["url"]
                assert sent.startswith(f"{url}/provider/authorize?")
                assert client.get(sent).status_code == 200
        finally:
            process.terminate()
            _, err = process.communicate(timeout=15)
    assert process.returncode == 0, err
    assert f"127.0.0.1:{port} cannot be used" in err


def test_durations_that_cannot_work_are_named(run: Run) -> None:
    refused(run("demo", "--port", "0", "--max-age", "60s"), "session.update_age")
    refused(run("demo", "--port", "0", "--max-age", "soon"), "session.max_age")


# mistakes


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("token", "nonsense"),
        ("users", "add"),
        ("serve", "--port", "x"),
        ("token", "open", "--compat", "v9"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    refused(run(*arguments), "sojourn --help")


def test_a_config_file_that_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    refused(run("serve", "--config", str(tmp_path / "none.toml")), "--config", "none.toml")
    (tmp_path / "bad.toml").write_text("=")
    refused(run("serve", "--config", str(tmp_path / "bad.toml")), "--config", "TOML")
    (tmp_path / "unknown.toml").write_text('base_urll = "x"\n')
    refused(run("doctor_", "--config", str(tmp_path / "unknown.toml")), "sojourn --help")
    refused(run("serve", "--config", str(tmp_path / "unknown.toml")), "base_urll")


def test_a_database_that_can_never_open_ends_serve_with_one_line(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "sojourn.toml"
    config.write_text('base_url = "http://127.0.0.1:8000"\ndatabase = "mysql://x:secret@y/z"\n')
    result = run("serve", "--config", str(config), "--port", "0")
    refused(result, "database")
    assert "secret" not in result.err


def test_help_lists_every_command(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    for command in ("serve", "demo", "users", "sessions", "keys", "db", "token", "lifecycle", "doctor"):
        assert command in result.out
