import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bot.documents import AS_OF, AS_OF_MS, document
from tests.bot.servers import Answer, bot, endless, free_port, hang, hang_in_the_body, http, reset

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import HttpState, open_session
from accountsync.bot.repairs import HttpRepairs, json_schema, schema_text
from accountsync.bot.repairs import document as message
from accountsync.domain.account import OrderStatus
from accountsync.domain.expected import ExpectedState
from accountsync.domain.plan import Repair, RepairKind
from accountsync.errors import ActionError, NotSent, OutcomeUnknown, Reason, Refused

PUBLISHED = Path(__file__).parents[2] / "docs" / "repair.schema.json"
SOURCE = "Service trading/grid-btc"
MARKER = "hunter2"
BELIEF = ExpectedState(AS_OF_MS, "boot-1")
RESIZE = Repair(RepairKind.POSITION, "BTC/USDT:USDT", "net", "0.5")
PAY = Repair(RepairKind.BALANCE, "USDT", "wallet", "1000")
ADOPT = Repair(
    RepairKind.MISSING_ORDER, "ETH/USDT:USDT", "7", "open", "7", "g_7", "buy", Decimal(2), Decimal(0), Decimal("1E-8")
)
CLOSE = Repair(RepairKind.STALE_ORDER, "BTC/USDT:USDT", "g_1", "filled", client_id="g_1")
DONE = http(b'{"applied": [0, 1]}')


class Read(HttpState):
    """A state that is read already: what is tested is the sending."""

    belief = ExpectedState(AS_OF_MS)

    async def read(self) -> ExpectedState:
        return self.belief


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(AddressPolicy(["http://127.0.0.1:*"])) as opened:
        yield opened


def unified(symbol: str) -> str:
    return {"BTCUSDT": "BTC/USDT:USDT"}[symbol]


def repairs(
    session: aiohttp.ClientSession,
    url: str,
    *,
    timeout: float = 30,
    secret: Mapping[str, str] | None = None,
    kind: Callable[..., HttpState] = Read,
) -> HttpRepairs:
    async def read() -> Mapping[str, str]:
        assert secret is not None
        return secret

    state = kind(
        session,
        url,
        source=SOURCE,
        timeout=timeout,
        secret=None if secret is None else read,
        secret_name="grid-btc-bot",
    )
    return HttpRepairs(state, url.replace("/state", "/repair"), canonical=unified)


async def trouble(port: HttpRepairs) -> ActionError:
    with pytest.raises(ActionError) as caught:
        await port.repair("r-1", BELIEF, [RESIZE, PAY])
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert MARKER not in error.message
    return error


# --- what is sent --------------------------------------------------------------------------------------------------


async def test_a_repair_is_posted_once_with_the_belief_that_was_judged(session: aiohttp.ClientSession) -> None:
    async with bot(DONE, until=b'"wallet":"1000"}]}') as running:
        await repairs(session, running.url, secret={"token": "t"}).repair("r-1", BELIEF, [RESIZE, PAY])
    (request,) = running.requests
    head, _, body = request.partition("\r\n\r\n")
    assert head.startswith("POST /repair HTTP/1.1\r\n")
    assert "Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}" in head
    assert "Authorization: Bearer t" in head
    assert json.loads(body) == {
        "repairId": "r-1",
        "belief": {"asOf": AS_OF.replace("Z", "+00:00"), "bootId": "boot-1"},
        "repairs": [
            {"type": "position_mismatch", "symbol": "BTC/USDT:USDT", "side": "net", "quantity": "0.5"},
            {"type": "balance_mismatch", "asset": "USDT", "wallet": "1000"},
        ],
    }


def test_an_order_is_told_with_all_that_is_known_of_it_and_nothing_else() -> None:
    told = json.loads(message("r-1", replace(BELIEF, boot_id=""), [ADOPT, CLOSE], {"BTC/USDT:USDT": "BTCUSDT"}))
    assert told["belief"] == {"asOf": AS_OF.replace("Z", "+00:00")}
    assert told["repairs"] == [
        {
            "type": "missing_local_order",
            "id": "7",
            "clientId": "g_7",
            "symbol": "ETH/USDT:USDT",
            "side": "buy",
            "quantity": "2",
            "filled": "0",
            "price": "0.00000001",
            "status": "open",
        },
        {"type": "stale_local_order", "clientId": "g_1", "symbol": "BTCUSDT", "status": "filled"},
    ]


