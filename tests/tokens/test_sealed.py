"""JWEs of NextAuth v4 and Auth.js v5: what opens, and the step at which everything else ends."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sojourn.errors import TokenError
from sojourn.keys import Keyring
from sojourn.tokens import AuthJSV5, NextAuthV4
from sojourn.tokens.base64url import decode, encode
from sojourn.tokens.header import LONGEST_TOKEN

NEW, OLD = Keyring(["new secret"]), Keyring(["old secret"])
BOTH = Keyring(["new secret", "old secret"])
NAME = "authjs.session-token"
PAYLOAD = b'{"sub":"1","exp":1800000000}'
V4, V5 = NextAuthV4(NEW), AuthJSV5(NEW, salt=NAME)
formats = pytest.mark.parametrize("token_format", [V4, V5], ids=["v4", "v5"])


def refused(token_format: NextAuthV4 | AuthJSV5, token: str) -> str:
    with pytest.raises(TokenError) as error:
        token_format.open(token)
    assert error.value.code == "session_invalid"
    return error.value.step


def with_header(header: Any, *, text: bytes | None = None, key: bytes | None = None) -> str:
    """A token that is right but for its header."""
    part = encode(text if text is not None else json.dumps(header, separators=(",", ":")).encode())
    key = key or NEW.derive(info="NextAuth.js Generated Encryption Key")[0]
    sealed = AESGCM(key).encrypt(b"i" * 12, PAYLOAD, part.encode())
    return f"{part}..{encode(b'i' * 12)}.{encode(sealed[:-16])}.{encode(sealed[-16:])}"


@formats
@pytest.mark.parametrize("size", range(40))
def test_every_length_goes_round(token_format: NextAuthV4 | AuthJSV5, size: int) -> None:
    payload = b"x" * (size + 1)
    token = token_format.seal(payload)
    assert token_format.open(token) == payload
    assert token != token_format.seal(payload)
    assert token_format.seal(payload, b"e" * 16) == token_format.seal(payload, b"e" * 16)


def test_headers_as_the_packages_write_them() -> None:
    assert decode(V4.seal(PAYLOAD).split(".")[0]) == b'{"alg":"dir","enc":"A256GCM"}'
    header = json.loads(decode(V5.seal(PAYLOAD).split(".")[0]))
    assert list(header) == ["alg", "enc", "kid"]
    assert (header["alg"], header["enc"], len(header["kid"])) == ("dir", "A256CBC-HS512", 86)


def test_the_newest_secret_seals_and_all_open() -> None:
    for made in (NextAuthV4(OLD).seal(PAYLOAD), NextAuthV4(NEW).seal(PAYLOAD)):
        assert NextAuthV4(BOTH).open(made) == PAYLOAD
    assert V4.open(NextAuthV4(BOTH).seal(PAYLOAD)) == PAYLOAD
    assert refused(NextAuthV4(OLD), NextAuthV4(BOTH).seal(PAYLOAD)) == "key"
    for made in (AuthJSV5(OLD, salt=NAME).seal(PAYLOAD), V5.seal(PAYLOAD)):
        assert AuthJSV5(BOTH, salt=NAME).open(made) == PAYLOAD
    assert V5.open(AuthJSV5(BOTH, salt=NAME).seal(PAYLOAD)) == PAYLOAD
    assert refused(AuthJSV5(OLD, salt=NAME), V5.seal(PAYLOAD)) == "key"


def test_one_purpose_never_stands_in_for_another() -> None:
    state = NextAuthV4(NEW, salt="next-auth.state")
    assert refused(V4, state.seal(PAYLOAD)) == "key"
    assert refused(state, V4.seal(PAYLOAD)) == "key"
    assert refused(V5, AuthJSV5(NEW, salt="__Secure-authjs.session-token").seal(PAYLOAD)) == "key"
    assert refused(V4, V5.seal(PAYLOAD)) == "header"
    assert refused(V5, V4.seal(PAYLOAD)) == "key"


@pytest.mark.parametrize(
    "header",
    [
        {"enc": "A256GCM", "alg": "dir"},
        {"alg": "dir", "enc": "A256GCM", "kid": "k1"},
        {"alg": "dir", "enc": "A256GCM", "typ": "JWT"},
    ],
)
def test_other_spellings_of_a_right_header_open(header: dict[str, str]) -> None:
    assert V4.open(with_header(header)) == PAYLOAD
    assert NextAuthV4(Keyring(["other", "new secret"])).open(with_header(header)) == PAYLOAD


def test_spaces_in_a_header_open() -> None:
    assert V4.open(with_header(None, text=b' {"alg" : "dir", "enc": "A256GCM"}\n')) == PAYLOAD


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "dir"},
        {"enc": "A256GCM"},
        {"alg": "DIR", "enc": "A256GCM"},
        {"alg": "dir", "enc": "a256gcm"},
        {"alg": "dir", "enc": "A128CBC-HS256"},
        {"alg": "A256KW", "enc": "A256GCM"},
        {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 10**9, "p2s": "AAAA"},
        {"alg": "dir", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "dir", "enc": "A256GCM", "crit": ["x"], "x": 1},
        {"alg": "dir", "enc": "A256GCM", "crit": []},
        {"alg": "dir", "enc": "A256GCM", "b64": False},
        {"alg": "dir", "enc": "A256GCM", "jwk": {"kty": "oct", "k": "AA"}},
        {"alg": "dir", "enc": "A256GCM", "jku": "http://127.0.0.1/keys"},
        {"alg": "dir", "enc": "A256GCM", "kid": 1},
        {"alg": "dir", "enc": "A256GCM", "typ": "logout+jwt"},
        ["alg"],
        "dir",
    ],
    ids=str,
)
def test_headers_that_are_refused(header: Any) -> None:
    assert refused(V4, with_header(header)) == "header"
    if header != {"alg": "dir", "enc": "A256GCM"}:
        assert refused(V5, with_header(header)) == "header"


@pytest.mark.parametrize(
    "text",
    [
        b'{"alg":"dir","enc":"A256GCM","enc":"A256GCM"}',
        b'{"alg":"dir","enc":"A128GCM","\\u0065nc":"A256GCM"}',
        b'\xef\xbb\xbf{"alg":"dir","enc":"A256GCM"}',
        b'{"alg":"dir","enc":"A256GCM"',
        b"",
        b"\xff",
        b'{"alg":"dir","enc":"A256GCM","kid":"' + b"k" * 2000 + b'"}',
        b"[" * 1000,
    ],
    ids=["twice", "twice by escape", "byte order mark", "unclosed", "empty", "bytes", "long", "deep"],
)
def test_header_texts_that_are_refused(text: bytes) -> None:
    assert refused(V4, with_header(None, text=text)) == "header"


def damaged() -> dict[str, str]:
    """Tokens whose form is wrong, from one that is right."""
    token = V4.seal(b'{"x":1}')  # 7 bytes: the ciphertext's last group is not full
    header, _, iv, text, tag = token.split(".")
    last = "BCDEFGHIJKLMNOPQRSTUVWXYZ"
    return {
        "empty": "",
        "garbage": "abc.def",
        "many dots": "." * 15_000,
        "not ASCII": "é" * 100,
        "four parts": f"{header}..{iv}.{text}",
        "six parts": f"{token}.",
        "encrypted key": f"{header}.AAAA.{iv}.{text}.{tag}",
        "empty iv": f"{header}...{text}.{tag}",
        "short iv": f"{header}..{iv[:-4]}.{text}.{tag}",
        "long iv": f"{header}..{iv}AAAA.{text}.{tag}",
        "empty ciphertext": f"{header}..{iv}..{tag}",
        "short tag": f"{header}..{iv}.{text}.{tag[:-2]}",
        "empty tag": f"{header}..{iv}.{text}.",
        "space after": f"{token} ",
        "newline after": f"{token}\n",
        "space before": f" {token}",
        "padding": f"{token}==",
        "padded ciphertext": f"{header}..{iv}.{text}==.{tag}",
        "other alphabet": f"{header}..{'+' * 16}.{text}.{tag}",
        "foreign character": f"{header}..{iv[:-1]}!.{text}.{tag}",
        "unused bits of the tag": f"{token[:-1]}{last[last.find(token[-1]) + 1]}",
        "unused bits of the ciphertext": f"{header}..{iv}.{text[:-1]}{last[last.find(text[-1]) + 1]}.{tag}",
        "dot in the ciphertext": f"{header}..{iv}.{text[:4]}.{text[5:]}.{tag}",
        "a letter after the iv": f"{header}..{iv}A{text}.{tag}",
        "a letter before the tag": f"{header}..{iv}.{text}A{tag}",
        "a letter for the empty part": f"{header}.A.{iv}.{text}.{tag}",
        "quoted": f'"{token}"',
        "bearer": f"Bearer {token}",
        "JSON serialisation": '{"protected":"eyJhbGciOiJkaXIifQ","ciphertext":"AA"}',
        "too long": V4.seal(b"x" * LONGEST_TOKEN),
        "too long and foreign": "x." * LONGEST_TOKEN,
    }


@pytest.mark.parametrize("token", damaged().values(), ids=damaged().keys())
def test_damaged_forms(token: str) -> None:
    assert refused(V4, token) == "form"
    assert refused(V5, token) in {"form", "key"}  # a GCM token of v4's is one that v5 has no key for


def test_v4_tells_a_foreign_token_from_a_damaged_one_by_nothing() -> None:
    token = V4.seal(PAYLOAD)
    flipped = token[:-30] + ("A" if token[-30] != "A" else "B") + token[-29:]
    assert refused(V4, flipped) == refused(V4, NextAuthV4(OLD).seal(PAYLOAD)) == "key"
    assert refused(NextAuthV4(BOTH), flipped) == "key"


def test_v5_knows_its_kid() -> None:
    token = V5.seal(PAYLOAD)
    header, _, iv, text, tag = token.split(".")
    other = encode(b"0" * 32)
    assert refused(V5, f"{header}..{iv}.{text}.{other}") == "signature"
    assert refused(V5, f"{header}..{encode(b'i' * 16)}.{text}.{tag}") == "signature"
    for broken in (
        f"{header}..{iv}.{text}",
        f"{header}..{iv[:-2]}.{text}.{tag}",
        f"{header}..{iv}.{text[:-4]}.{tag}",
        f"{header}..{iv}..{tag}",
        f"{header}..{iv}.{text}.{tag[:-2]}",
        f"{header}..{iv}.{text}.{tag}=",
        f"{header}..{iv}.{text}.{tag}.",
        f"{header}.AAAA.{iv}.{text}.{tag}",
        f"{header}..{iv}.{encode(b'x' * 16_000)}.{tag}",
    ):
        assert refused(V5, broken) == "form"


def v5_token(header: dict[str, str], key: bytes, plaintext: bytes = PAYLOAD + b"\4" * 4) -> str:
    """An A256CBC-HS512 token by the book (RFC 7518 5.2), its padding included in `plaintext`."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    part, iv = encode(json.dumps(header).encode()), b"i" * 16
    encryptor = Cipher(algorithms.AES(key[32:]), modes.CBC(iv)).encryptor()
    text = encryptor.update(plaintext) + encryptor.finalize()
    bits = (8 * len(part)).to_bytes(8, "big")
    tag = hmac.digest(key[:32], part.encode() + iv + text + bits, "sha512")[:32]
    return f"{part}..{encode(iv)}.{encode(text)}.{encode(tag)}"


