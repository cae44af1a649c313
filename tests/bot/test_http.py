import base64
import gzip
import json
import socket
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.bot.documents import AS_OF_MS, document
from tests.bot.servers import Answer, Bot, bot, endless, free_port, hang, hang_in_the_body, http, reset

from accountsync.bot.address import AddressPolicy
from accountsync.bot.http import HttpState, authorization, open_session
from accountsync.bot.state import MAX_STATE_BYTES
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, Reason

GOOD = json.dumps(document()).encode()
SOURCE = "Service trading/grid-btc"
MARKER = "hunter2"


class Names(AbstractResolver):
    """A resolver of made-up names."""

    def __init__(self, **names: str) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        if host not in self.names:
            raise OSError("no such name")
        address = self.names[host]
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(AddressPolicy(["http://127.0.0.1:*"])) as opened:
        yield opened


def state(
    session: aiohttp.ClientSession, url: str, *, timeout: float = 30, secret: Mapping[str, str] | None = None
) -> HttpState:
    async def read() -> Mapping[str, str]:
        assert secret is not None
        return secret

    return HttpState(
        session,
        url,
        source=SOURCE,
        timeout=timeout,
        secret=None if secret is None else read,
        secret_name="grid-btc-bot",
    )


async def refusal(reading: HttpState) -> AccountSyncError:
    with pytest.raises(AccountSyncError) as caught:
        await reading.read()
    error = caught.value
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    assert MARKER not in error.message
    return error


