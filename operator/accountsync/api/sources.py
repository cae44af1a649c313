"""`spec.bot.state` of a TradingAccount: where the bot's own belief is read."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from accountsync.api.markers import DEFAULT_EMPTY, INT32, Matches, Rule
from accountsync.api.parts import Part
from accountsync.api.quantities import Duration
from accountsync.api.texts import PORT_MAX, AbsoluteUrl, ObjectName, ServiceName


class Scheme(StrEnum):
    """How a bot's service is spoken to."""

    HTTP = "http"
    HTTPS = "https"


class SecretRef(Part):
    """A Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret."""


class ConfigMapState(Part):
    """A ConfigMap of the same namespace into which the bot writes its state."""

    name: ObjectName
    """Name of the ConfigMap. It needs the label accountsync.dev/use: bot-state."""

    key: Annotated[
        str,
        Field(max_length=253),
        Matches(r"^[-._a-zA-Z0-9]+$", "expected a key of the ConfigMap: letters, digits, '-', '_' and '.'"),
    ] = "state.json"
    """The entry that holds the state."""


class ServiceAddress(Part):
    """A Service of the same namespace."""

    name: ServiceName
    """Name of the Service."""

    port: Annotated[int, Field(ge=1, le=PORT_MAX), INT32]
    """Port number of the Service."""

    path: Annotated[
        str,
        Field(max_length=256),
        Matches(r"^/[!-\x22$-~]*$", "expected a path that begins with '/', without spaces, e.g. /state"),
    ] = "/state"
    """Path under which the bot answers with its state."""

    scheme: Scheme = Scheme.HTTP
    """http or https."""


class HttpState(Part):
    """An address at which the bot answers GET with its state. Give a service or a url."""

    crd_rules = (
        Rule(
            rule="has(self.service) != has(self.url)",
            message="set exactly one of service (a Service of this namespace) or url (which the operator must allow)",
        ),
    )

    service: ServiceAddress | None = None
    """A Service of the same namespace."""

    url: AbsoluteUrl | None = None
    """An absolute http or https URL. It works only if the operator's configuration allows the address."""

    secret_ref: SecretRef | None = None
    """What the bot asks for before it answers, in a Secret labelled accountsync.dev/use: bot."""

    repair_path: Annotated[
        str,
        Field(max_length=256),
        Matches(
            r"^(/[!-\x22$-~]*)?$",
            "expected a path that begins with '/', without spaces, e.g. /repair; leave it empty if the bot takes none",
        ),
    ] = ""
    """Path at the same address under which the bot takes repairs of its state by POST. Empty: it takes none, and its
    belief is left as it is."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.service is None) == (self.url is None):
            raise ValueError(self.crd_rules[0].message)
        return self


class ServiceOrigin(Part):
    """A Service of the same namespace, and its port."""

    name: ServiceName
    """Name of the Service."""

    port: Annotated[int, Field(ge=1, le=PORT_MAX), INT32]
    """Port number of the Service."""

    scheme: Scheme = Scheme.HTTP
    """http or https."""


class FreqtradeState(Part):
    """The REST API of a freqtrade bot. Give a service or a url."""

    crd_rules = (
        Rule(
            rule="has(self.service) != has(self.url)",
            message="set exactly one of service (a Service of this namespace) or url (which the operator must allow)",
        ),
    )

    service: ServiceOrigin | None = None
    """A Service of the same namespace."""

    url: AbsoluteUrl | None = None
    """An absolute http or https URL, up to where /api/v1 follows. It works only if the operator's configuration allows
    the address."""

    secret_ref: SecretRef
    """The username and password of api_server in freqtrade's configuration, in a Secret labelled accountsync.dev/use:
    bot with the entries username and password."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.service is None) == (self.url is None):
            raise ValueError(self.crd_rules[0].message)
        return self


class Parity(Part):
    """What becomes of ghosts: lifecycle slices that the ledger holds open while the exchange holds nothing."""

    enabled: bool = True
    """Whether ghosts are looked for and, where all of what follows allows it, closed. If not, a ghost is a
    PositionMismatch like any other."""

    confirmations: Annotated[int, Field(ge=1, le=100), INT32] = 3
    """How many runs in a row must see a ghost before anything is done about it."""

    require_attribution: bool = True
    """A slice without a sub_tag is never closed; it is quarantined."""

    require_strong_attribution: bool = True
    """A fill closes only a slice to which it leads by sub_tag, by a client order id of the ledger's own, or by a trade
    id."""

    allow_heuristic_match: bool = False
    """A fill may also close the only open slice of its symbol, or the only one of its quantity. It works only with
    requireStrongAttribution: false."""

    fill_grace: Duration = Duration("5m")
    """How much older than its slice a fill may be. An older one is no proof."""

    dry_run: bool = False
    """Only tell what would be closed."""


class PostgresState(Part):
    """A ledger in PostgreSQL. Its schema is documented, and may be made of views on tables of another layout."""

    secret_ref: SecretRef
    """How to reach the database, in a Secret labelled accountsync.dev/use: bot with the entry dsn, and ca.crt where the
    server's certificate is not of a public authority."""

    profile: Annotated[
        str,
        Field(min_length=1, max_length=64),
        Matches(r"^[-._:@a-zA-Z0-9]+$", "expected the name of a profile in the ledger: letters, digits and - . _ : @"),
    ]
    """Whose rows in the ledger are this bot's."""

    schema_: Annotated[
        str,
        Field(alias="schema", max_length=63),
        Matches(
            r"^[a-z_][a-z0-9_]*$", "expected the name of a schema: lower-case letters, digits and '_', e.g. accountsync"
        ),
    ] = "accountsync"
    """The database schema that holds the ledger's tables, or the views that stand for them."""

    parity: Annotated[Parity, DEFAULT_EMPTY] = Field(default_factory=Parity)
    """What becomes of ghosts."""


_ONE_SOURCE = (
    "set exactly one of configMap (the bot writes its state there), http (the bot answers with it), freqtrade (its REST"
    " API is asked) or postgres (the bot's ledger is read)"
)


class StateSource(Part):
    """Where the bot's own belief is read. Give exactly one."""

    crd_rules = (
        Rule(
            rule="[has(self.configMap), has(self.http), has(self.freqtrade), has(self.postgres)]"
            ".filter(given, given).size() == 1",
            message=_ONE_SOURCE,
        ),
    )

    config_map: ConfigMapState | None = None
    """The bot writes its state into a ConfigMap."""

    http: HttpState | None = None
    """The bot answers HTTP requests with its state."""

    freqtrade: FreqtradeState | None = None
    """The bot is freqtrade: its REST API is asked, and the bot is paused through it while a hold stands."""

    postgres: PostgresState | None = None
    """The bot keeps a ledger in PostgreSQL: it is read and, unless the mode is Observe, reconciled."""

    @property
    def kind(self) -> str:
        """Which one is given, as the spec names it."""
        given = {
            "configMap": self.config_map,
            "http": self.http,
            "freqtrade": self.freqtrade,
            "postgres": self.postgres,
        }
        return next(name for name, source in given.items() if source is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(source is not None for source in (self.config_map, self.http, self.freqtrade, self.postgres)) != 1:
            raise ValueError(_ONE_SOURCE)
        return self
