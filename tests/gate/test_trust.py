"""Who may write, and with what a gate may be started."""

import os
from pathlib import Path
from typing import Any

import pytest

from accountsync.bot.http import authorization
from accountsync.bot.state import MAX_STATE_BYTES
from accountsync.gate.settings import Settings, SettingsError
from accountsync.gate.state import STATE_MAX, read_belief
from accountsync.gate.trust import Caller, Token, TokenError, Trust

TOKEN = "0123456789abcdef0123"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


LOCAL = [
    Caller("127.0.0.1", "127.0.0.1", "127.0.0.1:8711"),
    Caller("127.0.0.1", "127.0.0.1", "localhost:8711"),
    Caller("::1", "::1", "[::1]:8711"),
    Caller("::ffff:127.0.0.1", "::ffff:127.0.0.1", "localhost"),
    Caller("10.1.2.3", "10.1.2.3", "10.1.2.3:8711"),
]
ELSEWHERE = [
    Caller("10.1.2.4", "10.1.2.3", "10.1.2.3:8711"),
    Caller("10.1.2.4", "10.1.2.3", "localhost"),
    Caller("", "", "localhost"),
    Caller("127.0.0.1", "127.0.0.1", "rebound.example.com:8711"),
    Caller("127.0.0.1", "127.0.0.1", "rebound.example.com"),
]


@pytest.mark.parametrize("caller", LOCAL)
def test_the_bots_own_pod_needs_no_token(caller: Caller, token: Path) -> None:
    assert Trust().refusal(caller) is None
    assert Trust(Token(token)).refusal(caller) is None
    assert Trust(Token(token), everyone=True).refusal(caller) is not None


@pytest.mark.parametrize("caller", ELSEWHERE)
def test_others_are_refused_without_one(caller: Caller, token: Path) -> None:
    assert (Trust().refusal(caller) or (0, ""))[0] == 403
    assert (Trust(Token(token)).refusal(caller) or (0, ""))[0] == 401


def elsewhere(header: str) -> Caller:
    return Caller("10.1.2.4", "10.1.2.3", "grid-btc:8711", header)


def test_what_the_operator_sends_of_its_secret_is_what_the_gate_takes(token: Path) -> None:
    header = authorization({"token": TOKEN}, name="grid-btc-bot")["Authorization"]
    assert Trust(Token(token)).refusal(elsewhere(header)) is None
    for wrong in (TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer ", "Bearer", f"Bearer {TOKEN}0", "Bearer ü"):
        refusal = Trust(Token(token)).refusal(elsewhere(wrong))
        assert refusal is not None
        assert TOKEN not in refusal[1]


def test_a_header_that_is_no_text_is_compared_like_any_other(token: Path) -> None:
    def header(secret: bytes) -> str:
        return f"Bearer {secret.decode(errors='surrogateescape')}"

    assert (Trust(Token(token)).refusal(elsewhere(header(b"\xff\xfe"))) or (0, ""))[0] == 401
    token.write_bytes(b"\xff" * 16)
    assert Trust(Token(token)).refusal(elsewhere(header(b"\xff" * 16))) is None


def test_a_token_that_is_rotated_counts_at_once_and_one_that_is_gone_lets_nobody_in(token: Path) -> None:
    trust = Trust(Token(token))
    assert trust.refusal(elsewhere(f"Bearer {TOKEN}")) is None
    newer = token.with_name("newer")
    newer.write_text("another-token-of-the-gate")
    newer.replace(token)
    assert trust.refusal(elsewhere(f"Bearer {TOKEN}")) is not None
    assert trust.refusal(elsewhere("Bearer another-token-of-the-gate")) is None
    token.unlink()
    refusal = trust.refusal(elsewhere("Bearer another-token-of-the-gate"))
    assert refusal is not None
    assert "can't be read" in refusal[1]


def test_a_short_token_is_none(token: Path) -> None:
    token.write_text("short")
    with pytest.raises(TokenError, match="less than 16 characters"):
        Token(token).read()


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"account": ""}, "--account: expected the name"),
        ({"account": "Grid"}, "--account: 'Grid' can't be a name"),
        ({"namespace": "a/b"}, "--namespace: 'a/b' can't be a name"),
        ({"listen": "8711"}, "--listen: '8711': expected HOST:PORT"),
        ({"listen": "127.0.0.1:70000"}, "--listen"),
        ({"listen": "0.0.0.0:8711"}, "--token-file, with which the operator reads /state; or --without-token"),
        ({"listen": "[::]:8711"}, "lets others than the bot's pod in"),
        ({"token_file": Path("/no/token")}, "--token-file: the token's file /no/token can't be read"),
        ({"token_for_all": True}, "--token-for-all: needs --token-file"),
        ({"signal": "USR1"}, "needs one of these: --pid, --pid-file"),
        ({"signal": "USR1", "pid": 5, "pid_file": Path("x")}, "needs one of these"),
        ({"signal": "USR9", "pid": 5}, "--signal: 'USR9' is no signal"),
        ({"signal_open": "USR1", "pid": 5}, "--signal-open: needs --signal"),
        ({"pid": 5}, "say with --signal what to send"),
        ({"signal": "USR1", "pid": 0}, "--pid: expected the id of the bot's process"),
        ({"signal": "USR1", "pid": -1}, "--pid: expected"),
        ({"signal": "USR1", "pid": os.getpid()}, "--pid: expected"),
        ({"on_close": "/no/such thing"}, "--on-close: there is no program '/no/such'"),
        ({"on_open": "echo 'x"}, "--on-close, --on-open: No closing quotation"),
        ({"hook_timeout": "ten"}, "--hook-timeout: 'ten': expected a duration"),
        ({"hook_timeout": "0s"}, "--hook-timeout: expected more than 0s"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(**{"account": "grid-btc", **given}).checked()
    assert told in str(refused.value)


def test_a_wider_address_goes_with_a_token_or_without_what_needs_one(token: Path) -> None:
    assert Settings("grid-btc", listen="0.0.0.0:8711", token_file=token).checked().address == ("0.0.0.0", 8711)
    assert Settings("grid-btc", listen="[::]:0", without_token=True).checked().address == ("::", 0)
    with pytest.raises(SettingsError, match="one of these"):
        Settings("grid-btc", token_file=token, without_token=True).checked()


# --- the bot's state -------------------------------------------------------------------------------------------------


def test_the_gate_takes_as_much_as_the_operator_reads() -> None:
    assert STATE_MAX == MAX_STATE_BYTES


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff{}", b"[" * 100_000, b'{"bootId": 5}', b'"x"'])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_belief(raw)


def test_the_rest_is_kept_as_it_is() -> None:
    raw = b'{"version": 1,  "bootId": "b1", "quantity": 0.10}'
    assert (read_belief(raw).document, read_belief(raw).boot_id) == (raw, "b1")
    assert read_belief(b"{}").boot_id is None
