//! Warns about settings that work but are probably not intended.

use crate::config::{Config, SmtpTls, SourceKind};
use crate::http::url::{is_local, is_remote_http};

/// Returns one sentence for each doubtful setting. No sentence contains a secret.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |applies: bool, text: &str| {
        if applies {
            warnings.push(text.to_owned());
        }
    };
    warn(
        !config.policy.dry_run,
        "policy.dry_run is false: keys will be revoked through the webhook",
    );
    warn(
        !config.policy.dry_run && config.webhook.is_none(),
        "policy.dry_run is false, but without [webhook] nothing can revoke a key",
    );
    warn(
        config.email.is_none() && config.webhook.is_none() && config.alerts_topic.is_none(),
        "no [email], [webhook] or [alerts_topic]: alerts are stored and sent to nobody",
    );
    warn(
        config.enrich.city_databases.is_empty(),
        "enrich.city_databases is empty: locations are unknown, and geo.* detectors never fire",
    );
    warn(
        config.enrich.asn_databases.is_empty(),
        "enrich.asn_databases is empty: networks are unknown, and network.* detectors never fire",
    );
    warn(
        config.decode.pepper.is_empty(),
        "decode.pepper is not set: records with `api_key` are rejected, and fingerprints of \
         nonces can be guessed by anyone who reads them",
    );
    warn(
        config.source.kind == SourceKind::Http
            && config.source.http.token.is_empty()
            && config.source.http.tokens.is_empty()
            && !config.source.http.listen.ip().is_loopback(),
        "source.http.listen is open to the network without source.http.token",
    );
    warn(
        config.email.as_ref().is_some_and(|email| {
            email.tls == SmtpTls::None && (email.username.is_some() || !is_local(&email.host))
        }),
        "email.tls is \"none\": mails and the password travel unencrypted",
    );
    warn(
        config.webhook.as_ref().is_some_and(|webhook| is_remote_http(&webhook.url)),
        "webhook.url is http: alerts travel unencrypted",
    );
    warnings
}