async def test_the_belief_is_asked_for_once_and_plainly(session: aiohttp.ClientSession) -> None:
    async with bot(http(GOOD, headers="Content-Type: text/plain\r\n")) as running:
        found = await state(session, running.url).read()
    assert found.as_of == AS_OF_MS
    (request,) = running.requests
    assert request.startswith("GET /state HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in request
    assert "Authorization" not in request


async def test_an_answer_that_is_compressed_all_the_same_is_read(session: aiohttp.ClientSession) -> None:
    async with bot(http(gzip.compress(GOOD), headers="Content-Encoding: gzip\r\n")) as running:
        assert (await state(session, running.url).read()).as_of == AS_OF_MS


async def test_the_secret_is_read_for_every_request(session: aiohttp.ClientSession) -> None:
    secret = {"token": "first\n"}
    async with bot(http(GOOD)) as running:
        reading = state(session, running.url, secret=secret)
        await reading.read()
        secret["token"] = "second"
        await reading.read()
    first, second = running.requests
    assert "Authorization: Bearer first\r\n" in first
    assert "Authorization: Bearer second\r\n" in second


def test_a_username_and_a_password_are_sent_as_basic_authorization() -> None:
    header = authorization({"username": "bot", "password": "pä:ss\n"}, name="it")["Authorization"]
    scheme, _, encoded = header.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == "bot:pä:ss"


def test_a_token_goes_before_username_and_password() -> None:
    secret = {"token": "t", "username": "u", "password": "p"}
    assert authorization(secret, name="it") == {"Authorization": "Bearer t"}


@pytest.mark.parametrize(
    "secret",
    [
        {},
        {"token": ""},
        {"token": f"{MARKER}\r\nHost: evil"},
        {"token": f"{MARKER} "},
        {"token": f"{MARKER}ä", "username": "u", "password": "p"},
        {"username": "u"},
        {"username": "", "password": MARKER},
        {"username": "u:v", "password": MARKER},
        {"username": "u", "password": f"{MARKER}\nx"},
    ],
)
async def test_a_secret_that_cannot_be_sent_is_not_sent(session: aiohttp.ClientSession, secret: dict[str, str]) -> None:
    async with bot(http(GOOD)) as running:
        error = await refusal(state(session, running.url, secret=secret))
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.SECRET_KEY_MISSING
    assert "Secret grid-btc-bot" in error.message
    assert running.requests == []


async def test_a_secret_that_cannot_be_read_says_so_itself(session: aiohttp.ClientSession) -> None:
    async def read() -> Mapping[str, str]:
        raise ConfigurationError(Reason.SECRET_NOT_FOUND, "no such Secret")

    reading = HttpState(session, "http://127.0.0.1:1/state", source=SOURCE, timeout=30, secret=read)
    assert (await refusal(reading)).reason is Reason.SECRET_NOT_FOUND


def answer(status: str, headers: str = "") -> bytes:
    return http(MARKER.encode(), status=f"{status} {MARKER}", headers=headers)


@pytest.mark.parametrize("status", [201, 204, 206, 302, 304, 307, 400, 401, 403, 404, 429, 500, 503])
async def test_any_status_but_200_is_a_refusal_that_carries_the_number_only(
    session: aiohttp.ClientSession, status: int
) -> None:
    bodiless = http(status=f"{status} {MARKER}") if status in {204, 304} else None
    async with bot(bodiless or answer(str(status))) as running:
        error = await refusal(state(session, running.url))
    assert isinstance(error, BeliefUnobserved)
    assert error.reason is Reason.BOT_REFUSED
    assert error.message.startswith(f"{SOURCE}: answered with status {status}")


@pytest.mark.parametrize("status", ["401", "403"])
async def test_a_refused_secret_is_named_by_its_field(session: aiohttp.ClientSession, status: str) -> None:
    async with bot(answer(status, 'WWW-Authenticate: Basic realm="hunter2"\r\n')) as running:
        with_secret = await refusal(state(session, running.url, secret={"token": MARKER}))
        without = await refusal(state(session, running.url))
    assert "check the Secret named in spec.bot.state.http.secretRef" in with_secret.message
    assert "name a Secret in spec.bot.state.http.secretRef" in without.message


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    async with bot(http(GOOD)) as target, bot(answer("302", f"Location: {target.url}\r\n")) as running:
        error = await refusal(state(session, running.url, secret={"token": MARKER}))
    assert "redirects are not followed" in error.message
    assert target.requests == []


async def test_a_cookie_of_one_bot_is_not_sent_to_another(session: aiohttp.ClientSession) -> None:
    async with bot(http(GOOD, headers="Set-Cookie: session=hunter2; Path=/\r\n")) as running:
        await state(session, running.url).read()
        await state(session, running.url).read()
    assert not any("Cookie" in request for request in running.requests)


@pytest.mark.parametrize("slow", [hang, hang_in_the_body])
async def test_a_bot_that_hangs_times_out(session: aiohttp.ClientSession, slow: Answer) -> None:
    async with bot(slow) as running:
        error = await refusal(state(session, running.url, timeout=0.2))
    assert isinstance(error, BeliefUnobserved)
    assert error.reason is Reason.BOT_TIMEOUT
    assert "0.2 s" in error.message


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (reset, "the connection broke"),
        (b"", "the connection broke"),
        (http(GOOD, length=len(GOOD) + 1), "ended early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "ended early"),
        (http(MARKER.encode(), headers="Content-Encoding: gzip\r\n"), "wrongly encoded"),
        (b"SSH-2.0-hunter2\r\n\r\n", "not valid HTTP"),
        (http(GOOD, headers=f"X: {MARKER * 5000}\r\n"), "not valid HTTP"),
    ],
)
async def test_an_answer_that_breaks_off_is_no_belief(
    session: aiohttp.ClientSession, broken: Answer | bytes, words: str
) -> None:
    async with bot(broken) as running:
        error = await refusal(state(session, running.url))
    assert isinstance(error, BeliefUnobserved)
    assert error.reason is Reason.BOT_UNREACHABLE
    assert words in error.message


async def test_a_port_where_nobody_listens_is_unreachable(session: aiohttp.ClientSession) -> None:
    kept, port = free_port()
    with kept:
        error = await refusal(state(session, f"http://127.0.0.1:{port}/state"))
    assert isinstance(error, BeliefUnobserved)
    assert error.reason is Reason.BOT_UNREACHABLE
    assert "is the bot running" in error.message


async def test_a_server_without_tls_is_unreachable_over_https(session: aiohttp.ClientSession) -> None:
    async with bot(b"no TLS here", until=b"") as running:
        error = await refusal(state(session, running.url.replace("http:", "https:")))
    assert error.reason is Reason.BOT_UNREACHABLE
    assert "TLS" in error.message


def chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


