//! Makes the requests of a drill.

use serde_json::json;

use crate::event::EventTime;

/// An address for documentation (RFC 5737), which is nobody's.
const ADDRESS: &str = "192.0.2.1";

/// A refused request that names the canary, in the format `keywatch`. It carries its mark in the
/// path and the client, too.
pub fn request(key: &str, number: u32, at: EventTime) -> Vec<u8> {
    let request = json!({
        "time": at,
        "key_id": key,
        "client_ip": ADDRESS,
        "method": "GET",
        "path": "/keywatch-drill",
        "status": 401,
        "authenticated": false,
        "request_id": format!("{key}-{number}"),
        "user_agent": concat!("keywatch-drill/", env!("CARGO_PKG_VERSION")),
    });
    request.to_string().into_bytes()
}
