//! Sets up structured logs on standard error, as text or JSON lines.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::TelemetryError;
use crate::config::{Findings, LogConfig, LogFormat};

/// Sends the process's logs to standard error from here on.
///
/// # Errors
/// Returns an error if the filter cannot be parsed, or if logging was set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let subscriber = subscriber(config, wants_colour(), io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_| TelemetryError::AlreadyInstalled { what: "logs" })
}

/// Colours are used on a terminal, unless the user turned them off (<https://no-color.org>).
fn wants_colour() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !declined
}

/// Checks `[log]` and records each value that cannot work.
pub fn check(config: &LogConfig, findings: &mut Findings) {
    if let Err(error) = EnvFilter::try_new(&config.filter) {
        findings.require(false, "log.filter", format!("is not a tracing filter: {error}"));
    }
}

fn subscriber<W>(
    config: &LogConfig,
    colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(&config.filter).map_err(|error| {
        TelemetryError::Filter { filter: config.filter.clone(), reason: error.to_string() }
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match config.format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, colour: bool) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let config = LogConfig { format, filter: filter.into() };
        let subscriber = subscriber(&config, colour, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("too fine");
            tracing::info!(partition = 3, "batch stored");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line_with_fields_at_the_top() {
        let text = logged(LogFormat::Json, "info", false);
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "batch stored");
        assert_eq!(line["partition"], 3);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        assert!(!logged(LogFormat::Text, "info", false).contains("too fine"));
        assert!(logged(LogFormat::Text, "debug", false).contains("too fine"));
        assert!(!logged(LogFormat::Text, "keywatch=warn", false).contains("batch stored"));
    }

    #[test]
    fn text_has_escape_codes_only_with_colour() {
        assert!(!logged(LogFormat::Text, "info", false).contains('\u{1b}'));
        assert!(logged(LogFormat::Text, "info", true).contains('\u{1b}'));
    }

    #[test]
    fn an_unreadable_filter_is_named() {
        let config = LogConfig { format: LogFormat::Text, filter: "keywatch=loud".into() };
        let error = subscriber(&config, false, io::sink).err().unwrap().to_string();
        assert!(error.starts_with("log.filter 'keywatch=loud': "), "{error}");
    }
}
