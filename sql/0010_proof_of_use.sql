-- What the gateway says of the credential: whether it was accepted, by which method, for how long
-- the request was signed, and from which client. A request that proves no use of its key is an
-- attempt: it teaches the key's profile nothing.
ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS authenticated Nullable(Bool)
        COMMENT 'whether the API accepted the credential; null when the log does not say';

ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS has_secret Bool DEFAULT false
        COMMENT 'the log carried the raw key, which is not stored';

ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS validity_ms Nullable(UInt32)
        COMMENT 'the window that the client signed for the request';

ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS client_fingerprint LowCardinality(String)
        COMMENT 'JA3, JA4 or the like, as logged';

ALTER TABLE access_events
    ADD COLUMN IF NOT EXISTS auth_method LowCardinality(String);
