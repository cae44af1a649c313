"""What a bundle of evidence says of a cycle, and that its judgement can be repeated from the files alone."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.fakes import BTC, ETH, FakeBot, FakeExchange, ManualClock, truth

from accountsync.cycle import Cycle, State, run
from accountsync.domain.account import AccountSnapshot, Part, PositionSide
from accountsync.domain.catalogue import CATALOGUE, Rule
from accountsync.domain.decide import Wishes
from accountsync.domain.expected import ExpectedState
from accountsync.domain.policy import Ignore, Policy
from accountsync.errors import BeliefUnobserved, ExchangeUnobserved, Reason
from accountsync.exchange import CcxtExchange, EndpointPolicy, Venues
from accountsync.report.canonical import decode
from accountsync.report.evidence import FILES, MOST_LINES, SUMS, Link, Record, bundle, record_of
from accountsync.report.evidence_check import replay, verify
from accountsync.report.evidence_store import Store
from accountsync.simulator import Simulator

POLICY = Policy(order_id_prefix="grinder_", confirmations=2, timeout=60, position_tolerance=Decimal("0.10"))
FIRST = Link("20260921T133320Z", 1, "")


@dataclass
class Bent(FakeExchange):
    """An exchange whose snapshots are changed on their way."""

    bend: Callable[[AccountSnapshot], AccountSnapshot] = lambda snapshot: snapshot

    async def snapshot(self, symbols: Sequence[str] = ()) -> AccountSnapshot:
        return self.bend(await FakeExchange.snapshot(self, symbols))


@dataclass
class Desk:
    """A bot that knows its one order, its one position and its balance."""

    clock: ManualClock = field(default_factory=ManualClock)
    policy: Policy = POLICY
    state: State = field(default_factory=State)

    def __post_init__(self) -> None:
        self.exchange = Bent(self.clock, wallets={"USDT": Decimal(1000)}, marks={BTC: Decimal(100)})
        self.order = self.exchange.place(client_id="grinder_1")
        self.exchange.hold(BTC, "1")
        self.bot = FakeBot(truth(self.exchange, self.clock.now_ms()))

    async def cycle(self, after: float = 6) -> Cycle:
        """One cycle; the bot believes what it believed, as of now."""
        self.clock.advance(after)
        self.bot.state = replace(self.bot.state, as_of=self.clock.now_ms())
        cycle = await run(self.state, self.policy, Wishes(), self.exchange, self.bot, self.clock, since=1000.0)
        self.state = cycle.state
        return cycle

    async def files(self, after: float = 6, chain: Link = FIRST) -> dict[str, bytes]:
        """The bundle of one cycle; all that the cycle tells people of is in it."""
        cycle = await self.cycle(after)
        files = bundle(record_of("trading/grid", cycle, self.clock.now_ms(), chain))
        assert {finding.key for finding in cycle.outcome.shown} <= {row["key"] for row in rows(files)}
        return files


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.cycle()
    return desk


def on_disk(folder: Path, files: dict[str, bytes]) -> Path:
    """The bundle, as the store writes it."""
    store = Store(folder / "account_sync")
    return store.folder / store.write(0, lambda _: files).name


def rows(files: dict[str, bytes]) -> list[dict[str, Any]]:
    told = json.loads(files["mismatches.json"])
    assert isinstance(told, list)
    return told


# --- what the files say ----------------------------------------------------------------------------------------------


async def test_a_clean_cycle_has_six_files_and_no_mismatch(desk: Desk) -> None:
    files = await desk.files()
    assert sorted(files) == sorted((*FILES, SUMS))
    assert files["mismatches.json"] == b"[]\n"
    snapshot = json.loads(files["account_snapshot.json"])
    assert snapshot["timestamp"] == desk.clock.now_ms()
    assert json.loads(files["positions.json"]) == snapshot["positions"]
    assert json.loads(files["open_orders.json"]) == snapshot["orders"]
    assert snapshot["orders"][0]["clientId"] == "grinder_1"
    assert snapshot["positions"][0]["quantity"] == "1"
    assert snapshot["evidence"]["policy"]["positionTolerance"] == "0.1"
    assert snapshot["evidence"]["chain"] == {"name": FIRST.name, "sequence": 1, "previous": ""}


async def test_a_drifted_cycle_tells_each_difference_in_all_dialects(desk: Desk) -> None:
    first_seen = desk.clock.now_ms() + 6000
    desk.exchange.place(ETH, quantity="2", price="50", client_id="grinder_9")
    (row,) = rows(await desk.files())
    assert row["state"] == "open"
    for _ in range(3):
        files = await desk.files()
    (row,) = rows(files)
    order_id = row["id"]
    assert row == {
        "rule": "UnexpectedOrder",
        "names": {
            "accountSync": "orphan_order",
            "reconcile": "ORDER_EXISTS_UNEXPECTED",
            "desync": "missing_local_order",
            "ledger": "missing_in_db",
        },
        "severity": "high",
        "state": "confirmed",
        "key": f"UnexpectedOrder|{ETH}|{order_id}",
        "symbol": ETH,
        "id": order_id,
        "clientId": row["clientId"],
        "expected": "none",
        "observed": "buy 2 at 50, client id grinder_9",
        "message": f"the bot does not track the open order {order_id} of {ETH}: buy 2 at 50, client id grinder_9",
        "notional": "100",
        "fills": [],
        "own": True,
        "proven": None,
        "changed": first_seen - 6000,
        "firstSeen": first_seen,
    }


async def test_the_worst_stands_first(desk: Desk) -> None:
    desk.exchange.place(ETH, client_id="by hand")
    desk.exchange.wallets["USDT"] = Decimal(5)
    desk.exchange.hold(BTC, "7")
    assert [row["severity"] for row in rows(await desk.files())] == ["high", "medium", "warning"]


async def test_equal_cycles_give_equal_bytes() -> None:
    async def made() -> dict[str, bytes]:
        desk = Desk()
        desk.exchange.place(ETH, client_id="by hand")
        await desk.cycle()
        return await desk.files()

    assert await made() == await made()


async def test_what_people_accept_is_there_and_called_so(desk: Desk) -> None:
    desk.exchange.hold(BTC, "7")
    desk.policy = replace(POLICY, ignores=(Ignore(Rule.POSITION_MISMATCH, until=desk.clock.now_ms() + 10**6),))
    (row,) = rows(await desk.files())
    assert row["state"] == "ignored"


async def test_what_the_exchange_did_not_prove_is_there_and_called_so(desk: Desk) -> None:
    desk.policy = replace(POLICY, confirmations=1, order_grace_ms=0)
    desk.exchange.place(ETH, client_id="grinder_9")
    desk.exchange.script.extend([None, ExchangeUnobserved(Reason.EXCHANGE_UNAVAILABLE, "not now")])
    (row,) = rows(await desk.files())
    assert (row["state"], row["firstSeen"]) == ("unproven", None)


async def test_the_summary_says_it_for_people(desk: Desk) -> None:
    desk.exchange.hold(BTC, "7")
    for _ in range(3):
        await desk.cycle()
    text = (await desk.files(chain=Link("20260921T133350Z", 5, "ab" * 32)))["summary.txt"].decode()
    assert "account:    trading/grid\n" in text
    assert "bundle:     20260921T133350Z, number 5 of its chain\n" in text
    assert "positions 1, open orders 1, pending notional 100\n" in text
    assert "mismatches: 1, of which confirmed 1\n" in text
    assert f"previous:   {'ab' * 32}\n" in text
    assert f"confirmed high position_mismatch: the net position of {BTC}: the bot believes 1" in text


async def test_the_summary_tells_what_was_not_judged_and_why(desk: Desk) -> None:
    desk.exchange.hold(BTC, "7")
    for _ in range(4):
        await desk.cycle()
    desk.bot.script.append(BeliefUnobserved(Reason.BOT_TIMEOUT, "late"))
    desk.exchange.bend = lambda seen: replace(seen, missing=frozenset({Part.BALANCES}))
    text = (await desk.files())["summary.txt"].decode()
    assert "belief:     Unknown (BotTimeout)\n" in text
    assert "not read:   balances\n" in text
    assert "not judged: * *\n" in text
    assert f"confirmed:  PositionMismatch|{BTC}|net, not shown now\n" in text
    assert "mismatches: 0, of which confirmed 0\n" in text


async def test_the_summary_tells_what_was_resolved(desk: Desk) -> None:
    desk.exchange.hold(BTC, "7")
    for _ in range(4):
        await desk.cycle()
    desk.exchange.hold(BTC, "1")
    assert f"resolved:   PositionMismatch|{BTC}|net\n" in (await desk.files())["summary.txt"].decode()


async def test_a_long_summary_is_cut_and_says_so(desk: Desk) -> None:
    for number in range(MOST_LINES + 3):
        desk.exchange.place(ETH, client_id=f"x{number}")
    files = await desk.files()
    assert len(rows(files)) == MOST_LINES + 3
    assert files["summary.txt"].decode().endswith("… and 3 more of these\n")


async def test_a_strangers_text_does_not_break_a_line(desk: Desk) -> None:
    desk.exchange.place(ETH, client_id="x\nresolved: all\x1b[2J\ud800")
    files = await desk.files()
    assert "\x1b" not in files["summary.txt"].decode()
    assert "\nresolved" not in files["summary.txt"].decode()
    assert len(rows(files)) == 1


# --- the same, anew --------------------------------------------------------------------------------------------------


def twice(seen: AccountSnapshot) -> AccountSnapshot:
    return replace(seen, orders=seen.orders * 2)


def drift(desk: Desk, rule: Rule) -> None:
    """Let the account and the bot part in this way."""
    exchange = desk.exchange
    match rule:
        case Rule.DUPLICATE_KEY:
            exchange.bend = twice
        case Rule.NEGATIVE_QUANTITY:
            exchange.hold(ETH, "-1", PositionSide.LONG)
        case Rule.UNEXPECTED_ORDER:
            exchange.place(ETH, client_id="grinder_9")
        case Rule.MISSING_ORDER:
            exchange.end(desk.order)
        case Rule.ORDER_DIVERGENCE:
            exchange.amend(desk.order, price=Decimal(99))
        case Rule.POSITION_MISMATCH:
            exchange.hold(BTC, "7")
        case Rule.BALANCE_MISMATCH:
            exchange.tells_income = True
            exchange.wallets["USDT"] = Decimal(5)
        case Rule.UNATTRIBUTED_FILL:
            exchange.fill(exchange.place(ETH, client_id="by hand"))
        case Rule.TIMESTAMP_REGRESSION:
            exchange.bend = lambda seen: replace(seen, timestamp=seen.timestamp - 60_000)


@pytest.mark.parametrize("rule", [rule for rule in CATALOGUE if rule is not Rule.TIMESTAMP_REGRESSION])
async def test_every_rule_is_found_again_from_the_files_alone(rule: Rule, tmp_path: Path) -> None:
    desk = Desk()
    desk.exchange.tells_fills = rule is Rule.UNATTRIBUTED_FILL
    await desk.cycle()
    desk.clock.advance(1)
    drift(desk, rule)
    for _ in range(4):
        files = await desk.files()
        path = on_disk(tmp_path, files)
        assert replay(path).problems == ()
        assert verify(path).problems == ()
    assert ("confirmed", rule) in {(row["state"], row["rule"]) for row in rows(files)}


async def test_a_snapshot_that_went_back_in_time_is_told_with_the_next_good_one(desk: Desk) -> None:
    drift(desk, Rule.TIMESTAMP_REGRESSION)
    refused = await desk.cycle()
    assert refused.evidence is None
    with pytest.raises(ValueError, match="judged no snapshot"):
        record_of("trading/grid", refused, desk.clock.now_ms(), FIRST)
    desk.exchange.bend = lambda seen: seen
    files = await desk.files()
    assert b"resolved:   TimestampRegression||snapshot\n" in files["summary.txt"]


async def test_the_record_is_read_back_as_it_was(desk: Desk) -> None:
    drift(desk, Rule.MISSING_ORDER)
    cycle = await desk.cycle()
    record = record_of("trading/grid", cycle, desk.clock.now_ms(), FIRST)
    again = decode(bundle(record)["account_snapshot.json"], Record)
    assert again == record
    assert cycle.evidence is not None
    assert again.detect() == cycle.evidence.detect()
    assert again.evidence.answers


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: [], "POSITION: found again, and not in the file"),
        (lambda told: [*told, {**told[0], "key": "x"}], "x: in the file, and not found again"),
        (lambda told: [{**told[0], "observed": "1"}], 'POSITION: observed is "1", expected "7"'),
        (lambda told: [{**told[0], "more": 1}], "POSITION: more is 1, expected null"),
    ],
)
async def test_a_replay_tells_what_differs(
    change: Callable[[list[Any]], list[Any]], says: str, desk: Desk, tmp_path: Path
) -> None:
    desk.exchange.hold(BTC, "7")
    path = on_disk(tmp_path, await desk.files())
    file = path / "mismatches.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    (problem,) = replay(path).problems
    assert problem == f"mismatches.json: {says}".replace("POSITION", f"PositionMismatch|{BTC}|net")


@pytest.mark.parametrize("name", ["positions.json", "open_orders.json", "mismatches.json"])
async def test_a_replay_finds_files_that_contradict_the_snapshot(name: str, desk: Desk, tmp_path: Path) -> None:
    desk.exchange.hold(BTC, "7")
    path = on_disk(tmp_path, await desk.files())
    (path / name).write_bytes((path / name).read_bytes() + b" ")
    (problem,) = replay(path.parent).problems
    assert problem.startswith(f"{path.name}/{name}: not what account_snapshot.json says")


# --- with the tools of others ----------------------------------------------------------------------------------------


async def test_sha256sum_agrees(desk: Desk, tmp_path: Path) -> None:
    desk.exchange.hold(BTC, "7")
    path = on_disk(tmp_path, await desk.files())

    def check() -> subprocess.CompletedProcess[str]:
        command = ["sha256sum", "--strict", "-c", "sha256sums.txt"]
        return subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=30, check=False)

    checked = check()
    assert checked.returncode == 0
    assert checked.stdout.splitlines() == [f"{name}: OK" for name in FILES]
    (path / "summary.txt").write_text("all is well\n")
    assert check().returncode == 1


async def test_no_secret_gets_into_a_bundle() -> None:
    """The read key of a real adapter, and the texts of errors, which may quote one."""
    clock = ManualClock()
    async with Simulator(seed=1) as sim:
        venues = Venues(endpoints=EndpointPolicy(["http://127.0.0.1:*"]))
        key = sim.world.create_key(sim.world.create_account("grid", wallet={"USDT": Decimal(7)}), permissions={"read"})
        credentials = {"apiKey": key.api_key, "secret": key.secret}
        exchange = CcxtExchange(venues.get("binanceusdm", endpoint=sim.url), credentials, timeout=5)
        bot = FakeBot(ExpectedState(0))
        bot.script.append(BeliefUnobserved(Reason.BOT_REFUSED, "CANARY-in-a-message"))
        cycle = await run(State(), POLICY, Wishes(), exchange, bot, clock, since=0)
        await exchange.close()
        await venues.close()
    files = bundle(record_of("trading/grid", cycle, clock.now_ms(), FIRST))
    everything = b"".join(files.values())
    assert b'"wallet":"7"' in everything
    assert b"BotRefused" in everything
    for canary in (key.api_key, key.secret, sim.url, "CANARY"):
        assert canary.encode() not in everything
