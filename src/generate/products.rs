//! Defines the API that the keys use: products, their routes, and how routes respond.

use compact_str::CompactString;

use super::ids::{number, write_id};
use super::random::Random;

#[derive(Debug, PartialEq)]
pub(super) struct Route {
    pub method: &'static str,
    /// `{id}` stands for a number; other names in braces stand for other kinds of ids.
    pub template: &'static str,
    pub scope: &'static str,
    pub weight: f64,
    pub latency_ms: f64,
    /// Median size of the response.
    pub bytes_out: f64,
}

impl Route {
    pub fn path(&self, random: &mut Random) -> CompactString {
        self.fill(random, write_id)
    }

    /// The path with `id` in the place of its first id.
    pub fn path_of(&self, id: u64, random: &mut Random) -> CompactString {
        let mut is_first = true;
        self.fill(random, |name, path, random| {
            if std::mem::take(&mut is_first) {
                number(path, id);
            } else {
                write_id(name, path, random);
            }
        })
    }

    pub fn has_number(&self) -> bool {
        self.template.contains("{id}")
    }

    fn fill(
        &self,
        random: &mut Random,
        mut write: impl FnMut(&str, &mut CompactString, &mut Random),
    ) -> CompactString {
        let mut path = CompactString::default();
        let mut rest = self.template;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            path.push_str(before);
            write(name, &mut path, random);
            rest = after;
        }
        path.push_str(rest);
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

/// Ids with prefixes, as payment services have them.
pub(super) const BILLING: Product = &[
    route("GET", "/v1/customers/{cus}", "customers:read", 6.0, 30.0, 1_400.0),
    route("POST", "/v1/customers/{cus}", "customers:write", 1.0, 60.0, 1_400.0),
    route("GET", "/v1/charges/{ch}", "charges:read", 5.0, 35.0, 1_800.0),
    route("POST", "/v1/charges", "charges:write", 3.0, 240.0, 1_700.0),
    route("GET", "/v1/subscriptions/{sub}", "subscriptions:read", 2.0, 30.0, 2_200.0),
    route("DELETE", "/v1/subscriptions/{sub}", "subscriptions:write", 0.2, 70.0, 0.0),
    route("GET", "/v1/customers/{cus}/invoices/{ulid}", "invoices:read", 1.0, 50.0, 4_000.0),
];

/// Ids of mixed letters, e-mail addresses, dates, hashes, languages.
pub(super) const CONTENT: Product = &[
    route("GET", "/{locale}/articles/{slug}", "content:read", 8.0, 25.0, 16_000.0),
    route("GET", "/v1/{locale}/catalogue/{sku}", "catalogue:read", 4.0, 30.0, 3_000.0),
    route("GET", "/v1/assets/{hash}", "assets:read", 6.0, 12.0, 60_000.0),
    route("GET", "/v1/users/{email}", "users:read", 2.0, 35.0, 900.0),
    route("GET", "/v1/days/{date}/summary", "reports:read", 1.0, 120.0, 8_000.0),
    route("PUT", "/v1/drafts/{nanoid}", "drafts:write", 1.0, 70.0, 300.0),
    route("GET", "/v1/pages/{base64}", "content:read", 2.0, 40.0, 9_000.0),
];

/// Health monitors request only this route.
pub(super) const HEALTH: Product = &[route("GET", "/health", "", 1.0, 3.0, 20.0)];

/// A job that reads all routes once a day.
pub(super) const INVENTORY: Product = &[
    route("GET", "/v1/inventory/warehouses", "inventory:read", 1.0, 80.0, 9_000.0),
    route("GET", "/v1/inventory/warehouses/{id}", "inventory:read", 1.0, 40.0, 2_000.0),
    route("GET", "/v1/inventory/warehouses/{id}/stock", "inventory:read", 1.0, 90.0, 30_000.0),
    route("GET", "/v1/inventory/warehouses/{id}/bins", "inventory:read", 1.0, 70.0, 22_000.0),
    route("GET", "/v1/inventory/suppliers", "inventory:read", 1.0, 60.0, 12_000.0),
    route("GET", "/v1/inventory/suppliers/{id}", "inventory:read", 1.0, 30.0, 1_500.0),
    route("GET", "/v1/inventory/suppliers/{id}/orders", "inventory:read", 1.0, 80.0, 16_000.0),
    route("GET", "/v1/inventory/orders", "inventory:read", 1.0, 90.0, 24_000.0),
    route("GET", "/v1/inventory/orders/{id}", "inventory:read", 1.0, 30.0, 2_600.0),
    route("GET", "/v1/inventory/orders/{id}/lines", "inventory:read", 1.0, 40.0, 6_000.0),
    route("GET", "/v1/inventory/returns", "inventory:read", 1.0, 70.0, 9_000.0),
    route("GET", "/v1/inventory/returns/{id}", "inventory:read", 1.0, 30.0, 1_700.0),
    route("GET", "/v1/inventory/articles", "inventory:read", 1.0, 95.0, 40_000.0),
    route("GET", "/v1/inventory/articles/{sku}", "inventory:read", 1.0, 25.0, 2_100.0),
    route("GET", "/v1/inventory/articles/{sku}/prices", "inventory:read", 1.0, 30.0, 1_900.0),
    route("GET", "/v1/inventory/articles/{sku}/stock", "inventory:read", 1.0, 35.0, 800.0),
    route("GET", "/v1/inventory/articles/{sku}/images", "inventory:read", 1.0, 30.0, 5_000.0),
    route("GET", "/v1/inventory/categories", "inventory:read", 1.0, 40.0, 7_000.0),
    route("GET", "/v1/inventory/categories/{slug}", "inventory:read", 1.0, 30.0, 3_000.0),
    route("GET", "/v1/inventory/brands", "inventory:read", 1.0, 40.0, 6_000.0),
    route("GET", "/v1/inventory/brands/{slug}", "inventory:read", 1.0, 25.0, 900.0),
    route("GET", "/v1/inventory/carriers", "inventory:read", 1.0, 35.0, 2_000.0),
    route("GET", "/v1/inventory/carriers/{id}", "inventory:read", 1.0, 25.0, 700.0),
    route("GET", "/v1/inventory/shipments", "inventory:read", 1.0, 95.0, 28_000.0),
    route("GET", "/v1/inventory/shipments/{id}", "inventory:read", 1.0, 30.0, 1_800.0),
    route("GET", "/v1/inventory/shipments/{id}/track", "inventory:read", 1.0, 45.0, 2_400.0),
    route("GET", "/v1/inventory/customs", "inventory:read", 1.0, 60.0, 4_000.0),
    route("GET", "/v1/inventory/customs/{id}", "inventory:read", 1.0, 30.0, 1_600.0),
    route("GET", "/v1/inventory/taxes", "inventory:read", 1.0, 30.0, 2_200.0),
    route("GET", "/v1/inventory/currencies", "inventory:read", 1.0, 20.0, 3_000.0),
    route("GET", "/v1/inventory/counts", "inventory:read", 1.0, 70.0, 12_000.0),
    route("POST", "/v1/inventory/counts", "inventory:write", 1.0, 120.0, 600.0),
    route("GET", "/v1/inventory/counts/{id}", "inventory:read", 1.0, 35.0, 4_200.0),
    route("GET", "/v1/inventory/losses", "inventory:read", 1.0, 60.0, 5_000.0),
    route("GET", "/v1/inventory/batches", "inventory:read", 1.0, 50.0, 8_000.0),
    route("GET", "/v1/inventory/batches/{ulid}", "inventory:read", 1.0, 30.0, 1_300.0),
    route("GET", "/v1/inventory/serials/{hash}", "inventory:read", 1.0, 25.0, 600.0),
    route("GET", "/v1/inventory/forecasts", "inventory:read", 1.0, 150.0, 18_000.0),
    route("GET", "/v1/inventory/forecasts/{date}", "inventory:read", 1.0, 90.0, 9_000.0),
    route("POST", "/v1/inventory/sync", "inventory:write", 1.0, 300.0, 400.0),
];

/// Routes that an intruder looks for and that ordinary keys never use.
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
            [&ADMINISTRATION, &EXPORT, &KEY_MANAGEMENT, &BILLING, &CONTENT, &HEALTH, &INVENTORY]
                .into_iter()
                .chain(&ORDINARY)
                .copied()
                .flatten()
        {
            let path = route.path(&mut random);
            assert!(path.starts_with('/') && !path.contains(['{', '}']), "{path}");
        }
    }
}
