//! Holds the alerts that a lane has not taken yet, by their worth.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::alert::{Alert, Severity};

/// How urgent an alert is, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// Asks for a key to be suspended or revoked.
    Request,
    /// A critical incident, or one about the monitor itself.
    Critical,
    Rest,
}

impl Worth {
    pub(super) const ALL: [Self; 3] = [Self::Request, Self::Critical, Self::Rest];

    pub(super) fn of(alert: &Alert) -> Self {
        let is_of_monitor = alert.key_id.is_none() && alert.source_ip.is_none();
        if alert.alert_type.is_request() {
            Self::Request
        } else if alert.severity == Severity::Critical || is_of_monitor {
            Self::Critical
        } else {
            Self::Rest
        }
    }
}

/// A bounded queue for each worth, so that a flood of one does not keep out a more urgent one.
pub(super) struct Inbox {
    queues: Mutex<[VecDeque<Arc<Alert>>; 3]>,
    /// Alerts in each queue.
    capacity: usize,
    is_closed: AtomicBool,
    /// Notified when an alert arrives, and when the inbox is closed.
    pub(super) news: Notify,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            queues: Mutex::default(),
            capacity,
            is_closed: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    /// Returns whether there was room.
    pub(super) fn push(&self, alert: &Arc<Alert>) -> bool {
        let mut queues = self.queues.lock();
        let queue = &mut queues[Worth::of(alert) as usize];
        let has_room = queue.len() < self.capacity;
        if has_room {
            queue.push_back(Arc::clone(alert));
        }
        drop(queues);
        self.news.notify_one();
        has_room
    }

    /// Takes at most `limit` alerts of this worth, oldest first.
    pub(super) fn take(&self, worth: Worth, limit: usize) -> Vec<Arc<Alert>> {
        let queue = &mut self.queues.lock()[worth as usize];
        let count = queue.len().min(limit);
        queue.drain(..count).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.queues.lock().iter().map(VecDeque::len).sum()
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.news.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}
