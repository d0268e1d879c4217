//! Writes a diagnosis for a terminal: what was read, what was found, and what to do.

mod log;
mod page;
mod summary;

use std::fmt::Write;

use self::page::{Page, clean};
pub use self::summary::{Glance, glances, summary};
use super::sample::TopicSampled;
use super::{ClusterHealth, Diagnosis, Sampled};
use crate::text::{self, counted};

/// Returns the text, with colours, in lines of about `width` characters. Settings to copy are not
/// broken.
pub fn render(diagnosis: &Diagnosis, width: usize) -> String {
    let mut page = Page::new(width);
    page.line(&sampled(&diagnosis.sample));
    for log in &diagnosis.logs {
        page.log(log);
    }
    page.into_text()
}

/// The section about the cluster of ClickHouse.
pub fn render_cluster(health: &ClusterHealth, width: usize) -> String {
    let mut page = Page::new(width);
    page.heading(&format!("Cluster {}", clean(&health.name)));
    page.paragraph(&health.summary(), 2);
    page.line("");
    for finding in &health.findings {
        page.finding(finding);
    }
    page.into_text()
}

fn sampled(sample: &Sampled) -> String {
    let mut text = match &sample.topic {
        Some(topic) => of_topic(sample, topic),
        None => of_files(sample),
    };
    for warning in &sample.warnings {
        let _ = write!(text, "\n{}", clean(warning));
    }
    if sample.files_left_out > 0 {
        let _ = write!(text, " {} were not opened.", counted(sample.files_left_out, "more file"));
    }
    text
}

const OF_THIS_SAMPLE: &str = "All shares below are those of this sample.";

fn of_files(sample: &Sampled) -> String {
    let records = counted(sample.records as usize, "record");
    let files = counted(sample.files, "file");
    let (bytes, disk) = (size(sample.bytes), size(sample.total_bytes));
    if sample.is_whole {
        format!("Read all {records} of {files} ({disk} on the disk).")
    } else {
        format!(
            "Read the first {records} ({bytes}) of {files} ({disk} on the disk). {OF_THIS_SAMPLE}"
        )
    }
}

fn of_topic(sample: &Sampled, topic: &TopicSampled) -> String {
    let records = counted(sample.records as usize, "record");
    let partitions = counted(topic.partitions, "partition");
    let (bytes, name) = (size(sample.bytes), clean(&topic.name));
    if sample.is_whole {
        format!("Read all {records} ({bytes}) of the {partitions} of {name}.")
    } else {
        format!(
            "Read the latest {records} ({bytes}) of the {partitions} of {name}. {OF_THIS_SAMPLE}"
        )
    }
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1e9.. => format!("{} GB", text::number(bytes / 1e9)),
        1e6.. => format!("{} MB", text::number(bytes / 1e6)),
        1e3.. => format!("{} kB", text::number(bytes / 1e3)),
        _ => format!("{bytes} bytes"),
    }
}
