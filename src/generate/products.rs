//! The API that the keys use: products, their routes, and how routes answer.

use std::fmt::Write;

use compact_str::CompactString;
use rand::RngExt;

use super::random::Random;

#[derive(Debug, PartialEq)]
pub(super) struct Route {
    pub method: &'static str,
    /// `{id}` stands for a number.
    pub template: &'static str,
    pub scope: &'static str,
    pub weight: f64,
    pub latency_ms: f64,
    /// Median size of the answer.
    pub bytes_out: f64,
}

impl Route {
    pub fn path(&self, random: &mut Random) -> CompactString {
        let Some((before, after)) = self.template.split_once("{id}") else {
            return CompactString::const_new(self.template);
        };
        let mut path = CompactString::from(before);
        // Writing into a string does not fail.
        let _ = write!(path, "{}{after}", random.random_range(1_000..90_000));
        path
    }

    pub fn success(&self) -> u16 {
        match self.method {
            "POST" => 201,
            "DELETE" => 204,
            _ => 200,
        }
    }
}

const fn route(
    method: &'static str,
    template: &'static str,
    scope: &'static str,
    weight: f64,
    latency_ms: f64,
    bytes_out: f64,
) -> Route {
    Route { method, template, scope, weight, latency_ms, bytes_out }
}

pub(super) type Product = &'static [Route];

pub(super) const PAYMENTS: Product = &[
    route("POST", "/v1/payments", "payments:write", 5.0, 180.0, 900.0),
    route("GET", "/v1/payments/{id}", "payments:read", 8.0, 35.0, 1_100.0),
    route("GET", "/v1/payments", "payments:read", 2.0, 90.0, 14_000.0),
    route("POST", "/v1/payments/{id}/refund", "payments:refund", 0.3, 210.0, 700.0),
    route("GET", "/v1/balance", "balance:read", 1.0, 25.0, 300.0),
    route("POST", "/v1/customers", "customers:write", 0.6, 80.0, 600.0),
    route("GET", "/v1/customers/{id}", "customers:read", 2.0, 30.0, 800.0),
];

pub(super) const TRADING: Product = &[
    route("GET", "/v2/ticker/{id}", "market:read", 8.0, 6.0, 450.0),
    route("GET", "/v2/orderbook/{id}", "market:read", 6.0, 9.0, 6_000.0),
    route("POST", "/v2/orders", "orders:write", 4.0, 18.0, 420.0),
    route("DELETE", "/v2/orders/{id}", "orders:write", 3.0, 14.0, 0.0),
    route("GET", "/v2/orders/{id}", "orders:read", 3.0, 8.0, 420.0),
    route("GET", "/v2/positions", "account:read", 1.0, 12.0, 1_500.0),
];

pub(super) const MESSAGING: Product = &[
    route("POST", "/v1/messages", "messages:write", 8.0, 60.0, 260.0),
    route("GET", "/v1/messages/{id}", "messages:read", 3.0, 20.0, 500.0),
    route("GET", "/v1/channels", "channels:read", 1.0, 30.0, 3_500.0),
    route("GET", "/v1/channels/{id}/members", "channels:read", 1.0, 40.0, 5_000.0),
];

pub(super) const STORAGE: Product = &[
    route("GET", "/v1/objects/{id}", "objects:read", 10.0, 45.0, 40_000.0),
    route("PUT", "/v1/objects/{id}", "objects:write", 4.0, 120.0, 150.0),
    route("HEAD", "/v1/objects/{id}", "objects:read", 3.0, 12.0, 0.0),
    route("GET", "/v1/buckets/{id}/objects", "objects:list", 1.0, 70.0, 18_000.0),
    route("DELETE", "/v1/objects/{id}", "objects:write", 0.5, 30.0, 0.0),
];

pub(super) const INFERENCE: Product = &[
    route("POST", "/v1/chat/completions", "inference:run", 8.0, 2_400.0, 3_800.0),
    route("POST", "/v1/embeddings", "inference:run", 6.0, 120.0, 12_000.0),
    route("GET", "/v1/models", "models:read", 0.4, 20.0, 4_000.0),
    route("POST", "/v1/files", "files:write", 0.3, 400.0, 300.0),
    route("GET", "/v1/batches/{id}", "batches:read", 1.0, 25.0, 700.0),
];

pub(super) const MAPS: Product = &[
    route("GET", "/v3/tiles/{id}", "maps:read", 10.0, 15.0, 22_000.0),
    route("GET", "/v3/geocode", "geocode:read", 3.0, 40.0, 1_200.0),
    route("GET", "/v3/route/{id}", "routing:read", 2.0, 90.0, 7_000.0),
];

pub(super) const ANALYTICS: Product = &[
    route("POST", "/v1/events", "events:write", 12.0, 12.0, 40.0),
    route("GET", "/v1/reports/{id}", "reports:read", 1.0, 350.0, 30_000.0),
    route("GET", "/v1/reports", "reports:read", 0.5, 60.0, 4_000.0),
];

/// What an intruder looks for, and ordinary keys never use.
pub(super) const ADMINISTRATION: Product = &[
    route("GET", "/v1/admin/users", "admin:read", 3.0, 80.0, 26_000.0),
    route("GET", "/v1/admin/users/{id}", "admin:read", 3.0, 35.0, 1_900.0),
    route("POST", "/v1/admin/webhooks", "admin:write", 1.0, 90.0, 500.0),
    route("GET", "/v1/admin/audit-log", "admin:read", 1.0, 140.0, 40_000.0),
    route("GET", "/v1/admin/settings", "admin:read", 1.0, 30.0, 2_500.0),
];

pub(super) const EXPORT: Product = &[
    route("GET", "/v1/export/customers", "export:read", 3.0, 600.0, 90_000.0),
    route("GET", "/v1/export/transactions", "export:read", 3.0, 700.0, 120_000.0),
    route("GET", "/v1/export/files/{id}", "export:read", 2.0, 400.0, 200_000.0),
];

pub(super) const KEY_MANAGEMENT: Product = &[
    route("POST", "/v1/api-keys", "keys:write", 3.0, 70.0, 400.0),
    route("POST", "/v1/api-keys/{id}/rotate", "keys:write", 3.0, 75.0, 400.0),
    route("GET", "/v1/secrets/{id}", "secrets:read", 4.0, 40.0, 300.0),
    route("GET", "/v1/api-keys", "keys:read", 1.0, 30.0, 5_000.0),
];

pub(super) const ORDINARY: [Product; 7] =
    [PAYMENTS, TRADING, MESSAGING, STORAGE, INFERENCE, MAPS, ANALYTICS];

#[cfg(test)]
mod tests {
    use super::super::random::stream;
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let mut random = stream(1, 0);
        for route in
            ORDINARY.iter().chain([&ADMINISTRATION, &EXPORT, &KEY_MANAGEMENT]).copied().flatten()
        {
            let path = route.path(&mut random);
            assert!(path.starts_with("/v") && !path.contains(['{', '}']), "{path}");
        }
    }
}