async def test_symbols_stand_as_the_bot_spells_them(session: aiohttp.ClientSession) -> None:
    state = document(positions=[{"symbol": "BTCUSDT", "quantity": "1"}, {"symbol": "GONE", "quantity": "0"}])
    async with bot(http(json.dumps(state).encode(), headers="Connection: close\r\n")) as running:
        port = repairs(session, running.url, kind=HttpState)
        with pytest.raises(ActionError):  # this bot answers a repair with its state
            await port.repair("r-1", BELIEF, [RESIZE])
    _, head = running.requests
    assert head.startswith("POST /repair")
    spelled = {"BTC/USDT:USDT": "BTCUSDT"}
    told = json.loads(message("r-1", BELIEF, [RESIZE], spelled))
    assert told["repairs"][0]["symbol"] == "BTCUSDT"
    assert f"Content-Length: {len(message('r-1', BELIEF, [RESIZE], spelled))}" in head


@pytest.mark.parametrize(
    "bad", [replace(RESIZE, id="both"), replace(RESIZE, value="a lot"), replace(CLOSE, value="lost")]
)
async def test_what_is_no_repair_is_not_sent(session: aiohttp.ClientSession, bad: Repair) -> None:
    async with bot(DONE) as running:
        with pytest.raises(NotSent, match="not of the documented form"):
            await repairs(session, running.url).repair("r-1", BELIEF, [bad])
    assert running.requests == []


# --- what is answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [DONE, http(b'{"applied": [1, 0], "note": "ok"}'), http(status="204 No Content")])
async def test_a_bot_that_says_that_it_applied_all_of_it_is_believed(
    session: aiohttp.ClientSession, answer: bytes
) -> None:
    async with bot(answer) as running:
        await repairs(session, running.url).repair("r-1", BELIEF, [RESIZE, PAY])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>hunter2</html>",
        b"{}",
        b'{"applied": []}',
        b'{"applied": [0]}',
        b'{"applied": "all"}',
        b'{"applied": [false, true]}',
        b'{"applied": ["0", [1]]}',
        b'{"applied": [0, 1], "applied": [0, 1]}',
    ],
)
async def test_a_bot_that_says_anything_else_may_have_applied_it(session: aiohttp.ClientSession, answer: bytes) -> None:
    async with bot(http(answer)) as running:
        error = await trouble(repairs(session, running.url))
    assert isinstance(error, OutcomeUnknown)
    assert "not that it applied all of the 2 repairs" in error.message


def answered(status: int, headers: str = "") -> bytes:
    return http(MARKER.encode(), status=f"{status} {MARKER}", headers=headers)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (409, Refused, "the belief has changed since"),
        (400, Refused, "status 400"),
        (422, Refused, "status 422"),
        (429, Refused, "status 429"),
        (401, Refused, "name a Secret in spec.bot.state.http.secretRef"),
        (404, Refused, "check spec.bot.state.http.repairPath"),
        (405, Refused, "check spec.bot.state.http.repairPath"),
        (501, Refused, "check spec.bot.state.http.repairPath"),
        (201, OutcomeUnknown, "expected 200 or 204"),
        (202, OutcomeUnknown, "expected 200 or 204"),
        (500, OutcomeUnknown, "see the bot's own log"),
        (502, OutcomeUnknown, "status 502"),
        (503, OutcomeUnknown, "status 503"),
    ],
)
async def test_a_status_is_told_in_words_of_our_own(
    session: aiohttp.ClientSession, status: int, kind: type[ActionError], words: str
) -> None:
    async with bot(answered(status)) as running:
        error = await trouble(repairs(session, running.url))
    assert type(error) is kind
    assert error.message.startswith(f"{SOURCE}: ")
    assert words in error.message
    assert error.reason is Reason.BOT_REFUSED
    assert len(running.requests) == 1


