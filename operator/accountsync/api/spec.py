"""`spec` of a TradingAccount: what a person writes."""

import math
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.functional_validators import AfterValidator

from accountsync.api.markers import ATOMIC_LIST, DEFAULT_EMPTY, INT32, SET, Matches, Rule, map_by
from accountsync.api.parts import FieldRuleError, Part
from accountsync.api.quantities import Amount, Duration, PositiveAmount, PositiveDuration, Time, is_duration
from accountsync.api.remediation import Remediation
from accountsync.api.sources import SecretRef, StateSource
from accountsync.api.texts import Origin, SharedName
from accountsync.domain.catalogue import Rule as RuleName
from accountsync.domain.policy import PauseLevel, UnexpectedOrders

DEFAULT_TIMEOUT = 10.0
"""Seconds; without `spec.timeout`, a cycle has this long or two thirds of the interval, whichever is shorter."""


class Exchange(Part):
    """Which exchange account is watched."""

    id: Annotated[
        str,
        Matches(
            r"^[a-z0-9_]{1,40}$",
            "expected the id of an exchange as ccxt spells it: lower-case letters, digits and '_', e.g. binanceusdm",
        ),
        Field(max_length=40),
        Rule(
            rule="self == oldSelf",
            message="cannot be changed: delete this TradingAccount and create one for the other exchange",
        ),
    ]
    """The exchange as ccxt spells it, e.g. binanceusdm. It cannot be changed later."""

    sandbox: bool = False
    """Use the exchange's public test network."""

    endpoint: Origin = ""
    """Base URL instead of the exchange's own: http or https, host and maybe port. The operator must allow it."""

    symbols: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=200), SET] = ()
    """Symbols to watch, in the exchange's spelling or ccxt's. Empty: the whole account."""

    shared_account: SharedName = ""
    """A name for the exchange account, where several bots trade on it: each TradingAccount of this namespace that gives
    the same name sees its own orders, and positions and balances are compared with what all of them believe."""


class Credential(Part):
    """Where a key is kept."""

    secret_ref: SecretRef
    """The Secret."""


class ExcessRights(StrEnum):
    """What becomes of an account whose read key may do more than read."""

    WARN = "Warn"
    REFUSE = "Refuse"


_KEYS_APART = (
    "expected another Secret than that of credentials.read: a key that reads all day must not be one that trades"
)


class Credentials(Part):
    """The keys of the exchange account."""

    crd_rules = (
        Rule(
            rule="!has(self.trade) || self.trade.secretRef.name != self.read.secretRef.name",
            message=_KEYS_APART,
            field=".trade.secretRef.name",
        ),
    )

    read: Credential
    """A key that may read and nothing else, in a Secret labelled accountsync.dev/use: exchange-read. Its entries are
    what the exchange asks for: apiKey, secret, sometimes password or uid."""

    trade: Credential | None = None
    """A key that may trade, and not withdraw, in a Secret labelled accountsync.dev/use: exchange-trade. It is read at
    the moment of an action, and dropped after it. Needed where remediation acts on the exchange."""

    excess_rights: ExcessRights = ExcessRights.WARN
    """What happens if the exchange says that the read key may trade or withdraw. Warn: a condition tells. Refuse: the
    account is not read with it."""

    @model_validator(mode="after")
    def _keys_apart(self) -> Self:
        if self.trade is not None and self.trade.secret_ref.name == self.read.secret_ref.name:
            raise FieldRuleError(f"trade.secretRef.name: {_KEYS_APART}")
        return self


_GATE_RANGE = "expected a duration from 3s to 1h"
_MIN_GATE, _MAX_GATE = 3, 3600


def _gate_in_range(value: Duration) -> Duration:
    if not _MIN_GATE <= value.seconds <= _MAX_GATE:
        raise ValueError(_GATE_RANGE)
    return value


class Gate(Part):
    """A gate beside the bot."""

    fail_closed_after: Annotated[
        Duration,
        AfterValidator(_gate_in_range),
        Rule(
            rule=f"!{is_duration('self')} || (duration(self) >= duration('3s') && duration(self) <= duration('1h'))",
            message=_GATE_RANGE,
        ),
    ] = Duration("60s")
    """The gate closes once it has heard no heartbeat of the operator for this long, from 3s to 1h."""


