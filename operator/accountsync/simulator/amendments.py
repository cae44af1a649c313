"""What became of an order that was amended: one value for each change.

Source: "Get Order Modify History" in Binance's USD-M futures documentation.
"""

from dataclasses import dataclass

from accountsync.simulator.model import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One change of price or quantity. `count` numbers the changes of one order from 1; `time` in ms.

    `modify_id` is what the caller called it, if anything.
    """

    amendment_id: int
    count: int
    time: int
    before: Order
    after: Order
    modify_id: int | None = None


class AmendmentBook:
    """All changes of all orders. Ids count up over the whole world by one."""

    def __init__(self) -> None:
        self._next_id = 1
        self._of: dict[tuple[str, tuple[str, int]], list[Amendment]] = {}

    def record(self, before: Order, after: Order, modify_id: int | None) -> None:
        """Write down that `before` became `after`."""
        past = self._of.setdefault((before.account, before.ref), [])
        past.append(
            Amendment(
                amendment_id=self._next_id,
                count=len(past) + 1,
                time=after.update_time,
                before=before,
                after=after,
                modify_id=modify_id,
            )
        )
        self._next_id += 1

    def of(self, account: str, ref: tuple[str, int]) -> list[Amendment]:
        """The changes of one order, oldest first."""
        return list(self._of.get((account, ref), ()))
