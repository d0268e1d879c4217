-- Who may use the console and the API: people with a password, programs with a token. Rows are only
-- added. The latest row of a name counts, in the order of (time, id); an empty role removes the name.
--
-- `secret` is not reversible: argon2id of a password, SHA-256 of a random token. `after` is the time
-- of the latest row that the author knew, so that a row is never ordered before one that its author
-- knew, even when the server's clock is set back. No TTL: this is the audit trail, and it is small.
CREATE TABLE IF NOT EXISTS accounts
(
    name   String,
    id     String COMMENT 'of this row; a session belongs to one row, and ends when another one counts',
    kind   LowCardinality(String) COMMENT 'person or program',
    role   LowCardinality(String) COMMENT 'viewer, responder or admin; empty for a removed name',
    secret String,
    who    String COMMENT 'who wrote the row',
    after  DateTime64(6, 'UTC'),
    time   DateTime64(6, 'UTC') DEFAULT greatest(now64(6, 'UTC'), addMicroseconds(after, 1))
)
ENGINE = MergeTree
ORDER BY (name, time, id)
SETTINGS non_replicated_deduplication_window = 10000;

-- When accounts were used: logins and logouts, and now and then the use of a token. A session is
-- the SHA-256 of its cookie: whoever reads this table cannot use it.
CREATE TABLE IF NOT EXISTS account_uses
(
    name    String,
    account String COMMENT 'the id of the row of accounts',
    session String COMMENT 'empty for a token',
    kind    LowCardinality(String) COMMENT 'login, logout or use',
    time    DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (time, name)
TTL toDateTime(time) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;
