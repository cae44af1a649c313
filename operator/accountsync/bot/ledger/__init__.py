"""A bot's ledger in PostgreSQL (docs/ledger.md).

`postgres` is the way in. From there inwards: `dsn` and `connecting` say which database may be reached and how, `pool`
and `transaction` bound it, `believing` and `locked` read, `writing`, `events` and `change` write, `trouble` tells what
went wrong, `layout` and `migrations` hold the documented schema.
"""