async def test_a_belief_at_the_limit_is_read(session: aiohttp.ClientSession) -> None:
    async with bot(chunked(GOOD.ljust(MAX_STATE_BYTES))) as running:
        assert (await state(session, running.url).read()).as_of == AS_OF_MS


@pytest.mark.parametrize(
    "large",
    [
        endless,
        chunked(GOOD.ljust(MAX_STATE_BYTES + 1)),
        http(GOOD.ljust(MAX_STATE_BYTES + 1)),
        http(gzip.compress(b" " * 50_000_000), headers="Content-Encoding: gzip\r\n"),
    ],
    ids=["endless", "chunked", "with its length", "compressed"],
)
async def test_an_oversized_answer_is_dropped(session: aiohttp.ClientSession, large: Answer | bytes) -> None:
    async with bot(large) as running:
        error = await refusal(state(session, running.url))
    assert error.reason is Reason.STATE_TOO_LARGE


@pytest.mark.parametrize(
    "cut",
    [http(GOOD, length=10), http(gzip.compress(GOOD)[:-12], headers="Content-Encoding: gzip\r\n")],
    ids=["length that lies low", "compressed"],
)
async def test_a_belief_that_is_cut_is_no_belief(session: aiohttp.ClientSession, cut: bytes) -> None:
    async with bot(cut) as running:
        error = await refusal(state(session, running.url))
    assert error.reason in {Reason.STATE_MALFORMED, Reason.BOT_UNREACHABLE}


@pytest.mark.parametrize("body", [b"", b"\xff", b"<html>hunter2</html>", b"[]", b'{"error": "hunter2"}'])
async def test_an_answer_that_is_no_belief_is_malformed(session: aiohttp.ClientSession, body: bytes) -> None:
    async with bot(http(body, headers="Content-Type: application/json\r\n")) as running:
        error = await refusal(state(session, running.url))
    assert error.reason is Reason.STATE_MALFORMED
    assert error.message.startswith(f"{SOURCE}: the document ") or f"{SOURCE}: version" in error.message


async def read_by_name(running: Bot, policy: AddressPolicy, resolver: AbstractResolver) -> AccountSyncError:
    async with open_session(policy, resolver) as session:
        return await refusal(state(session, f"http://grid.trading.svc:{running.port}/state", secret={"token": MARKER}))


async def test_a_service_whose_name_leads_to_loopback_is_not_asked() -> None:
    resolver = Names(**{"grid.trading.svc": "127.0.0.1"})
    async with bot(http(GOOD)) as running:
        error = await read_by_name(running, AddressPolicy(["http://127.0.0.1:*"]), resolver)
    assert isinstance(error, ConfigurationError)
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
    assert running.requests == []


async def test_a_name_on_the_allow_list_may_lead_to_loopback() -> None:
    policy = AddressPolicy(["http://bot.test:*"])
    async with bot(http(GOOD)) as running, open_session(policy, Names(**{"bot.test": "127.0.0.1"})) as session:
        url = policy.url(f"http://bot.test:{running.port}/state")
        assert (await state(session, url).read()).as_of == AS_OF_MS


async def test_a_name_that_changes_its_address_is_judged_when_it_is_dialled() -> None:
    resolver = Names(**{"grid.trading.svc": "10.0.0.1"})
    policy = AddressPolicy()
    async with bot(http(GOOD)) as running:
        resolver.names["grid.trading.svc"] = "169.254.169.254"
        error = await read_by_name(running, policy, resolver)
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[::ffff:169.254.169.254]"])
async def test_a_literal_special_address_is_not_dialled_even_if_nobody_checked_it(
    session: aiohttp.ClientSession, host: str
) -> None:
    error = await refusal(state(session, f"http://{host}/state"))
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED


async def test_a_name_that_dns_does_not_know_is_unreachable() -> None:
    async with open_session(AddressPolicy(), Names()) as session:
        error = await refusal(state(session, "http://grid.trading.svc:80/state"))
    assert error.reason is Reason.BOT_UNREACHABLE
    assert "DNS" in error.message


async def test_an_address_that_is_no_url_is_a_mistake_of_configuration(session: aiohttp.ClientSession) -> None:
    error = await refusal(state(session, "http://127.1/state"))
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
