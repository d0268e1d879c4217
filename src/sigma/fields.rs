//! The fields of rules, and the columns of `access_events` that they mean.

/// The type of a column decides how a value is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Address,
    Flag,
}

/// A column, or a part of one, with its names in rules.
#[derive(Debug)]
pub struct Field {
    /// Ours first; then those of W3C logs, the Elastic Common Schema and CloudTrail.
    pub names: &'static [&'static str],
    /// The expression in a query.
    pub sql: &'static str,
    pub kind: Kind,
    pub is_nullable: bool,
}

const fn text(names: &'static [&'static str], sql: &'static str) -> Field {
    Field { names, sql, kind: Kind::Text, is_nullable: false }
}

const fn number(names: &'static [&'static str], sql: &'static str) -> Field {
    Field { names, sql, kind: Kind::Number, is_nullable: false }
}

const fn nullable(field: Field) -> Field {
    Field { is_nullable: true, ..field }
}

pub const FIELDS: &[Field] = &[
    text(&["key_id", "cs-username", "user.id", "userIdentity.accessKeyId"], "key_id"),
    Field {
        names: &["client_ip", "c-ip", "src_ip", "source.ip", "sourceIPAddress"],
        sql: "client_ip",
        kind: Kind::Address,
        is_nullable: false,
    },
    text(&["method", "cs-method", "http.request.method"], "method"),
    text(&["path", "cs-uri-stem", "cs-uri", "c-uri", "c-uri-stem", "url.path"], "path"),
    number(&["status", "sc-status", "http.response.status_code"], "status"),
    text(
        &["user_agent", "cs-user-agent", "c-useragent", "user_agent.original", "userAgent"],
        "user_agent",
    ),
    text(&["request_id", "http.request.id", "eventID"], "request_id"),
    nullable(number(&["bytes_in", "cs-bytes", "http.request.bytes"], "bytes_in")),
    nullable(number(&["bytes_out", "sc-bytes", "http.response.bytes"], "bytes_out")),
    nullable(number(&["latency_ms", "time-taken"], "latency_ms")),
    text(&["tenant", "userIdentity.accountId"], "tenant"),
    text(&["environment"], "environment"),
    text(&["scope"], "scope"),
    text(&["country", "source.geo.country_iso_code"], "country"),
    text(&["region", "source.geo.region_name"], "region"),
    text(&["city", "source.geo.city_name"], "city"),
    number(&["asn", "source.as.number"], "asn"),
    text(&["as_name", "source.as.organization.name"], "as_name"),
    nullable(Field {
        names: &["authenticated"],
        sql: "authenticated",
        kind: Kind::Flag,
        is_nullable: false,
    }),
    text(&["auth_method"], "auth_method"),
    text(&["client_fingerprint", "tls.client.ja3"], "client_fingerprint"),
    // The format `cloudtrail` makes the path `iam.amazonaws.com:CreateAccessKey`.
    text(&["eventSource"], "splitByChar(':', path)[1]"),
    text(&["eventName"], "splitByChar(':', path)[2]"),
];

/// The field of this name, in whatever case.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.names.iter().any(|it| it.eq_ignore_ascii_case(name)))
}

/// The fields in which words without a field are looked for.
pub(super) fn searched() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|field| ["path", "user_agent"].contains(&field.names[0]))
}

impl Field {
    /// The condition that the log did not say.
    pub(super) fn is_missing(&self) -> String {
        let sql = self.sql;
        match self.kind {
            _ if self.is_nullable => format!("isNull({sql})"),
            Kind::Text => format!("{sql} = ''"),
            Kind::Number | Kind::Flag => format!("{sql} = 0"),
            Kind::Address => "false".to_owned(),
        }
    }

    /// The value as text.
    pub(super) fn as_text(&self) -> String {
        match self.kind {
            Kind::Text => self.sql.to_owned(),
            Kind::Address => "client_address".to_owned(),
            Kind::Number | Kind::Flag => format!("ifNull(toString({}), '')", self.sql),
        }
    }
}
