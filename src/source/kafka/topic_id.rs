//! Asks for Kafka's topic ID (KIP-516), which distinguishes a topic from one that was deleted and
//! created again under the same name. The crate `rdkafka` does not wrap DescribeTopics, hence the
//! unsafe calls.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A request in progress. It blocks no thread.
pub(super) struct TopicIdRequest {
    /// The queue for librdkafka's answer. Owned: destroyed once, on drop.
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Dropped after the queue, which must not outlive it.
    _client: Arc<BaseConsumer>,
}

// SAFETY: librdkafka's queues may be used and destroyed on any thread.
unsafe impl Send for TopicIdRequest {}

impl TopicIdRequest {
    /// # Errors
    /// Fails for a name that no topic can have.
    pub(super) fn send(asking: &Arc<BaseConsumer>, topic: &str) -> Result<Self, KafkaError> {
        let name = CString::new(topic)?;
        let client = asking.client().native_ptr();
        // SAFETY: `client` is valid while `asking` is, which the request holds. The names are
        // copied into the collection, which is copied into the request and destroyed here.
        // Without options (null) the defaults hold: an answer or a time-out after 60 s.
        unsafe {
            let queue = NonNull::new(sys::rd_kafka_queue_new(client))
                .ok_or(KafkaError::AdminOp(RDKafkaErrorCode::Fail))?;
            let mut names = [name.as_ptr()];
            let topics =
                sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            sys::rd_kafka_DescribeTopics(client, topics, ptr::null(), queue.as_ptr());
            sys::rd_kafka_TopicCollection_destroy(topics);
            Ok(Self { queue, _client: Arc::clone(asking) })
        }
    }

    /// Returns the answer once it has arrived: the ID as Kafka's tools print it, or an empty text
    /// when the broker is too old to have IDs. Must not be called after it returned an answer.
    pub(super) fn answer(&self) -> Option<Result<Arc<str>, RDKafkaErrorCode>> {
        // SAFETY: the queue is valid, polling does not wait, and the event is destroyed after
        // its last use.
        unsafe {
            let event = NonNull::new(sys::rd_kafka_queue_poll(self.queue.as_ptr(), 0))?;
            let answer = read(event);
            sys::rd_kafka_event_destroy(event.as_ptr());
            Some(answer)
        }
    }
}

impl Drop for TopicIdRequest {
    fn drop(&mut self) {
        // SAFETY: the queue is owned and not used after this.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// # Safety
/// `event` is a valid event. The returned text is copied out of it.
unsafe fn read(event: NonNull<sys::rd_kafka_event_t>) -> Result<Arc<str>, RDKafkaErrorCode> {
    unsafe {
        check(sys::rd_kafka_event_error(event.as_ptr()))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 {
            return Err(RDKafkaErrorCode::Fail);
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() {
            check(sys::rd_kafka_error_code(error))?;
        }
        Ok(text(sys::rd_kafka_TopicDescription_topic_id(*topics)))
    }
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        error => Err(error),
    }
}

/// # Safety
/// `id` is null or a valid UUID.
unsafe fn text(id: *const sys::rd_kafka_Uuid_t) -> Arc<str> {
    unsafe {
        let is_unset = id.is_null()
            || sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        if is_unset {
            return "".into();
        }
        // The text belongs to the UUID, so it is copied.
        CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into()
    }
}
