CREATE TABLE orders (
    profile text NOT NULL,
    order_key text NOT NULL,
    symbol text NOT NULL CHECK (symbol <> ''),
    client_order_id text,
    exchange_order_id text,
    trade_id text,
    sub_tag text,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    purpose text NOT NULL CHECK (purpose IN ('entry', 'exit')),
    quantity numeric NOT NULL CHECK (quantity >= 0 AND quantity < 1e20 AND scale(quantity) <= 18),
    filled numeric NOT NULL DEFAULT 0 CHECK (filled >= 0 AND filled < 1e20 AND scale(filled) <= 18),
    price numeric CHECK (price > -1e20 AND price < 1e20 AND scale(price) <= 18),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'filled', 'canceled', 'expired', 'rejected')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile, order_key),
    CHECK (status <> 'open' OR coalesce(client_order_id, exchange_order_id, '') <> '')
);

CREATE TABLE slices (
    profile text NOT NULL,
    trade_id text NOT NULL CHECK (trade_id <> ''),
    sub_tag text,
    symbol text NOT NULL CHECK (symbol <> ''),
    side text NOT NULL CHECK (side IN ('long', 'short')),
    entry_client_order_id text,
    quantity numeric NOT NULL CHECK (quantity >= 0 AND quantity < 1e20 AND scale(quantity) <= 18),
    entry_price numeric CHECK (entry_price > -1e20 AND entry_price < 1e20 AND scale(entry_price) <= 18),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile, trade_id),
    CHECK (status <> 'closed' OR quantity = 0)
);

CREATE TABLE positions (
    profile text NOT NULL,
    symbol text NOT NULL CHECK (symbol <> ''),
    side text NOT NULL DEFAULT 'net' CHECK (side IN ('net', 'long', 'short')),
    quantity numeric NOT NULL CHECK (quantity > -1e30 AND quantity < 1e30 AND (side = 'net' OR quantity >= 0)),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (profile, symbol, side)
);

CREATE TABLE trade_history (
    profile text NOT NULL,
    event_id text NOT NULL CHECK (event_id <> ''),
    trade_id text,
    sub_tag text,
    symbol text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('ENTRY', 'EXIT', 'CANCEL')),
    quantity numeric NOT NULL CHECK (quantity >= 0 AND quantity < 1e20),
    price numeric CHECK (price > -1e20 AND price < 1e20),
    client_order_id text,
    exchange_order_id text,
    synthetic boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    PRIMARY KEY (profile, event_id)
);

CREATE TABLE used_fills (
    profile text NOT NULL,
    symbol text NOT NULL,
    fill_id text NOT NULL CHECK (fill_id <> ''),
    event_id text NOT NULL,
    PRIMARY KEY (profile, symbol, fill_id)
);

CREATE TABLE capital_ledger (
    profile text PRIMARY KEY,
    allocated numeric NOT NULL DEFAULT 0 CHECK (allocated >= 0 AND allocated < 'Infinity'),
    reserved numeric NOT NULL DEFAULT 0 CHECK (reserved > '-Infinity' AND reserved < 'Infinity'),
    realised_pnl numeric NOT NULL DEFAULT 0 CHECK (realised_pnl > '-Infinity' AND realised_pnl < 'Infinity'),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE heartbeat (
    profile text PRIMARY KEY,
    as_of timestamptz NOT NULL,
    boot_id text NOT NULL DEFAULT '',
    ready boolean NOT NULL DEFAULT true
);