async def test_a_repair_is_not_sent_on_to_where_a_redirect_leads(session: aiohttp.ClientSession) -> None:
    async with bot(DONE) as target, bot(answered(307, f"Location: {target.url}\r\n")) as running:
        error = await trouble(repairs(session, running.url, secret={"token": MARKER}))
    assert isinstance(error, Refused)
    assert "redirects are not followed" in error.message
    assert target.requests == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (hang, Reason.BOT_TIMEOUT),
        (hang_in_the_body, Reason.BOT_TIMEOUT),
        (reset, Reason.BOT_UNREACHABLE),
        (b"", Reason.BOT_UNREACHABLE),
        (b"SSH-2.0-hunter2\r\n\r\n", Reason.BOT_UNREACHABLE),
        (http(b'{"applied": [0, 1]}', length=100), Reason.BOT_UNREACHABLE),
        (endless, Reason.BOT_REFUSED),
    ],
)
async def test_what_left_and_is_not_answered_to_the_end_may_have_been_applied(
    session: aiohttp.ClientSession, answer: Answer | bytes, reason: Reason
) -> None:
    async with bot(answer, until=b'"wallet":"1000"}]}') as running:
        error = await trouble(repairs(session, running.url, timeout=0.3 if answer in (hang, hang_in_the_body) else 30))
    assert type(error) is OutcomeUnknown
    assert error.reason is reason
    assert len(running.requests) == 1, "and it is not sent again"


# --- what never left -----------------------------------------------------------------------------------------------


async def test_where_nobody_listens_nothing_left(session: aiohttp.ClientSession) -> None:
    kept, port = free_port()
    with kept:
        error = await trouble(repairs(session, f"http://127.0.0.1:{port}/state"))
    assert type(error) is NotSent
    assert "is the bot running" in error.message


async def test_to_an_address_that_is_not_allowed_nothing_leaves() -> None:
    async with bot(DONE) as running, open_session(AddressPolicy()) as guarded:
        url = running.url.replace("127.0.0.1", "localhost")
        error = await trouble(repairs(guarded, url))
    assert type(error) is NotSent
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
    assert running.requests == []


async def test_without_its_secret_nothing_leaves(session: aiohttp.ClientSession) -> None:
    async with bot(DONE) as running:
        error = await trouble(repairs(session, running.url, secret={"username": MARKER}))
    assert type(error) is NotSent
    assert error.reason is Reason.SECRET_KEY_MISSING
    assert running.requests == []


async def test_to_a_bot_whose_state_cannot_be_read_nothing_is_told(session: aiohttp.ClientSession) -> None:
    async with bot(answered(503)) as running:
        error = await trouble(repairs(session, running.url, kind=HttpState))
    assert type(error) is NotSent
    assert error.reason is Reason.BOT_REFUSED
    assert [request.split()[0] for request in running.requests] == ["GET"]


# --- the schema ----------------------------------------------------------------------------------------------------

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=0, max_value=10**12)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
ORDERS = st.builds(
    Repair,
    st.sampled_from([RepairKind.MISSING_ORDER, RepairKind.STALE_ORDER]),
    NAMES,
    NAMES,
    st.sampled_from(OrderStatus).map(str),
    NAMES,
    NAMES | st.just(""),
    st.sampled_from(["buy", "sell", ""]),
    st.none() | AMOUNTS,
    st.none() | AMOUNTS,
    st.none() | AMOUNTS,
)
POSITIONS = st.builds(
    Repair, st.just(RepairKind.POSITION), NAMES, st.sampled_from(["net", "long", "short"]), AMOUNTS.map("{:f}".format)
)
BALANCES = st.builds(Repair, st.just(RepairKind.BALANCE), NAMES, st.just("wallet"), AMOUNTS.map("{:f}".format))


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), "run `make docs`"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@settings(deadline=None)
@given(st.lists(ORDERS | POSITIONS | BALANCES, min_size=1, max_size=4), st.integers(0, 10**13), NAMES | st.just(""))
def test_whatever_is_told_is_of_the_published_form(told: list[Repair], as_of: int, boot_id: str) -> None:
    sent: Any = json.loads(message("r-1", ExpectedState(as_of, boot_id), told, {}))
    VALIDATOR.validate(sent)
    assert len(sent["repairs"]) == len(told)


@pytest.mark.parametrize("field", ["type", "symbol", "status"])
def test_the_schema_misses_what_every_order_has(field: str) -> None:
    sent = json.loads(message("r-1", BELIEF, [ADOPT], {}))
    del sent["repairs"][0][field]
    assert not VALIDATOR.is_valid(sent)


def test_the_documented_messages_are_of_the_published_form() -> None:
    page = (PUBLISHED.parent / "state.md").read_text()
    shown = [json.loads(text) for text in re.findall(r"```json\n(.+?)```", page, re.DOTALL)]
    told = [text for text in shown if "repairId" in text]
    assert told
    for text in told:
        VALIDATOR.validate(text)
