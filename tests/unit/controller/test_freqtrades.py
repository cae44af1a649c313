"""The sides of an account whose bot is freqtrade: its address, its Secret, and what is kept between two cycles."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from tests.bot.freqtrades import PASSWORD, USERNAME, Served, served
from tests.support.fakes import FakeExchange, ManualClock
from tests.unit.controller.test_account_loop import body

from accountsync.api.v1alpha1 import TradingAccount
from accountsync.bot.freqtrade_belief import FreqtradeState
from accountsync.bot.freqtrade_repairs import FreqtradeRepairs
from accountsync.controller.kube import Kube, Secret
from accountsync.controller.settings import Settings
from accountsync.controller.sides import Sides
from accountsync.domain.stopping import Activity
from accountsync.errors import AccountSyncError, Reason
from accountsync.ports import BotState


class Secrets:
    """An API server with the bot's Secret in it."""

    def __init__(self) -> None:
        self.use = "bot"
        self.data = {"username": USERNAME, "password": PASSWORD}
        self.reads = 0

    async def secret(self, _namespace: str, _name: str) -> Secret:
        self.reads += 1
        return Secret(use=self.use, data=self.data, version=str(self.reads))


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.secrets = Secrets()
        settings = Settings(allowed_bot_urls=("http://127.0.0.1:*",))
        self.sides = Sides(settings, cast("Kube", self.secrets), self.clock)

    def bot(self, account: TradingAccount) -> BotState:
        return self.sides._bot(account)

    async def failure(self, account: TradingAccount) -> AccountSyncError:
        with pytest.raises(AccountSyncError) as caught:
            await self.sides.pauser(account).state()
        return caught.value


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.sides.close()


@pytest.fixture
async def bot() -> AsyncIterator[Served]:
    async with served("entry-filled") as running:
        yield running


def account(uid: str = "u-1", **where: Any) -> TradingAccount:
    made = body(uid)
    made["spec"]["bot"] = {"state": {"freqtrade": {**where, "secretRef": {"name": "grid-bot"}}}}
    return TradingAccount.parse(made)


async def test_the_bot_is_read_paused_and_repaired_at_one_address_with_one_token(rig: Rig, bot: Served) -> None:
    grid = account(url=bot.url)
    for _ in range(2):
        belief = await rig.bot(grid).read()
        assert belief.positions
        assert await rig.sides.pauser(grid).state() is Activity.RUNNING
    assert bot.logins == 1
    read = rig.bot(grid)
    assert isinstance(read, FreqtradeState)
    repairs = rig.sides.repairs(grid, FakeExchange(rig.clock), read)
    assert isinstance(repairs, FreqtradeRepairs)
    assert repairs.adopts, "a reload takes up whatever is open in the pair"


async def test_a_bot_that_would_take_up_what_others_placed_is_not_repaired(rig: Rig, bot: Served) -> None:
    made = body("u-1")
    made["spec"]["exchange"]["sharedAccount"] = "desk"
    state = {"freqtrade": {"url": bot.url, "secretRef": {"name": "grid-bot"}}}
    made["spec"]["bot"] = {"state": state, "orderIdPrefix": "grid_"}
    grid = TradingAccount.parse(made)
    assert rig.sides.repairs(grid, FakeExchange(rig.clock), rig.bot(grid)) is None


@pytest.mark.parametrize("end", ["", "/"])
async def test_an_url_is_that_up_to_the_api(rig: Rig, bot: Served, end: str) -> None:
    assert await rig.sides.pauser(account(url=f"{bot.url}{end}")).state() is Activity.RUNNING


async def test_accounts_share_no_token(rig: Rig, bot: Served) -> None:
    for uid in ("u-1", "u-2"):
        await rig.sides.pauser(account(uid, url=bot.url)).state()
    assert bot.logins == 2


async def test_an_account_that_is_gone_leaves_no_token(rig: Rig, bot: Served) -> None:
    grid = account(url=bot.url)
    await rig.sides.pauser(grid).state()
    rig.sides.forget("u-1")
    await rig.sides.pauser(grid).state()
    assert bot.logins == 2


async def test_a_service_is_looked_for_in_the_accounts_own_namespace(rig: Rig) -> None:
    read = rig.bot(account(service={"name": "bot", "port": 8080}))
    assert isinstance(read, FreqtradeState)
    assert (read.api._root, read.api.source) == ("http://bot.trading.svc:8080/api/v1", "Service trading/bot")


@pytest.mark.parametrize("url", ["http://bots.example.com", "http://127.0.0.1:1/%2e%2e", "http://169.254.169.254"])
async def test_an_address_that_is_not_allowed_is_dialled_by_nobody_and_its_field_is_named(rig: Rig, url: str) -> None:
    error = await rig.failure(account(url=url))
    assert error.reason is Reason.BOT_ADDRESS_NOT_ALLOWED
    assert error.message.startswith("spec.bot.state.freqtrade.url ")
    assert rig.secrets.reads == 0


async def test_a_secret_of_another_use_is_sent_to_no_bot(rig: Rig, bot: Served) -> None:
    rig.secrets.use = "exchange-trade"
    error = await rig.failure(account(url=bot.url))
    assert error.reason is Reason.SECRET_NOT_LABELLED
    assert error.message.startswith("spec.bot.state.freqtrade.secretRef: Secret grid-bot ")
    assert not bot.seen


async def test_after_a_refusal_the_secret_is_read_anew(rig: Rig, bot: Served) -> None:
    grid = account(url=bot.url)
    bot.password = "changed"
    assert (await rig.failure(grid)).reason is Reason.BOT_REFUSED
    rig.secrets.data = {"username": USERNAME, "password": "changed"}
    rig.sides.forget_bot_secret(grid)
    assert await rig.sides.pauser(grid).state() is Activity.RUNNING
