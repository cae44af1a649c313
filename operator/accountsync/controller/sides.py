"""The two sides of an account, made from its spec: the exchange with its key, and the bot's state.

A side that can't be made is one that raises why when it is asked: the cycle then treats it as Unknown, like any other
failure. An exchange client lives as long as its spec and its key stay the same.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import aiohttp

from accountsync.api.v1alpha1 import ExcessRights, TradingAccount
from accountsync.bot.address import AddressPolicy
from accountsync.bot.configmap import ConfigMapState
from accountsync.bot.freqtrade_belief import FreqtradeState
from accountsync.bot.freqtrade_control import FreqtradePauser
from accountsync.bot.freqtrade_repairs import FreqtradeRepairs
from accountsync.bot.http import HttpState, open_session
from accountsync.bot.repairs import HttpRepairs
from accountsync.controller.freqtrades import Freqtrades
from accountsync.controller.kube import FORBIDDEN, NOT_FOUND, Kube, KubeError
from accountsync.controller.secrets import BOT, EXCHANGE_READ, EXCHANGE_TRADE, SecretStore
from accountsync.controller.settings import Settings
from accountsync.domain.account import AccountSnapshot, Fill, Income, Order
from accountsync.domain.expected import ExpectedState
from accountsync.domain.marks import Mark
from accountsync.domain.policy import PauseLevel
from accountsync.domain.stopping import Activity
from accountsync.errors import AccountSyncError, BeliefUnobserved, ConfigurationError, Reason
from accountsync.exchange.ccxt_exchange import CcxtExchange
from accountsync.exchange.endpoint import EndpointPolicy
from accountsync.exchange.trading import CcxtTrading
from accountsync.exchange.venue import Venue, Venues
from accountsync.observe import Failure
from accountsync.ports import BotState, Clock, Exchange, Ledger, Pauser, Repairs, Trading

if TYPE_CHECKING:
    from accountsync.controller.ledgers import Ledgers

READ_SECRET = "spec.credentials.read.secretRef"  # noqa: S105 - a path
TRADE_SECRET = "spec.credentials.trade.secretRef"  # noqa: S105
BOT_SECRET = "spec.bot.state.http.secretRef"  # noqa: S105


_FIELDS = {
    Reason.UNKNOWN_EXCHANGE: "spec.exchange.id",
    Reason.ENDPOINT_NOT_ALLOWED: "spec.exchange.endpoint",
    Reason.UNKNOWN_SYMBOL: "spec.exchange.symbols",
    Reason.SECRET_KEY_MISSING: READ_SECRET,
    Reason.CREDENTIALS_REJECTED: READ_SECRET,
}
_ADVICE = {
    Reason.ENDPOINT_NOT_ALLOWED: "ask who runs the operator to add --allow-endpoint for it, or leave it empty",
    Reason.UNKNOWN_SYMBOL: "write them as the exchange or ccxt does, e.g. BTCUSDT or BTC/USDT:USDT",
    Reason.EXCHANGE_UNREACHABLE: "check spec.exchange.endpoint if it is set, and the operator's way to the exchange",
    Reason.EXCHANGE_MALFORMED: "nothing is judged until it answers properly",
}


def explained(failure: Failure, account: TradingAccount) -> Failure:
    """A failure of the exchange's side with the field of `account` that it is about and, where it lacks it, advice."""
    field = _FIELDS.get(failure.reason, "")
    message = failure.message
    if field == READ_SECRET:
        field = f"{field}: Secret {account.spec.credentials.read.secret_ref.name}"
    if not message.startswith(field):
        message = f"{field}: {message}"
    if failure.reason in _ADVICE:
        message = f"{message}; {_ADVICE[failure.reason]}"
    return replace(failure, message=message)


class Unavailable:
    """Stands for a side that can't be made: raises why."""

    forgets_after_ms: int | None = None
    tells_fills = False
    tells_income = False

    def __init__(self, error: AccountSyncError) -> None:
        self._error = error

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def find_order(
        self,
        *,
        symbol: str,  # noqa: ARG002
        order_id: str = "",  # noqa: ARG002
        client_id: str = "",  # noqa: ARG002
        conditional: bool | None = None,  # noqa: ARG002
    ) -> Order | None:
        """Raise."""
        raise self._error

    async def fills(self, symbol: str, since: int) -> tuple[Fill, ...]:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def income(self, since: int) -> tuple[Income, ...]:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def mark(self, symbol: str) -> Mark | None:  # noqa: ARG002
        """Raise."""
        raise self._error

    def canonical_symbol(self, text: str) -> str:
        """No symbol is known."""
        raise KeyError(text)

    async def read(self) -> ExpectedState:
        """Raise."""
        raise self._error

    async def state(self) -> Activity:
        """Raise."""
        raise self._error

    async def pause(self, level: PauseLevel) -> None:  # noqa: ARG002
        """Raise."""
        raise self._error

    async def resume(self, to: Activity) -> None:  # noqa: ARG002
        """Raise."""
        raise self._error


