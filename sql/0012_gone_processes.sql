-- Who delivers the alerts of a process that is gone. Each process says every few seconds that it
-- is there. Of those that miss one, the first to write a row of `alert_heirs` delivers what it
-- left: the row's deduplication token is made of the name and of its last beat, so that
-- ClickHouse keeps one row for each death.
ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS written_by LowCardinality(String)
        COMMENT 'the process that delivers the alert; empty before this column was added';

ALTER TABLE alerts
    ADD COLUMN IF NOT EXISTS written_at DateTime64(6, 'UTC') DEFAULT now64(6)
        COMMENT 'by the clock of the server';

CREATE TABLE IF NOT EXISTS process_beats
(
    owner    String COMMENT 'the process',
    time     DateTime64(6, 'UTC') DEFAULT now64(6),
    has_left Bool COMMENT 'the process ended in order'
)
ENGINE = ReplacingMergeTree(time)
ORDER BY owner
TTL toDateTime(time) + INTERVAL 7 DAY;

-- `heir` delivers the alerts of `gone`. If `gone` comes back, `heir` delivers those that were
-- written up to `time`, and `gone` what it writes later.
CREATE TABLE IF NOT EXISTS alert_heirs
(
    gone String,
    beat Int64 COMMENT 'its last beat, in microseconds since 1970',
    heir String,
    time DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY time
TTL toDateTime(time) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- Alerts from before name no process. They belong to one without a name, which has left.
INSERT INTO process_beats (owner, has_left) VALUES ('', true);
