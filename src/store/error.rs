//! Classifies errors of ClickHouse by whether a retry can succeed.

/// A failed operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is down, unreachable or overloaded: the same call may succeed later.
    #[error(
        "ClickHouse at {url} is unavailable while {doing}: {reason}. Is it running, and is `url` in [clickhouse] right?"
    )]
    Unavailable { url: String, doing: String, reason: String },
    #[error(
        "ClickHouse at {url} refused the log-in: {reason}. Check `user` and `password` in [clickhouse]"
    )]
    AccessDenied { url: String, reason: String },
    #[error("ClickHouse at {url} lacks a table while {doing}: {reason}. Run `keywatch migrate`")]
    NotMigrated { url: String, doing: String, reason: String },
    /// The server refused the request: the same call fails again.
    #[error("ClickHouse at {url} rejected {doing}: {reason}")]
    Rejected { url: String, doing: String, reason: String },
    #[error(
        "sql/{name} differs from what was applied to this database. Restore the file and put the change into a new migration"
    )]
    ChangedMigration { name: String },
    #[error(
        "this database has migration {name}, which this keywatch does not know. Use the newer version that applied it"
    )]
    UnknownMigration { name: String },
    #[error(
        "`raw_retention_days = {days}` in [clickhouse]: give up to {max} days, or 0 to keep raw events for ever"
    )]
    Retention { days: u32, max: u32 },
    #[error("alert {id} cannot be written or read as JSON: {reason}")]
    AlertJson { id: String, reason: serde_json::Error },
}

impl StoreError {
    /// Whether the same call may succeed later without a change by an operator.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the query would have read more, or for longer, than its settings allow.
    pub fn is_over_limit(&self) -> bool {
        match self {
            Self::Unavailable { reason, .. } | Self::Rejected { reason, .. } => {
                exception_code(reason).is_some_and(|code| LIMIT_CODES.contains(&code))
            }
            _ => false,
        }
    }

    /// Classifies an error of the client. `doing` completes "while ...".
    pub(super) fn sort(url: &str, doing: &str, error: &clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;

        let (url, doing, reason) = (url.to_owned(), doing.to_owned(), one_line(error));
        match error {
            Error::Network(_) | Error::TimedOut => Self::Unavailable { url, doing, reason },
            Error::BadResponse(text) => match exception_code(text) {
                Some(code) if ACCESS_CODES.contains(&code) => Self::AccessDenied { url, reason },
                Some(code) if MISSING_CODES.contains(&code) => {
                    Self::NotMigrated { url, doing, reason }
                }
                Some(code) if !TRANSIENT_CODES.contains(&code) => {
                    Self::Rejected { url, doing, reason }
                }
                // Without a code, the answer came from a proxy or the connection broke.
                Some(_) | None => Self::Unavailable { url, doing, reason },
            },
            _ => Self::Rejected { url, doing, reason },
        }
    }
}

// Codes: ClickHouse, src/Common/ErrorCodes.cpp.

/// UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED.
const ACCESS_CODES: [u32; 4] = [192, 193, 194, 516];

/// UNKNOWN_TABLE, UNKNOWN_DATABASE.
const MISSING_CODES: [u32; 2] = [60, 81];

/// CANNOT_READ_ALL_DATA (a request cut short), TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES,
/// NO_FREE_CONNECTION, SOCKET_TIMEOUT, NETWORK_ERROR, ABORTED, MEMORY_LIMIT_EXCEEDED,
/// TABLE_IS_READ_ONLY, NOT_ENOUGH_SPACE, TOO_MANY_PARTS, ALL_CONNECTION_TRIES_FAILED,
/// QUERY_WAS_CANCELLED, CANNOT_SCHEDULE_TASK, ASYNC_LOAD_WAIT_FAILED, KEEPER_EXCEPTION.
const TRANSIENT_CODES: [u32; 16] =
    [33, 159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 394, 439, 695, 999];

/// TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES.
const LIMIT_CODES: [u32; 4] = [158, 159, 307, 396];

/// `Code: 60. DB::Exception: ...` -> 60.
fn exception_code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Returns the first line with the causes that `Display` leaves out, up to a limit.
fn one_line(error: &clickhouse::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches(['.', ' ']);
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clickhouse::error::Error;

    fn sorted(text: &str) -> StoreError {
        StoreError::sort("http://db:8123", "reading", &Error::BadResponse(text.into()))
    }

    #[test]
    fn a_wrong_password_is_permanent_and_says_what_to_check() {
        let error = sorted("Code: 516. DB::Exception: default: Authentication failed.\nMore");
        assert!(!error.is_retryable());
        let message = error.to_string();
        assert!(message.contains("`user` and `password`"), "{message}");
        assert!(!message.contains("More"), "{message}");
    }

    #[test]
    fn a_missing_table_names_the_command_that_makes_it() {
        let error = sorted("Code: 60. DB::Exception: Table keywatch.alerts does not exist.");
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("keywatch migrate"));
    }

    #[test]
    fn overload_and_proxies_are_worth_waiting_for() {
        assert!(sorted("Code: 252. DB::Exception: Too many parts").is_retryable());
        assert!(sorted("502 Bad Gateway").is_retryable());
        assert!(StoreError::sort("u", "d", &Error::TimedOut).is_retryable());
    }

    #[test]
    fn a_query_that_reads_too_much_is_told_from_one_that_fails() {
        assert!(sorted("Code: 158. DB::Exception: Limit for rows exceeded").is_over_limit());
        assert!(sorted("Code: 159. DB::Exception: Timeout exceeded").is_over_limit());
        assert!(!sorted("Code: 62. DB::Exception: Syntax error").is_over_limit());
        assert!(!sorted("502 Bad Gateway").is_over_limit());
    }

    #[test]
    fn a_syntax_error_is_permanent() {
        assert!(!sorted("Code: 62. DB::Exception: Syntax error").is_retryable());
    }
}
