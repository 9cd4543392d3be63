//! Panics of threads as one line of the log, and what the program says when one of them ended a part it cannot do without.

use std::any::Any;
use std::collections::HashMap;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Longest text of a panic that is repeated: it may quote what a stranger sent.
const TEXT: usize = 300;

static SEEN: AtomicU64 = AtomicU64::new(0);
/// The last panic of each thread that has a name.
static LAST: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);

/// Writes panics to the log from now on, one line each, instead of the several lines of the default. With
/// `RUST_BACKTRACE` set, those follow.
pub fn install() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = text_of(info);
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        SEEN.fetch_add(1, Relaxed);
        tracing::error!(thread, panic = text, "a thread panicked; this is a defect");
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        last.get_or_insert_default().insert(thread, text);
        drop(last);
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(info);
        }
    }));
}

/// Panics since the start.
pub fn seen() -> u64 {
    SEEN.load(Relaxed)
}

/// Place and text of the last panic of a thread, for the line that ends the program.
pub fn last_of(thread: &str) -> String {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.as_ref().and_then(|last| last.get(thread)).cloned().unwrap_or_else(|| "an unknown place".to_owned())
}

fn text_of(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or_else(String::new, |at| format!("{}:{}: ", at.file(), at.line()));
    one_line(&format!("{place}{}", said(info.payload())))
}

fn said(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// No control characters, and not longer than [`TEXT`].
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_without_control_characters() {
        let line = one_line(&format!("src/a.rs:1: \x1b[31mred\nand {}", "x".repeat(1000)));
        assert!(line.starts_with("src/a.rs:1:  [31mred and xxx") && line.len() == TEXT, "{line}");
        assert_eq!((said(&"text"), said(&"text".to_owned()), said(&5)), ("text", "text", "no text"));
    }
}
