-- Suspensions are requested like revocations, and both have budgets for tenants and kinds of
-- evidence. `revocation_requests` keeps its name and holds both.
ALTER TABLE revocation_requests
    ADD COLUMN IF NOT EXISTS action LowCardinality(String) DEFAULT 'revoke'
        COMMENT 'suspend or revoke';

ALTER TABLE revocation_requests
    ADD COLUMN IF NOT EXISTS tenant LowCardinality(String);

ALTER TABLE revocation_requests
    ADD COLUMN IF NOT EXISTS kind LowCardinality(String)
        COMMENT 'the family of the strongest detector';

ALTER TABLE revocation_requests
    ADD COLUMN IF NOT EXISTS is_kept Bool DEFAULT false
        COMMENT 'it took from the part of the budget that is kept for certain incidents';

-- The reason why an alert waits, as a column: lists filter by it. Older rows compute it when read.
ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS restraint LowCardinality(String)
        DEFAULT JSONExtractString(alert, 'restraint')
        COMMENT 'why the action is milder than the evidence asks, or waits';

-- An approval or a rejection covers the action that its author saw.
ALTER TABLE incident_acts
    ADD COLUMN IF NOT EXISTS seen_action LowCardinality(String)
        COMMENT 'the action that the evidence asked for';
