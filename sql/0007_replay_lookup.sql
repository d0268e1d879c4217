-- Where a nonce or signature was used first: asked when one comes again that was used long ago.
-- Without these the whole horizon of a busy key would be read for one answer; with them one
-- granule in a thousand is, besides those that hold it. About 15 kB for each granule of 8192 rows.
ALTER TABLE access_events
    ADD INDEX IF NOT EXISTS nonce_filter nonce_fingerprint TYPE bloom_filter(0.001) GRANULARITY 1;

ALTER TABLE access_events
    ADD INDEX IF NOT EXISTS signature_filter signature_fingerprint TYPE bloom_filter(0.001) GRANULARITY 1;