@dataclass(slots=True)
class _Made:
    recipe: tuple[object, ...]
    exchange: CcxtExchange
    asked: bool = False
    excess: tuple[str, ...] = ()


class Sides:
    """Makes and keeps the sides of all accounts."""

    def __init__(self, settings: Settings, kube: Kube, clock: Clock) -> None:
        self._kube = kube
        self._secrets = SecretStore(kube, clock)
        self._venues = Venues(endpoints=EndpointPolicy(settings.allowed_endpoints), clock=clock)
        self._addresses = AddressPolicy(settings.allowed_bot_urls)
        self._session: aiohttp.ClientSession | None = None
        self._made: dict[str, _Made] = {}
        self._freqtrades = Freqtrades(self._addresses, self._secrets, self._bots_session)
        self._ledgers: Ledgers | None = None

    async def of(self, account: TradingAccount) -> tuple[Exchange, BotState]:
        """Exchange and bot of `account`."""
        exchange: Exchange
        bot: BotState
        try:
            exchange = await self._exchange(account)
        except AccountSyncError as error:
            exchange = Unavailable(error)
        try:
            bot = self._bot(account)
        except AccountSyncError as error:
            bot = Unavailable(error)
        return exchange, bot

    async def rotated(self, account: TradingAccount) -> bool:
        """After the exchange refused the key: read the Secret anew, and tell whether it holds another one."""
        before = self._made.get(account.metadata.uid)
        self._secrets.forget(account.metadata.namespace, account.spec.credentials.read.secret_ref.name)
        try:
            await self._exchange(account)
        except AccountSyncError:
            return False
        return self._made.get(account.metadata.uid) is not before

    async def excess_rights(self, account: TradingAccount) -> tuple[str, ...]:
        """What the key for reading may do besides, as far as the exchange tells; it is asked once for each key."""
        made = self._made.get(account.metadata.uid)
        if made is None:
            return ()
        if not made.asked:
            made.asked = True
            with contextlib.suppress(AccountSyncError):
                made.excess = await made.exchange.excess_rights() or ()
        return made.excess

    async def trading(self, account: TradingAccount) -> Trading:
        """The account with the key that may trade, read now; close it. Raises ConfigurationError or Unobserved."""
        trade = account.spec.credentials.trade
        if trade is None:
            raise ConfigurationError(
                Reason.SECRET_NOT_FOUND, f"{TRADE_SECRET}: names no Secret with a key that may trade"
            )
        namespace, name = account.metadata.namespace, trade.secret_ref.name
        keys = await self._secrets.read_once(namespace, name, EXCHANGE_TRADE, TRADE_SECRET)
        return CcxtTrading(self._venue(account), keys, timeout=account.spec.effective_timeout())

    def expires_requests(self, account: TradingAccount) -> bool:
        """Whether the exchange refuses a request that comes late; not where it is not known."""
        try:
            return bool(self._venue(account).dialect.expires_requests)
        except AccountSyncError:
            return False

    def repairs(self, account: TradingAccount, exchange: Exchange, bot: BotState) -> Repairs | None:
        """The write side of the bot's state; None: it has none."""
        if isinstance(bot, FreqtradeState):
            shared = account.spec.exchange.shared_account  # it would take up what others placed
            return None if shared else FreqtradeRepairs(bot, canonical=exchange.canonical_symbol)
        http = account.spec.bot.state.http
        if http is None or not http.repair_path or not isinstance(bot, HttpState):
            return None
        try:
            url = self._addresses.beside(bot.url, http.repair_path)
        except AccountSyncError:
            return None
        return HttpRepairs(bot, url, canonical=exchange.canonical_symbol)

    def ledger(self, bot: BotState) -> Ledger | None:
        """What reconciles the ledger that `bot` is read from; None: it is read from none, or it can't be had."""
        return None if self._ledgers is None else self._ledgers.behind(bot)

    def pauser(self, account: TradingAccount) -> Pauser:
        """What stops the bot of `account`, whose state is freqtrade's, by calls."""
        try:
            return FreqtradePauser(self._freqtrades.of(account))
        except AccountSyncError as error:
            return Unavailable(error)

    def forget_bot_secret(self, account: TradingAccount) -> None:
        """After the bot refused to answer: its Secret is read anew for the next question."""
        state = account.spec.bot.state
        asked = state.http or state.freqtrade or state.postgres
        if asked is not None and asked.secret_ref is not None:
            self._secrets.forget(account.metadata.namespace, asked.secret_ref.name)

    def outdated_secret(self, namespace: str, name: str, version: str) -> bool:
        """A Secret is of `version` now: whether something else was read of it, which is then dropped."""
        return self._secrets.outdated(namespace, name, version)

    def forget(self, uid: str) -> None:
        """An account is gone."""
        self._made.pop(uid, None)
        self._freqtrades.forget(uid)

    def on_pace(self, uid: str) -> bool:
        """Whether the exchange of an account has request weight to spare for a cycle that is not due."""
        made = self._made.get(uid)
        return made is None or made.exchange.venue.budget.on_pace

    def budgets(self) -> Iterable[tuple[str, str, int, int]]:
        """Request weight of each exchange in use: (exchange, egress, used, limit)."""
        return self._venues.budgets()

    async def close(self) -> None:
        """Close all connections."""
        await self._venues.close()
        if self._ledgers is not None:
            await self._ledgers.close()
        if self._session is not None:
            await self._session.close()

    def _venue(self, account: TradingAccount) -> Venue:
        spec = account.spec.exchange
        return self._venues.get(spec.id, sandbox=spec.sandbox, endpoint=spec.endpoint)

    async def _exchange(self, account: TradingAccount) -> CcxtExchange:
        spec = account.spec
        venue = self._venue(account)
        name = spec.credentials.read.secret_ref.name
        keys = await self._secrets.read(account.metadata.namespace, name, EXCHANGE_READ, READ_SECRET)
        recipe = (venue, tuple(sorted(keys.items())), spec.effective_timeout())
        made = self._made.get(account.metadata.uid)
        if made is None or made.recipe != recipe:
            if made is not None:
                await made.exchange.close()
            made = _Made(recipe, CcxtExchange(venue, keys, timeout=spec.effective_timeout()))
            self._made[account.metadata.uid] = made
        if made.excess and spec.credentials.excess_rights is ExcessRights.REFUSE:
            rights = " and ".join(made.excess)
            raise ConfigurationError(
                Reason.EXCESS_RIGHTS, f"{READ_SECRET}: Secret {name}: its key may {rights}: give one that only reads"
            )
        return made.exchange

    def _bot(self, account: TradingAccount) -> BotState:
        state = account.spec.bot.state
        namespace = account.metadata.namespace
        if state.config_map is not None:
            name = state.config_map.name
            return ConfigMapState(
                lambda: self._configmap(namespace, name), namespace=namespace, name=name, key=state.config_map.key
            )
        if state.freqtrade is not None:
            return FreqtradeState(self._freqtrades.of(account))
        if state.postgres is not None:
            return self._the_ledgers().of(account)
        http = state.http
        assert http is not None, "the model lets exactly one through"
        if http.service is not None:
            url = self._addresses.service(
                namespace=namespace,
                name=http.service.name,
                port=http.service.port,
                path=http.service.path,
                scheme=http.service.scheme.value,
            )
            source = f"Service {namespace}/{http.service.name}"
        else:
            url = self._addresses.url(http.url or "")
            source = "spec.bot.state.http.url"
        session = self._bots_session()
        timeout = account.spec.effective_timeout()
        if http.secret_ref is None:
            return HttpState(session, url, source=source, timeout=timeout)
        secret = http.secret_ref.name

        async def credentials() -> Mapping[str, str]:
            return await self._secrets.read(namespace, secret, BOT, BOT_SECRET)

        return HttpState(session, url, source=source, timeout=timeout, secret=credentials, secret_name=secret)

    def _the_ledgers(self) -> "Ledgers":
        if self._ledgers is None:
            from accountsync.controller.ledgers import Ledgers  # noqa: PLC0415 - most operators read no ledger

            self._ledgers = Ledgers(self._addresses, self._secrets)
        return self._ledgers

    def _bots_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = open_session(self._addresses)
        return self._session

    async def _configmap(self, namespace: str, name: str) -> Mapping[str, str] | None:
        try:
            return await self._kube.configmap(namespace, name)
        except KubeError as error:
            if error.status == NOT_FOUND:
                return None
            if error.status == FORBIDDEN:
                raise BeliefUnobserved(
                    Reason.STATE_FORBIDDEN,
                    f'the operator may not get configmaps "{name}" in namespace "{namespace}":'
                    " bind ClusterRole accountsync-tenant there",
                ) from None
            raise BeliefUnobserved(
                Reason.API_SERVER_UNAVAILABLE, f"the API server did not answer for ConfigMap {namespace}/{name}"
            ) from None
