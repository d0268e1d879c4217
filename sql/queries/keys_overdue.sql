-- Which keys should have been rotated, and for how long?
-- rotate_every_days UInt32 = 90
-- limit UInt32 = 100
-- The age of a key counts from `created_at`. Bands: overdue by less than 30, 60, 90, 180 days, or more.
SELECT
    multiIf(overdue_days >= 180, '180 and more', overdue_days >= 90, '90 to 180', overdue_days >= 60, '60 to 90',
        overdue_days >= 30, '30 to 60', 'less than 30') AS overdue_band,
    key_id,
    owner,
    environment,
    toDate(created_at) AS created,
    age('day', assumeNotNull(created_at), now64(6)) - {rotate_every_days:UInt32} AS overdue_days
FROM api_keys
WHERE lifecycle = 'active' AND created_at IS NOT NULL AND NOT is_canary AND overdue_days > 0
ORDER BY overdue_days DESC, key_id
LIMIT {limit:UInt32}
