"""`make kill`: a process is killed, and one stopped, before and after every call of a port from a plan to its end."""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.kill.ordeal import Ground, Ordeal, Outcome, endure
from tests.kill.points import Call, How, Point, on_the_way, points
from tests.kill.scenes import SCENES, Scene
from tests.support.controlplane import ControlPlane
from tests.support.stage import HttpBot, install

from accountsync.simulator.thread import SimulatorThread


def main() -> int:
    parser = argparse.ArgumentParser(prog="make kill", description=__doc__)
    parser.add_argument("--jobs", type=int, default=4, help="points side by side")
    parser.add_argument("--scene", help="only scenes whose name contains this")
    parser.add_argument("--point", help="only points whose text contains this, say 'before Plans.write'")
    parser.add_argument("--list", action="store_true", help="record the calls, and list the points")
    asked = parser.parse_args()
    began = time.monotonic()
    kinds = [kind for kind in SCENES if (asked.scene or "") in kind.name]
    with contextlib.ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(audit=False))
        install(plane)
        exchange, bot = stack.enter_context(SimulatorThread()), stack.enter_context(HttpBot())
        exchange.call(lambda sim: setattr(sim.limits, "weight_per_minute", 10_000_000))
        kubeconfig = plane.kubeconfig_for_service_account("accountsync", "accountsync", duration="12h")
        ground = stack.enter_context(Ground(plane, kubeconfig, exchange, bot))
        pool = stack.enter_context(ThreadPoolExecutor(asked.jobs))
        stack.callback(pool.shutdown, cancel_futures=True)  # on Ctrl-C only what is under way comes to its end
        recorded = list(pool.map(lambda kind: record(ground, kind), kinds))
        chosen = [
            (kind, point)
            for kind, calls in zip(kinds, recorded, strict=True)
            for point in points(calls, kind.since)
            if (asked.point or "") in str(point)
        ]
        if asked.list:
            print("\n".join(f"{kind.name}: {point}" for kind, point in chosen))
            return 0
        outcomes = []
        for done in as_completed([pool.submit(endure, ground, *each) for each in chosen]):
            outcomes.append(done.result())
            tell(outcomes[-1], len(outcomes), len(chosen))
    called = {call.method for calls in recorded for call in calls}
    wrong = sorted(called ^ on_the_way()) if kinds == list(SCENES) else []
    for method in wrong:
        print(f"{method}: the table of points.py says otherwise than what was called")
    print(f"\n{len(outcomes)} points in {time.monotonic() - began:.0f} s, {asked.jobs} at a time\n")
    print(table(kinds, outcomes))
    return bool(wrong or any(outcome.violations for outcome in outcomes))


def record(ground: Ground, kind: type[Scene]) -> list[Call]:
    began = time.monotonic()
    calls = Ordeal(ground, kind, None).record()
    print(f"{kind.name}: {len(calls) // 2} calls in {time.monotonic() - began:.0f} s that nobody disturbs", flush=True)
    return calls


def tell(outcome: Outcome, number: int, of: int) -> None:
    more = f", {outcome.late} refused as late" if outcome.late else ""
    verdict = f"FAILED: {'; '.join(outcome.violations)}" if outcome.violations else "all is well"
    told = f"{outcome.placed} placed, {outcome.approvals} approved{more}"
    print(f"{number}/{of} {outcome.scene}: {outcome.point}: {told}, {outcome.seconds:.0f} s: {verdict}", flush=True)


def table(kinds: Sequence[type[Scene]], outcomes: Sequence[Outcome]) -> str:
    """A row a scene."""
    ways = ("points killed", "points stopped", "woken at the takeover")
    rows: list[tuple[str, ...]] = [
        ("scenario", *ways, "orders placed with effect", "refused as late", "approvals", "violations")
    ]
    for kind in kinds:
        own = [outcome for outcome in outcomes if outcome.scene == kind.name]
        numbers = (
            *(sum(_how(outcome.point) is how for outcome in own) for how in How),
            sum(outcome.placed for outcome in own),
            sum(outcome.late for outcome in own),
            sum(outcome.approvals for outcome in own),
            sum(len(outcome.violations) for outcome in own),
        )
        rows.append((kind.name, *(str(number) for number in numbers)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _how(point: Point | None) -> How | None:
    return point.how if point else None


if __name__ == "__main__":
    sys.exit(main())
