//! Handles Ctrl-C and SIGTERM: the first ends the demo with its summary, the second at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::screen::Screen;

pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Cancels `shutdown` at the first signal and returns at the second.
    pub(super) async fn insist(&mut self, screen: &Screen, shutdown: &CancellationToken) {
        self.next().await;
        screen.say(
            "\nShutting down: storing and delivering what is in flight (Ctrl-C again ends at once)",
        );
        shutdown.cancel();
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
