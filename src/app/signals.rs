//! Signals: SIGINT and SIGTERM stop the program, SIGHUP has it read its configuration again.

use super::reload::Reload;
use anyhow::Context;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// SIGHUP from now on, before there are threads: it waits until it is listened to, and it never ends the program.
///
/// # Errors
/// When the system refuses a handler.
pub fn hangups() -> anyhow::Result<Signal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let _inside = runtime.enter();
    signal(SignalKind::hangup()).context("cannot listen to signals")
}

/// Whether the program is to stop, and why if no signal asked for it.
#[derive(Clone)]
pub struct Stop {
    stop: watch::Sender<bool>,
    /// The program ends by itself: its parts may end too.
    ending: Arc<AtomicBool>,
    failure: Arc<OnceLock<String>>,
}

impl Stop {
    /// Becomes true with SIGINT or SIGTERM. The second one leaves at once: rows that are not in the spool yet are lost.
    pub fn on_signals() -> anyhow::Result<Stop> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let stop = Stop { stop: watch::channel(false).0, ending: Arc::default(), failure: Arc::default() };
        let asked = stop.clone();
        tokio::spawn(async move {
            let mut again = false;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                asked.stop.send_replace(true);
                if std::mem::replace(&mut again, true) {
                    super::run::exit_now(130);
                }
            }
        });
        Ok(stop)
    }

    /// Stops the program as a signal would, for a part that failed: it ends with this line as its error.
    pub fn fail(&self, why: String) {
        let _ = self.failure.set(why);
        self.stop.send_replace(true);
    }

    /// From now on parts may end without that being a failure.
    pub fn ends_now(&self) {
        self.ending.store(true, Relaxed);
    }

    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub fn is_asked(&self) -> bool {
        *self.stop.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Ends the program when a part that must not end by itself does: `what` it is, and the thread a panic of it is in.
    pub fn when_it_ends<T: Send + 'static>(
        &self,
        what: &'static str,
        part: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let (stop, part) = (self.clone(), tokio::spawn(part));
        tokio::spawn(async move {
            let ended = part.await;
            if !stop.is_asked() && !stop.ending.load(Relaxed) {
                let why = if ended.is_err() { super::panics::last_of(WORKER) } else { "it ended by itself".to_owned() };
                stop.fail(defect(what, &why));
            }
        })
    }
}

/// Threads of the runtime have this name.
pub const WORKER: &str = "runtime";

/// The line with which the program ends after a panic.
pub fn defect(what: &str, why: &str) -> String {
    format!(
        "{what} failed ({why}): rows that were made are in the store or in the spool, calls and streams that were up \
         are lost; this is a defect: start the program again and report this line"
    )
}

/// Reads the configuration again with each SIGHUP until the program stops; then they do nothing.
pub fn reload_on(mut hangups: Signal, mut reload: Reload, stop: Stop) {
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            if stop.is_asked() {
                continue;
            }
            match reload.reload() {
                Ok(line) => super::print_status(line),
                Err(line) => eprintln!("auscult: {line}"),
            }
        }
    });
}
