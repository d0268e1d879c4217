-- Is everything up to now in, and which offsets are missing, in doubt or stored twice?
-- days UInt32 = 30
-- No row: everything is in, as far as the log went when the last batch was stored. "behind" is
-- what was in the log and not stored then. Offsets without records (the ends of transactions,
-- what was compacted) belong to the batch after them. A gap was dropped by the log's retention
-- before it was read, or skipped by moving the group's offsets.
WITH batches AS
(
    SELECT
        topic,
        topic_id,
        partition,
        first_offset,
        last_offset,
        countIf(state = 'done') > 0 AS done,
        argMaxIf(log_end, time, state = 'done') AS log_end
    FROM ingest_batches
    WHERE time >= now() - toIntervalDay({days:UInt32})
    GROUP BY topic, topic_id, partition, first_offset, last_offset
),
stored AS
(
    SELECT
        topic,
        topic_id,
        partition,
        maxOrNullIf(last_offset, done) AS stored_to,
        argMaxIf(log_end, last_offset, done) AS log_end
    FROM batches
    GROUP BY topic, topic_id, partition
),
neighbours AS
(
    SELECT
        topic,
        topic_id,
        partition,
        first_offset,
        last_offset,
        max(last_offset) OVER (
            PARTITION BY topic, topic_id, partition ORDER BY first_offset, last_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_offset,
        row_number() OVER (
            PARTITION BY topic, topic_id, partition ORDER BY first_offset, last_offset) AS number
    FROM batches
    WHERE done
)
SELECT topic, topic_id, partition, finding, from_offset, to_offset
FROM
(
    -- What begins at offsets that are stored was begun and abandoned by an earlier owner.
    SELECT topic, topic_id, partition, 'in doubt' AS finding,
        first_offset AS from_offset, last_offset AS to_offset
    FROM batches
    INNER JOIN stored USING (topic, topic_id, partition)
    WHERE NOT done AND (stored_to IS NULL OR first_offset > stored_to)
    UNION ALL
    SELECT topic, topic_id, partition, 'behind', assumeNotNull(stored_to) + 1, assumeNotNull(log_end) - 1
    FROM stored
    WHERE log_end > stored_to + 1
    UNION ALL
    SELECT topic, topic_id, partition, 'gap', previous_offset + 1, first_offset - 1
    FROM neighbours
    WHERE number > 1 AND first_offset > previous_offset + 1
    UNION ALL
    SELECT topic, topic_id, partition, 'overlap', first_offset, least(last_offset, previous_offset)
    FROM neighbours
    WHERE number > 1 AND first_offset <= previous_offset
)
ORDER BY topic, topic_id, partition, from_offset, finding
