"""What holds of every ledger at every moment, as SQL that finds the rows of which it does not."""

from tests.ledger.desk import Desk

LAWS = {
    "a position is the sum of its open slices": """
        SELECT symbol FROM positions p WHERE quantity <> (SELECT coalesce(sum(CASE side WHEN 'long' THEN quantity
        ELSE -quantity END), 0) FROM slices s WHERE s.symbol = p.symbol AND s.status = 'open')""",
    "what is reserved is what slices and entry orders are worth": """
        SELECT reserved FROM capital_ledger WHERE reserved <>
        (SELECT coalesce(sum(quantity * entry_price), 0) FROM slices WHERE status = 'open')
        + (SELECT coalesce(sum((quantity - filled) * price), 0) FROM orders WHERE status = 'open' AND purpose = 'entry')
        """,
    "a closed slice holds nothing and says when it was closed": """
        SELECT trade_id FROM slices WHERE (status = 'closed') <> (quantity = 0 AND closed_at IS NOT NULL)""",
    "a synthetic exit closed its slice": """
        SELECT event_id FROM trade_history h WHERE synthetic AND NOT EXISTS
        (SELECT FROM slices s WHERE s.trade_id = h.trade_id AND s.status = 'closed')""",
    "a fill is accounted for by an event that is there": """
        SELECT fill_id FROM used_fills u WHERE event_id <> 'e-0' AND NOT EXISTS
        (SELECT FROM trade_history h WHERE h.event_id = u.event_id)""",
    "what an exit realised is in the capital ledger": """
        SELECT realised_pnl FROM capital_ledger WHERE realised_pnl <>
        (SELECT coalesce(sum((h.price - s.entry_price) * h.quantity), 0) FROM trade_history h
         JOIN slices s USING (trade_id) WHERE h.kind = 'EXIT' AND s.side = 'long')""",
}


def audit(desk: Desk) -> None:
    """Raise for the first law that does not hold."""
    for law, query in LAWS.items():
        broken = desk.run(query)
        assert not broken, f"{law}; not so: {broken}"
