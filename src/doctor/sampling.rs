//! Tells whether a log holds only a sample of the requests. Some loggers say so in each record.

use serde_json::Value;

/// Records in which the name is looked for.
pub(super) const TRIED: usize = 200;

/// Names of the share, without case and separators.
const NAMES: [&str; 6] = [
    "samplerate",
    "samplingrate",
    "sampleinterval",
    "samplepercent",
    "samplepercentage",
    "samplingpercentage",
];

/// A field by which a record says that it stands for others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SampleRate {
    pub field: String,
    pub value: f64,
}

/// Returns the record's own statement. A value of 1 or 100 means that all requests are logged.
pub(super) fn sample_rate(record: &[u8]) -> Option<SampleRate> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(record) else { return None };
    fields.into_iter().find_map(|(field, value)| {
        let name: String = field.chars().filter(char::is_ascii_alphanumeric).collect();
        let is_rate = NAMES.contains(&name.to_ascii_lowercase().as_str());
        let value = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        let is_partial = value > 0.0 && value != 1.0 && value != 100.0;
        (is_rate && is_partial).then_some(SampleRate { field, value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_stands_for_others_says_so() {
        for (record, value) in [
            (r#"{"sample_rate": 0.1}"#, Some(0.1)),
            (r#"{"a": 1, "SampleRate": "10"}"#, Some(10.0)),
            (r#"{"sampling-percentage": 25}"#, Some(25.0)),
            (r#"{"sample_rate": 1}"#, None),
            (r#"{"sampling_percentage": 100}"#, None),
            (r#"{"sample_rate": "all"}"#, None),
            (r#"{"rate": 0.1}"#, None),
            ("GET /v1 sample_rate=0.1", None),
        ] {
            assert_eq!(sample_rate(record.as_bytes()).map(|it| it.value), value, "{record}");
        }
    }
}