class Bot(Part):
    """The bot that trades on the account."""

    state: StateSource
    """Where the bot's own belief about orders, positions and balances is read."""

    order_id_prefix: Annotated[
        str,
        Field(max_length=36),
        Matches(
            r"^[.A-Z:/a-z0-9_-]{0,36}$",
            "expected the beginning of the bot's client order ids: at most 36 letters, digits and . : / _ -",
        ),
    ] = ""
    """How the client order ids of this bot, and of no other, begin. It tells the bot's orders from foreign ones.
    Empty: no order is known to be the bot's by its id."""

    stale_after: PositiveDuration = Duration("60s")
    """A state that is older than this counts as unknown."""

    gate: Gate | None = None
    """The account has a gate beside its bot (accountsync gate): the operator keeps a heartbeat for it, in a Lease of
    this namespace. Left out: no heartbeat, and a gate stays closed."""

    pause_allowance: Duration = Duration("10s")
    """Time that the bot has to obey a hold. An order of its own that was created later, and that the hold does not
    allow, is told of as PauseNotHonoured. With a gate it has at least gate.failClosedAfter: a gate that is cut off from
    the API server stays open for so long."""


class BalanceTolerance(Part):
    """How far the wallet balance of one asset may be off."""

    asset: Annotated[str, Field(min_length=1, max_length=32)]
    """The asset as the exchange spells it, e.g. USDT."""

    tolerance: Amount
    """Difference that is accepted, in units of the asset."""


class Tolerances(Part):
    """How much difference is accepted, and for how long."""

    position: Amount = Decimal(0)
    """Difference of a position's quantity that is accepted, in units of the base asset."""

    order_grace: Duration = Duration("5s")
    """Time that the bot has to learn of a change on the exchange before a difference counts."""

    confirmations: Annotated[int, Field(ge=1, le=10), INT32] = 2
    """How many times in a row a difference must be seen, each time with newer data of both sides."""

    balances: Annotated[tuple[BalanceTolerance, ...], Field(max_length=50), map_by("asset")] = ()
    """Differences of wallet balances that are accepted, by asset. Only assets that the bot publishes are compared;
    one that is not listed here may be off by 0.01."""


class Ignore(Part):
    """A finding that people know and accept for a time."""

    rule: RuleName
    """Kind of finding, e.g. UnexpectedOrder."""

    symbol: Annotated[str, Field(max_length=64)] = ""
    """The symbol or asset, in the exchange's spelling or ccxt's. Empty: any."""

    id: Annotated[str, Field(max_length=64)] = ""
    """The id as status.findings lists it: of the order, the position's side, wallet. Empty: any."""

    until: Time
    """When it counts again."""

    reason: Annotated[str, Field(min_length=1, max_length=256)]
    """Why it is accepted, for the people who find it here."""


_MORE_THAN_NOTHING = 'expected a decimal number of more than zero in quotes, such as "1000"; leave it out for never'


