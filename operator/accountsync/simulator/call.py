"""What a handler is given: the world, the limits, the caller and the parameters, checked as far as all calls are."""

from collections.abc import Mapping
from dataclasses import dataclass

from accountsync.simulator import refusals
from accountsync.simulator.limits import Limits
from accountsync.simulator.markets import SymbolSpec
from accountsync.simulator.model import Account, ApiKey
from accountsync.simulator.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted call. `now_ms` is what the exchange takes for the time.

    `caller` is None for public calls; `sent_key` for calls without a known key.
    """

    world: World
    limits: Limits
    params: Mapping[str, str]
    now_ms: int
    caller: Account | None
    sent_key: ApiKey | None = None

    @property
    def account(self) -> Account:
        """The caller's account; only for calls that are signed."""
        if self.caller is None:
            raise AssertionError("a handler of a public call asked for the caller's account")
        return self.caller

    @property
    def key(self) -> ApiKey:
        """The caller's key; only for calls that are signed."""
        if self.sent_key is None:
            raise AssertionError("a handler of a public call asked for the caller's key")
        return self.sent_key

    def text(self, name: str) -> str | None:
        """A parameter, in its own spelling or all in small letters; an empty one counts as not sent."""
        return self.params.get(name) or self.params.get(name.lower()) or None

    def required(self, name: str) -> str:
        """A parameter that must be there: Refusal -1102."""
        value = self.text(name)
        if value is None:
            raise refusals.missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """A whole number, if sent; Refusal -1102 if it is none."""
        value = self.text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()):
            raise refusals.missing(name)
        return int(value)

    @property
    def symbol(self) -> SymbolSpec | None:
        """The contract asked for, if one is; Refusal -1121 for an unknown one."""
        name = self.text("symbol")
        return None if name is None else self._spec(name)

    @property
    def required_symbol(self) -> SymbolSpec:
        """The contract that must be named."""
        return self._spec(self.required("symbol"))

    @property
    def symbols(self) -> tuple[SymbolSpec, ...]:
        """The one asked for, or all."""
        one = self.symbol
        return (one,) if one else tuple(self.world.specs.values())

    def _spec(self, name: str) -> SymbolSpec:
        try:
            return self.world.specs[name]
        except KeyError:
            raise refusals.bad_symbol() from None
