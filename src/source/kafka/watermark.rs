//! Where a partition's log begins, as librdkafka knows it without asking. The crate `rdkafka`
//! does not wrap this, hence the unsafe call.

use std::ffi::CString;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;

use super::context::Context;
use crate::event::PartitionId;

/// The first offset of the log as of the last answer with records: not older than any record
/// that was taken from the queue, and logs only ever lose their begin.
pub(super) fn log_start(consumer: &BaseConsumer<Context>, partition: &PartitionId) -> Option<i64> {
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
    (answer == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0).then_some(low)
}
