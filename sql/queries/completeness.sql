-- Which offsets are missing, in doubt or stored twice?
-- days UInt32 = 30
-- Compacted and transactional topics have offsets without records, which show as gaps.
WITH batches AS
(
    SELECT topic, partition, first_offset, last_offset, countIf(state = 'done') > 0 AS done
    FROM ingest_batches
    WHERE time >= now() - toIntervalDay({days:UInt32})
    GROUP BY topic, partition, first_offset, last_offset
),
neighbours AS
(
    SELECT
        topic,
        partition,
        first_offset,
        last_offset,
        lagInFrame(last_offset, 1, first_offset - 1) OVER (
            PARTITION BY topic, partition ORDER BY first_offset, last_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS previous_offset
    FROM batches
    WHERE done
)
SELECT topic, partition, finding, from_offset, to_offset
FROM
(
    SELECT topic, partition, 'in doubt' AS finding,
        first_offset AS from_offset, last_offset AS to_offset
    FROM batches
    WHERE NOT done
    UNION ALL
    SELECT topic, partition, 'gap', previous_offset + 1, first_offset - 1
    FROM neighbours
    WHERE first_offset > previous_offset + 1
    UNION ALL
    SELECT topic, partition, 'overlap', first_offset, least(last_offset, previous_offset)
    FROM neighbours
    WHERE first_offset <= previous_offset
)
ORDER BY topic, partition, from_offset, finding