def _some(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(_MORE_THAN_NOTHING)
    return value


class Alerts(Part):
    """When people are alerted, where one rule does not suit every account."""

    mismatch_notional: (
        Annotated[Amount, AfterValidator(_some), Rule(rule="self.matches('[1-9]')", message=_MORE_THAN_NOTHING)] | None
    ) = None
    """The alert MismatchNotionalHigh fires while confirmed findings put more than this at risk, in the quote currency.
    Left out: never."""


class AutoResume(Part):
    """When the watchdog lets the bot go again by itself: once all three have passed."""

    enabled: bool = True
    """Whether it does at all. If not, a person lifts the hold by its digest, as one may at any time."""

    min_pause: Duration = Duration("15m")
    """The least time for which the hold stands."""

    clean_cycles: Annotated[int, Field(ge=1, le=100), INT32] = 2
    """How many cycles in a row must judge the whole account and see no difference."""

    cooldown: Duration = Duration("30m")
    """The least time between two holds that ended by themselves."""


class Watchdog(Part):
    """Stops the bot while too much of its capital is in doubt, whatever remediation.pauseAt says."""

    allocated_capital: PositiveAmount
    """What the bot may trade with."""

    currency: Annotated[
        str,
        Field(max_length=20),
        Matches(r"^[A-Z0-9]{1,20}$", "expected a currency as the exchange spells it, e.g. USDT"),
    ]
    """The currency of the capital, in which the symbols have to be quoted. A difference in another one can't be valued,
    and stops the bot."""

    max_mismatch_ratio: PositiveAmount = Decimal("0.5")
    """The part of the capital that confirmed differences may put at risk: at the mark price, the largest of each
    symbol, summed."""

    auto_resume: Annotated[AutoResume, DEFAULT_EMPTY] = Field(default_factory=AutoResume)
    """When it lets the bot go again by itself."""


_INTERVAL_RANGE = "expected a duration from 1s to 24h"
_MIN_INTERVAL, _MAX_INTERVAL = 1, 24 * 3600


def _interval_in_range(value: Duration) -> Duration:
    if not _MIN_INTERVAL <= value.seconds <= _MAX_INTERVAL:
        raise ValueError(_INTERVAL_RANGE)
    return value


_TIMEOUT_IN_INTERVAL = (
    "expected no more than spec.interval, because a cycle ends before the next one begins: lower spec.timeout, or "
    "leave it out and 10s or two thirds of the interval holds, whichever is shorter"
)
_STALE_AFTER = "expected at least 2 x spec.interval + spec.timeout, so that one failed cycle does not count as stale"

_INTERVAL_MS = "duration(self.interval).getMilliseconds()"
_TIMEOUT_MS = (
    "(has(self.timeout) ? duration(self.timeout).getMilliseconds() "
    f": {_INTERVAL_MS} >= 15000 ? 10000 : ({_INTERVAL_MS} * 2 + 2) / 3)"
)
_LEAST_MS = f"({_INTERVAL_MS} * 2 + {_TIMEOUT_MS})"
_COMPARABLE = (
    f"{is_duration('self.interval')} && {is_duration('self.staleAfter')} "
    f"&& (!has(self.timeout) || {is_duration('self.timeout')}) && duration(self.interval) <= duration('24h')"
)


_SHARED = "self.exchange.sharedAccount"
_PREFIX_WHERE_SHARED = (
    "expected the beginning of this bot's client order ids, since spec.exchange.sharedAccount says that other bots "
    "trade on the account too: without it nobody can tell whose an order is"
)


_ORDERS, _POSITIONS = "self.remediation.unexpectedOrders", "self.remediation.unexpectedPositions"
_TRADE_KEY = (
    "add credentials.trade.secretRef.name, a Secret with a key that may trade: in mode Enforce, "
    "remediation.unexpectedOrders or unexpectedPositions asks for actions on the exchange"
)
_PREFIX_WHERE_CANCELLED = (
    "expected the beginning of the bot's client order ids, since remediation.unexpectedOrders cancels orders of the "
    "bot's and of nobody else: without it nobody can tell which these are"
)


class TradingAccountSpec(Part):
    """What is watched, how often, and what may be done about a difference."""

    crd_rules = (
        Rule(
            rule=f"!has(self.timeout) || !({_COMPARABLE}) || duration(self.timeout) <= duration(self.interval)",
            message=_TIMEOUT_IN_INTERVAL,
            field=".timeout",
        ),
        Rule(
            rule=f"!({_COMPARABLE}) || duration(self.staleAfter).getMilliseconds() >= {_LEAST_MS}",
            message=_STALE_AFTER,
            # format() has a bounded cost; joining with a text that CEL made has not.
            expression=f"'{_STALE_AFTER}: set spec.staleAfter to %ds or more, or lower spec.interval'"
            f".format([({_LEAST_MS} + 999) / 1000])",
            field=".staleAfter",
        ),
        Rule(
            rule=f"!has({_SHARED}) || {_SHARED} == '' || self.bot.orderIdPrefix != ''",
            message=_PREFIX_WHERE_SHARED,
            field=".bot.orderIdPrefix",
        ),
        Rule(
            rule=f"{_ORDERS} == 'Never' || self.bot.orderIdPrefix != ''",
            message=_PREFIX_WHERE_CANCELLED,
            field=".bot.orderIdPrefix",
        ),
        Rule(
            rule="self.remediation.mode != 'Enforce' || has(self.credentials.trade) || "
            f"({_ORDERS} == 'Never' && {_POSITIONS} == 'Never')",
            message=_TRADE_KEY,
            field=".credentials.trade",
        ),
    )

    exchange: Exchange
    """Which exchange account is watched."""

    credentials: Credentials
    """The keys of the exchange account."""

    interval: Annotated[
        Duration,
        AfterValidator(_interval_in_range),
        Rule(
            rule=f"!{is_duration('self')} || (duration(self) >= duration('1s') && duration(self) <= duration('24h'))",
            message=_INTERVAL_RANGE,
        ),
    ] = Duration("15s")
    """Time between two readings of the account, from 1s to 24h."""

    timeout: PositiveDuration | None = None
    """Longest time for one reading, at most the interval. Left out: 10s or two thirds of the interval, whichever is
    shorter."""

    stale_after: Duration = Duration("300s")
    """An account that has not been read for this long raises an alert and, unless the mode is Observe, stops the bot.
    At least 2 x interval + timeout."""

    suspend: bool = False
    """Read nothing until this is false again. What was held stays held, and nothing counts as stale."""

    paused: bool = False
    """The kill switch for people: true stops the bot, in every mode."""

    pause_reason: Annotated[str, Field(max_length=256)] = ""
    """Why the bot is paused, for the people who find it so."""

    pause_level: PauseLevel = PauseLevel.REDUCE_ONLY
    """How far the bot stops while any hold stands. ReduceOnly: it adds no exposure; exits, stops and cancels go on.
    Halt: exits stop too."""

    bot: Bot
    """The bot that trades on the account."""

    tolerances: Annotated[Tolerances, DEFAULT_EMPTY] = Field(default_factory=Tolerances)
    """How much difference is accepted, and for how long."""

    ignore: Annotated[tuple[Ignore, ...], Field(max_length=50), ATOMIC_LIST] = ()
    """Findings that are known and accepted, each with an end. They neither count, nor alert, nor stop the bot."""

    remediation: Annotated[Remediation, DEFAULT_EMPTY] = Field(default_factory=Remediation)
    """What the operator may do about a difference."""

    watchdog: Watchdog | None = None
    """How much of the capital may be in doubt before the bot is stopped. Left out: no such limit. In mode Observe it
    only tells."""

    alerts: Alerts | None = None
    """When people are alerted, where one rule does not suit every account."""

    evidence: bool = False
    """Write what was read, and what was found in it, into files of the operator: see its README."""

    @model_validator(mode="after")
    def _prefix_where_shared(self) -> Self:
        if self.exchange.shared_account and not self.bot.order_id_prefix:
            raise FieldRuleError(f"bot.orderIdPrefix: {_PREFIX_WHERE_SHARED}")
        return self

    @model_validator(mode="after")
    def _fit_to_act(self) -> Self:
        if self.remediation.unexpected_orders is not UnexpectedOrders.NEVER and not self.bot.order_id_prefix:
            raise FieldRuleError(f"bot.orderIdPrefix: {_PREFIX_WHERE_CANCELLED}")
        if self.remediation.acts and self.credentials.trade is None:
            raise FieldRuleError(f"credentials.trade: {_TRADE_KEY}")
        return self

    @property
    def patience(self) -> float:
        """Seconds for which a judgement is in time: one reading may fail, and the next may take its whole time."""
        return 2 * self.interval.seconds + self.effective_timeout()

    def effective_timeout(self) -> float:
        """Seconds for one reading."""
        if self.timeout is not None:
            return self.timeout.seconds
        return min(DEFAULT_TIMEOUT, self.interval.seconds * 2 / 3)

    def _timeout_ms(self) -> int:
        """As the CEL rule reckons, to the millisecond: both must come to the same judgement."""
        if self.timeout is not None:
            return self.timeout.milliseconds
        return min(round(DEFAULT_TIMEOUT * 1000), (self.interval.milliseconds * 2 + 2) // 3)

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.timeout is not None and self.timeout.seconds > self.interval.seconds:
            raise FieldRuleError(f"timeout: {_TIMEOUT_IN_INTERVAL}")
        least_ms = 2 * self.interval.milliseconds + self._timeout_ms()
        if self.stale_after.milliseconds < least_ms:
            raise FieldRuleError(
                f"staleAfter: {_STALE_AFTER}: set spec.staleAfter to {math.ceil(least_ms / 1000)}s or more, or "
                "lower spec.interval"
            )
        return self
