//! Returns where a partition's log starts and ends, as librdkafka knows it without a request. The
//! crate `rdkafka` does not wrap this, hence the unsafe call.

use std::ffi::CString;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;

use super::context::Context;
use crate::event::PartitionId;

/// Returns the first offset of the log according to the last answer with records. That answer is
/// not older than any record taken from the queue, and the start of a log only moves forward.
pub(super) fn log_start(consumer: &BaseConsumer<Context>, partition: &PartitionId) -> Option<i64> {
    watermarks(consumer, partition).map(|(low, _)| low).filter(|low| *low >= 0)
}

/// Returns the offset behind the last record of the log according to the last answer.
pub(super) fn log_end(consumer: &BaseConsumer<Context>, partition: &PartitionId) -> Option<i64> {
    watermarks(consumer, partition).map(|(_, high)| high).filter(|high| *high >= 0)
}

/// Both are negative while they are unknown.
fn watermarks(consumer: &BaseConsumer<Context>, partition: &PartitionId) -> Option<(i64, i64)> {
    let name = CString::new(&*partition.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is valid while `consumer` is, the name is copied, and both offsets are
    // written before the call returns.
    let answer = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            name.as_ptr(),
            partition.partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some((low, high))
}
