"""How a freqtrade bot is signed in to, asked and told."""

import base64
from collections.abc import AsyncIterator

import pytest
from tests.bot.freqtrades import (
    LOGIN,
    PASSWORD,
    USERNAME,
    Fault,
    Served,
    Signed,
    answers,
    bot_at,
    breaks,
    endless,
    hangs,
    recorded,
)
from tests.bot.servers import free_port

from accountsync.bot.address import AddressPolicy
from accountsync.bot.freqtrade import FreqtradeApi
from accountsync.bot.http import open_session
from accountsync.errors import AccountSyncError, ConfigurationError, NotSent, OutcomeUnknown, Reason

BASIC = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()


@pytest.fixture
async def rig() -> AsyncIterator[tuple[Served, Signed]]:
    async with bot_at() as running:
        yield running


async def refusal(api: FreqtradeApi, path: str = "/status") -> AccountSyncError:
    with pytest.raises(AccountSyncError) as caught:
        await api.get(path)
    message = caught.value.message
    assert not any(secret in message for secret in (PASSWORD, BASIC, "token-", "127.0.0.1"))
    return caught.value


async def test_it_signs_in_once_and_shows_the_password_nowhere_else(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    for path in ("/health", "/status", "/count"):
        await known.api.get(path)
    assert bot.logins == 1
    assert bot.seen.pop(LOGIN) == [f"Basic {BASIC}"]
    assert {line for lines in bot.seen.values() for line in lines} == {"Bearer token-1"}


async def test_a_token_that_expired_is_replaced_and_nobody_notices(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    await known.api.get("/status")
    bot.tokens.clear()
    assert await known.api.get("/status") == []
    assert bot.logins == 2


async def test_a_call_that_found_its_token_expired_is_made_once(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    await known.api.get("/status")
    bot.tokens.clear()
    assert (await known.api.post("/pause")).status == 200
    assert bot.state == "paused"


async def test_a_wrong_password_names_the_secret_and_holds_none(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.password = "another"
    error = await refusal(known.api)
    assert error.reason is Reason.BOT_REFUSED
    assert "Secret grid-btc-bot, named in spec.bot.state.freqtrade.secretRef" in error.message
    assert bot.asked == []


async def test_a_token_that_is_refused_though_it_is_new_is_a_refusal(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.faults["status"].extend([answers(401), answers(401)])
    error = await refusal(known.api)
    assert (error.reason, bot.logins) == (Reason.BOT_REFUSED, 2)


async def test_a_secret_that_changes_counts_at_once(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    await known.api.get("/status")
    bot.password = known.secret["password"] = "another"
    await known.api.get("/status")
    assert bot.logins == 2


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {"username": USERNAME},
        {"password": PASSWORD},
        {"username": "a:b", "password": PASSWORD},
        {"username": USERNAME, "password": "hunter2-of\x00the-bot"},
        {"token": "other"},
    ],
)
async def test_a_secret_without_both_entries_is_not_tried(rig: tuple[Served, Signed], secret: dict[str, str]) -> None:
    bot, known = rig
    known.secret.clear()
    known.secret.update(secret)
    error = await refusal(known.api)
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.SECRET_KEY_MISSING
    assert "username" in error.message
    assert not bot.seen


async def test_a_line_break_at_the_end_of_an_entry_is_none_of_it(rig: tuple[Served, Signed]) -> None:
    _, known = rig
    known.secret["password"] += "\n"
    assert await known.api.get("/status") == []


@pytest.mark.parametrize(
    ("fault", "reason", "advice"),
    [
        (answers(301, headers={"Location": "http://127.0.0.1:1/"}), Reason.BOT_REFUSED, "redirects are not followed"),
        (answers(403), Reason.BOT_REFUSED, "spec.bot.state.freqtrade.secretRef"),
        (answers(404), Reason.BOT_REFUSED, "api_server"),
        (answers(500), Reason.BOT_REFUSED, "its own log"),
        (answers(502, {"error": "Bot is not in the correct state"}), Reason.BOT_NOT_READY, "its own log"),
        (answers(503), Reason.BOT_NOT_READY, "its own log"),
        (answers(200, "<html>"), Reason.STATE_MALFORMED, "is no JSON"),
        (answers(200, "[" * 100_000), Reason.STATE_MALFORMED, "is no JSON"),
        (answers(200, "1" * 5_000), Reason.STATE_MALFORMED, "is no JSON"),
        (answers(200, "0." + "1" * 5_000), Reason.STATE_MALFORMED, "is no JSON"),
        (endless, Reason.STATE_TOO_LARGE, "over 1024 KiB"),
        (breaks, Reason.BOT_UNREACHABLE, "the connection broke"),
    ],
)
@pytest.mark.parametrize("path", ["status", LOGIN])
async def test_what_goes_wrong_is_told_in_our_own_words(
    rig: tuple[Served, Signed], fault: Fault, reason: Reason, advice: str, path: str
) -> None:
    bot, known = rig
    bot.faults[path].extend([fault, fault])  # a GET on a connection that breaks is made once more
    error = await refusal(known.api)
    assert error.reason is reason
    assert advice in error.message


async def test_a_bot_that_hangs_is_left_in_time() -> None:
    async with bot_at(patience=0.1) as (bot, known):
        bot.faults["status"].append(hangs)
        assert (await refusal(known.api)).reason is Reason.BOT_TIMEOUT


async def test_a_bot_that_is_down_is_unreachable_and_nothing_was_sent(rig: tuple[Served, Signed]) -> None:
    sock, port = free_port()
    with sock:
        async with open_session(AddressPolicy(["http://127.0.0.1:*"])) as session:
            root = f"http://127.0.0.1:{port}/api/v1"
            api = FreqtradeApi(
                session, root, source="here", timeout=30, secret=rig[1].api._secret, secret_name="grid-btc-bot"
            )
            assert (await refusal(api)).reason is Reason.BOT_UNREACHABLE
            with pytest.raises(NotSent):
                await api.post("/pause")


async def test_a_login_without_a_token_is_no_login(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.faults[LOGIN].append(answers(200, {"access_token": "a\r\nb: c"}))
    assert (await refusal(known.api)).reason is Reason.STATE_MALFORMED


async def test_a_call_whose_answer_is_lost_may_have_happened(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    await known.api.get("/status")
    bot.faults["pause"].append(breaks)
    with pytest.raises(OutcomeUnknown):
        await known.api.post("/pause")
    assert len(bot.seen["pause"]) == 1, "it is not made again by itself"


async def test_a_call_that_could_not_sign_in_was_not_made(rig: tuple[Served, Signed]) -> None:
    bot, known = rig
    bot.password = "another"
    with pytest.raises(NotSent):
        await known.api.post("/pause")
    assert bot.asked == []


async def test_its_refusals_are_the_recorded_ones() -> None:
    refusals = recorded("refusals")
    assert refusals["token/login with a wrong password"][0] == 401
    assert refusals["status with a wrong token"][0] == 401
    assert refusals["trades/99/reload"][0] == 502
    assert {"access_token"} <= refusals[LOGIN][1].keys()
