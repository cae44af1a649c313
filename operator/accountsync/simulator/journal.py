"""The log of every request: the last ones in full, and exact counts of all for ever."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

DEFAULT_CAPACITY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and its answer.

    `time`: ms on the exchange's clock. `key`: the API key's fingerprint, "" if none was sent. `account`: "" if the key
    is unknown. `signed`: the signature was checked and right. `status`: 0 if no answer was given (hang, reset).
    `code`: Binance's error code, 0 for none. `write`: a call that could change an account's orders or positions.
    `effect`: it did change an order or a countdown, whatever was answered. `params`: as sent, without the signature.
    `faults`: kinds of the faults that bent the answer.
    """

    sequence: int
    time: int
    peer: str
    method: str
    path: str
    params: Mapping[str, str]
    key: str
    account: str
    security: str
    signed: bool
    status: int
    code: int
    weight: int
    write: bool
    effect: bool
    faults: tuple[str, ...]

    @property
    def client_id(self) -> str:
        """The name that an order was to be placed under; "" if none was sent."""
        return self.params.get("newClientOrderId") or self.params.get("clientAlgoId") or ""


@dataclass(frozen=True, slots=True, order=True)
class CountKey:
    """What requests are counted by."""

    account: str
    method: str
    path: str
    write: bool


class Journal(Sequence[RequestRecord]):
    """A sequence of the last `capacity` requests, oldest first; `counts` covers all of them since the start."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._records: deque[RequestRecord] = deque(maxlen=capacity)
        self.counts: Counter[CountKey] = Counter()
        self.total = 0

    def append(self, record: RequestRecord) -> None:
        """Log a request; the oldest gives way."""
        self._records.append(record)
        self.counts[CountKey(record.account, record.method, record.path, record.write)] += 1
        self.total += 1

    def select(
        self,
        *,
        account: str | None = None,
        path: str | None = None,
        method: str | None = None,
        write: bool | None = None,
        effect: bool | None = None,
        client_id: str | None = None,
        after: int = 0,
    ) -> list[RequestRecord]:
        """Kept records that have all of these; `after` is a sequence number."""
        wanted = {"account": account, "path": path, "method": method, "write": write}
        wanted |= {"effect": effect, "client_id": client_id}
        given = {name: value for name, value in wanted.items() if value is not None}
        return [
            record
            for record in self._records
            if record.sequence > after and all(getattr(record, name) == value for name, value in given.items())
        ]

    def total_of(self, *, account: str | None = None, write: bool | None = None) -> int:
        """How many requests there ever were with these."""
        return sum(
            number
            for key, number in self.counts.items()
            if account in (None, key.account) and write in (None, key.write)
        )

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(tuple(self._records))

    @overload
    def __getitem__(self, index: int) -> RequestRecord: ...

    @overload
    def __getitem__(self, index: slice) -> list[RequestRecord]: ...

    def __getitem__(self, index: int | slice) -> RequestRecord | list[RequestRecord]:
        return list(self._records)[index] if isinstance(index, slice) else self._records[index]
