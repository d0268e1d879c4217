//! Maps HTTP status codes to their meaning for a key (RFC 9110, section 15).

/// The API's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 2xx and 3xx: the API accepted the key.
    Accepted,
    /// 401 and 403: the key or the signature is invalid, or a permission is missing.
    Refused,
    /// 429: the key exceeds its quota.
    Throttled,
    /// All other 4xx: the client made a mistake.
    ClientError,
    /// 500 and above: the API failed.
    ServerError,
    /// Below 200: the log has no final answer. Interim answers are 1xx, and some proxies log 0.
    Missing,
}

impl Answer {
    /// The meaning of an HTTP status.
    pub const fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Missing,
            200..400 => Self::Accepted,
            401 | 403 => Self::Refused,
            429 => Self::Throttled,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// Whether the status is 400 or above.
    pub const fn is_error(self) -> bool {
        match self {
            Self::Refused | Self::Throttled | Self::ClientError | Self::ServerError => true,
            Self::Accepted | Self::Missing => false,
        }
    }

    /// Whether the API accepted the key. `None` if the answer says nothing about the key:
    /// failures of the server, throttling, bad requests and missing answers.
    pub const fn accepts_key(self) -> Option<bool> {
        match self {
            Self::Accepted => Some(true),
            Self::Refused => Some(false),
            Self::Throttled | Self::ClientError | Self::ServerError | Self::Missing => None,
        }
    }
}

/// Whether ordinary clients retry the request after this status: the server failed, the server
/// asked the client to wait (408, 425, 429), or the client gave up waiting (499, as nginx logs
/// it).
pub const fn invites_retry(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_meaning() {
        for (statuses, answer) in [
            (0..=199, Answer::Missing),
            (200..=399, Answer::Accepted),
            (400..=400, Answer::ClientError),
            (401..=401, Answer::Refused),
            (402..=402, Answer::ClientError),
            (403..=403, Answer::Refused),
            (404..=428, Answer::ClientError),
            (429..=429, Answer::Throttled),
            (430..=499, Answer::ClientError),
            (500..=u16::MAX, Answer::ServerError),
        ] {
            for status in statuses {
                assert_eq!(Answer::of(status), answer, "{status}");
                assert_eq!(answer.is_error(), status >= 400, "{status}");
            }
        }
    }

    #[test]
    fn only_success_and_refusal_say_whether_the_key_is_accepted() {
        let judged = [200, 304, 401, 403, 404, 429, 500].map(|s| Answer::of(s).accepts_key());
        let (good, bad) = (Some(true), Some(false));
        assert_eq!(judged, [good, good, bad, bad, None, None, None]);
    }
}
