"""How long the exchange finds an order. Source: Query Order and Query Algo Order in its USD-M futures documentation."""

DAY_MS = 86_400_000
UNFILLED_KEPT_MS = 3 * DAY_MS
ANY_ORDER_KEPT_MS = 90 * DAY_MS


def forgotten(age_ms: int, *, ended_unfilled: bool) -> bool:
    """Cancelled and expired orders without a fill are found for 3 days after they were made, all others for 90."""
    return age_ms > (UNFILLED_KEPT_MS if ended_unfilled else ANY_ORDER_KEPT_MS)
