//! Where log lines go: standard error, as text for people and as JSON for machines.

use std::io::{IsTerminal, Write};
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging for the whole program: text when standard error is a terminal, otherwise one JSON object a line.
/// `RUST_LOG` says what is logged, warnings and errors unless it is set. Nothing is logged per packet.
pub fn start() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    // Fails only where a subscriber is there already, which then goes on.
    let _ =
        tracing::subscriber::set_global_default(subscriber(filter, std::io::stderr().is_terminal(), std::io::stderr));
}

fn subscriber<W>(filter: EnvFilter, text: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a, Writer: Write> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if text {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Box::new(lines.with_ansi(colour).finish())
    } else {
        Box::new(lines.json().flatten_event(true).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::sync::Arc;

    /// What is written by `logging` at a filter.
    fn written(filter: &str, text: bool, logging: impl FnOnce()) -> String {
        let file = Arc::new(tempfile::tempfile().unwrap());
        tracing::subscriber::with_default(subscriber(EnvFilter::new(filter), text, file.clone()), logging);
        let mut lines = String::new();
        file.as_ref().rewind().unwrap();
        file.as_ref().read_to_string(&mut lines).unwrap();
        lines
    }

    #[test]
    fn machines_get_one_object_a_line() {
        let lines = written("warn", false, || {
            tracing::info!("not asked for");
            tracing::warn!(rows = 7, "delivery\nfailed");
            tracing::error!("again");
        });
        let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["level"], &lines[0]["rows"]), (&"WARN".into(), &7.into()));
        assert_eq!(lines[0]["message"], "delivery\nfailed");
        assert_eq!(lines[1]["level"], "ERROR");
    }

    #[test]
    fn people_get_text() {
        let line = written("info", true, || tracing::info!(rows = 7, "delivered"));
        assert!(line.contains("delivered") && serde_json::from_str::<serde_json::Value>(&line).is_err(), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