INFO = f"Auth.js Generated Encryption Key ({NAME})"
CBC_KEYS = BOTH.derive(info=INFO, salt=NAME, length=64)
GCM_KEYS = BOTH.derive(info=INFO, salt=NAME, length=32)
CBC = {"alg": "dir", "enc": "A256CBC-HS512"}
GCM = {"alg": "dir", "enc": "A256GCM"}


def kids(keys: tuple[bytes, ...]) -> list[str]:
    import hashlib

    return [
        encode(
            hashlib.new(
                f"sha{8 * len(key)}", json.dumps({"k": encode(key), "kty": "oct"}, separators=(",", ":")).encode()
            ).digest()
        )
        for key in keys
    ]


def test_v5_without_kid_tries_the_newest_secret_only() -> None:
    both = AuthJSV5(BOTH, salt=NAME)
    assert both.open(v5_token(CBC, CBC_KEYS[0])) == PAYLOAD
    assert refused(both, v5_token(CBC, CBC_KEYS[1])) == "key"
    assert both.open(with_header(GCM, key=GCM_KEYS[0])) == PAYLOAD
    assert refused(both, with_header(GCM, key=GCM_KEYS[1])) == "key"


def test_v5_with_kid_takes_the_secret_it_names() -> None:
    both = AuthJSV5(BOTH, salt=NAME)
    for key, kid in zip(CBC_KEYS, kids(CBC_KEYS), strict=True):
        assert both.open(v5_token({**CBC, "typ": "JWT", "kid": kid}, key)) == PAYLOAD
    for key, kid in zip(GCM_KEYS, kids(GCM_KEYS), strict=True):
        assert both.open(with_header({**GCM, "kid": kid}, key=key)) == PAYLOAD
    assert refused(both, with_header({**GCM, "kid": kids(GCM_KEYS)[0]}, key=GCM_KEYS[1])) == "signature"
    assert refused(both, with_header({**GCM, "kid": "../../etc/passwd"}, key=GCM_KEYS[0])) == "key"
    assert refused(both, v5_token({**CBC, "kid": "nope"}, CBC_KEYS[0])) == "key"


def test_v5_padding_is_looked_at_after_the_tag() -> None:
    assert refused(V5, v5_token(CBC, CBC_KEYS[0], PAYLOAD + b"\0" * 4)) == "signature"
