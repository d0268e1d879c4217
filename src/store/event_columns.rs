//! Lists the columns of `access_events` as they are sent: those of [`EventRow`], in its order.

use super::EventRow;
use super::block::Column;

/// All times are of this type.
const TIME: &str = "DateTime64(6, 'UTC')";

pub(super) fn event_columns<'a>() -> Vec<Column<EventRow<'a>>> {
    let column = Column::<EventRow<'a>>::new;
    vec![
        column("topic", "String", |row, to| to.text(row.topic)),
        column("partition", "Int32", |row, to| to.fixed(row.partition.to_le_bytes())),
        column("record_offset", "Int64", |row, to| to.fixed(row.record_offset.to_le_bytes())),
        column("record_index", "UInt32", |row, to| to.fixed(row.record_index.to_le_bytes())),
        column("time", TIME, |row, to| to.fixed(row.time.to_le_bytes())),
        column("key_id", "String", |row, to| to.text(row.key_id)),
        column("client_ip", "IPv6", |row, to| to.fixed(row.client_ip.octets())),
        column("method", "String", |row, to| to.text(row.method)),
        column("path", "String", |row, to| to.text(row.path)),
        column("status", "UInt16", |row, to| to.fixed(row.status.to_le_bytes())),
        column("request_id", "String", |row, to| to.text(row.request_id)),
        column("latency_ms", "Nullable(Float32)", |row, to| {
            to.nullable(row.latency_ms.map(f32::to_le_bytes));
        }),
        column("bytes_in", "Nullable(UInt64)", |row, to| {
            to.nullable(row.bytes_in.map(u64::to_le_bytes));
        }),
        column("bytes_out", "Nullable(UInt64)", |row, to| {
            to.nullable(row.bytes_out.map(u64::to_le_bytes));
        }),
        column("user_agent", "String", |row, to| to.text(row.user_agent)),
        column("environment", "String", |row, to| to.text(row.environment)),
        column("scope", "String", |row, to| to.text(row.scope)),
        column("tenant", "String", |row, to| to.text(row.tenant)),
        column("nonce_fingerprint", "UInt128", |row, to| {
            to.fixed(row.nonce_fingerprint.to_le_bytes());
        }),
        column("client_time", "Nullable(DateTime64(6, 'UTC'))", |row, to| {
            to.nullable(row.client_time.map(i64::to_le_bytes));
        }),
        column("signature_fingerprint", "UInt128", |row, to| {
            to.fixed(row.signature_fingerprint.to_le_bytes());
        }),
        column("country", "String", |row, to| to.text(row.country)),
        column("region", "String", |row, to| to.text(row.region)),
        column("city", "String", |row, to| to.text(row.city)),
        column("latitude", "Nullable(Float32)", |row, to| {
            to.nullable(row.latitude.map(f32::to_le_bytes));
        }),
        column("longitude", "Nullable(Float32)", |row, to| {
            to.nullable(row.longitude.map(f32::to_le_bytes));
        }),
        column("asn", "UInt32", |row, to| to.fixed(row.asn.to_le_bytes())),
        column("as_name", "String", |row, to| to.text(row.as_name)),
        column("quarantined", "String", |row, to| to.text(row.quarantined)),
        column("authenticated", "Nullable(Bool)", |row, to| {
            to.nullable(row.authenticated.map(|it| [u8::from(it)]));
        }),
        column("has_secret", "Bool", |row, to| to.fixed([u8::from(row.has_secret)])),
        column("validity_ms", "Nullable(UInt32)", |row, to| {
            to.nullable(row.validity_ms.map(u32::to_le_bytes));
        }),
        column("client_fingerprint", "String", |row, to| to.text(row.client_fingerprint)),
        column("auth_method", "String", |row, to| to.text(row.auth_method)),
    ]
}

#[cfg(test)]
mod tests {
    use clickhouse::Row;

    use super::*;

    #[test]
    fn a_row_has_no_other_columns() {
        let names: Vec<&str> = event_columns().iter().map(|column| column.name).collect();
        assert_eq!(names, EventRow::COLUMN_NAMES);
    }
}
