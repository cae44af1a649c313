CREATE UNIQUE INDEX orders_active_client ON orders (profile, client_order_id)
    WHERE status IS NULL OR status NOT IN ('filled', 'canceled', 'expired', 'rejected');
CREATE INDEX orders_exchange ON orders (profile, exchange_order_id);
CREATE INDEX orders_client ON orders (profile, client_order_id);
CREATE INDEX orders_trade ON orders (profile, trade_id);
CREATE INDEX slices_open ON slices (profile, symbol) WHERE status IS DISTINCT FROM 'closed';
CREATE INDEX slices_entry ON slices (profile, entry_client_order_id);
CREATE INDEX trade_history_exchange ON trade_history (profile, exchange_order_id);
CREATE INDEX trade_history_client ON trade_history (profile, client_order_id);
CREATE INDEX trade_history_trade ON trade_history (profile, trade_id);
CREATE INDEX used_fills_event ON used_fills (profile, event_id);
