//! Names the reasons for which a record is rejected.

use strum::{Display, EnumString, IntoStaticStr};

/// The reason why a record, or a part of one, is not a usable event. The names are stable, in lower
/// case with underscores: tables, dead letters and repartitioned records contain them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum RejectReason {
    TooLarge,
    InvalidUtf8,
    EmptyRecord,
    NotAnObject,
    TruncatedJson,
    InvalidJson,
    /// A line that is not what the format expects, of a format that is not JSON.
    UnknownShape,
    DuplicateField,
    MissingTime,
    BadTime,
    TimeOutOfRange,
    FutureTime,
    MissingKeyId,
    BadKeyId,
    BadApiKey,
    MissingPepper,
    MissingClientIp,
    BadClientIp,
    MissingMethod,
    BadMethod,
    MissingPath,
    BadPath,
    MissingStatus,
    BadStatus,
    /// A repartitioned record gives a reason that this version does not know.
    Rejected,
}

impl RejectReason {
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_lead_back() {
        for name in [
            "too_large",
            "invalid_utf8",
            "empty_record",
            "not_an_object",
            "truncated_json",
            "invalid_json",
            "unknown_shape",
            "duplicate_field",
            "missing_time",
            "bad_time",
            "time_out_of_range",
            "future_time",
            "missing_key_id",
            "bad_key_id",
            "bad_api_key",
            "missing_pepper",
            "missing_client_ip",
            "bad_client_ip",
            "missing_method",
            "bad_method",
            "missing_path",
            "bad_path",
            "missing_status",
            "bad_status",
            "rejected",
        ] {
            let reason = name.parse::<RejectReason>();
            assert_eq!(reason.map(RejectReason::as_str), Ok(name));
        }
    }
}
