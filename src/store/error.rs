//! Classifies errors of ClickHouse by whether a retry can succeed.

/// A failed operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server is down, unreachable or overloaded: the same call may succeed later.
    #[error(
        "ClickHouse at {url} is unavailable while {doing}: {reason}. Is it running, and is `url` in [clickhouse] right?"
    )]
    Unavailable { url: String, doing: String, reason: String },
    /// Too few replicas answered: it is unknown whether rows are stored, and the same call may succeed
    /// later.
    #[error(
        "the cluster of ClickHouse at {url} had no quorum while {doing}: {reason}. Are its replicas and its ZooKeeper or Keeper running?"
    )]
    NoQuorum { url: String, doing: String, reason: String },
    #[error(
        "ClickHouse at {url} knows no cluster `{cluster}`. Add it to `remote_servers` of the server, or correct `cluster` in [clickhouse]; `SELECT cluster FROM system.clusters` lists them"
    )]
    UnknownCluster { url: String, cluster: String },
    #[error(
        "database {database} at {url} has the tables of a single server. Give another `database` in [clickhouse] for the cluster, and move the rows as docs/OPERATIONS.md says"
    )]
    SingleServerTables { url: String, database: String },
    #[error(
        "database {database} at {url} has the tables of a cluster. Name it in `cluster` in [clickhouse]"
    )]
    ClusterTables { url: String, database: String },
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
        matches!(self, Self::Unavailable { .. } | Self::NoQuorum { .. })
    }

    /// Whether another change of the table was under way, after which this one has its turn.
    pub(super) fn is_contended(&self) -> bool {
        match self {
            Self::Unavailable { reason, .. } | Self::NoQuorum { reason, .. } => {
                exception_code(reason).is_some_and(|code| CONTENDED_CODES.contains(&code))
            }
            _ => false,
        }
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
                Some(code) if QUORUM_CODES.contains(&code) => Self::NoQuorum { url, doing, reason },
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

/// ATTEMPT_TO_READ_AFTER_EOF (a shard that ended), CANNOT_READ_ALL_DATA (a request cut short),
/// TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION, SOCKET_TIMEOUT,
/// NETWORK_ERROR, ABORTED, MEMORY_LIMIT_EXCEEDED, TABLE_IS_READ_ONLY, NOT_ENOUGH_SPACE, TOO_MANY_PARTS, ALL_CONNECTION_TRIES_FAILED,
/// QUERY_WAS_CANCELLED, CANNOT_SCHEDULE_TASK, CANNOT_ASSIGN_ALTER (another one is under way),
/// ASYNC_LOAD_WAIT_FAILED, KEEPER_EXCEPTION.
const TRANSIENT_CODES: [u32; 18] =
    [32, 33, 159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 394, 439, 517, 695, 999];

/// NO_ZOOKEEPER, UNEXPECTED_ZOOKEEPER_ERROR, TOO_FEW_LIVE_REPLICAS,
/// UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE, REPLICA_IS_NOT_IN_QUORUM, UNKNOWN_STATUS_OF_INSERT. After
/// each of them, rows may be stored or not: only an insert that is acknowledged is.
const QUORUM_CODES: [u32; 6] = [225, 244, 285, 286, 289, 319];

/// UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE, CANNOT_ASSIGN_ALTER: a server of a cluster still waits for
/// others.
const CONTENDED_CODES: [u32; 2] = [286, 517];

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
    fn a_lost_quorum_is_waited_for_and_never_taken_for_stored() {
        for text in [
            "Code: 319. DB::Exception: Unknown quorum status. The data was inserted in the local replica",
            "Code: 285. DB::Exception: Number of alive replicas (1) is less than requested quorum (2/2)",
            "Code: 319. DB::Exception: Received from ch-2:9000. DB::Exception: Unknown quorum status",
            "Code: 289. DB::Exception: Replica doesn't have part",
            "Code: 225. DB::Exception: Cannot get ZooKeeper",
        ] {
            let error = sorted(text);
            assert!(error.is_retryable() && !error.is_contended(), "{text}");
            assert!(matches!(error, StoreError::NoQuorum { .. }), "{error}");
        }
    }

    #[test]
    fn an_insert_that_waits_for_another_one_is_told_from_a_lost_quorum() {
        let error =
            sorted("Code: 286. DB::Exception: Another quorum insert has been already started.");
        assert!(error.is_contended() && error.is_retryable());
        let altered = sorted("Code: 517. DB::Exception: Metadata on replica is not up to date");
        assert!(altered.is_contended() && altered.is_retryable());
        assert!(!sorted("Code: 252. DB::Exception: Too many parts").is_contended());
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
