//! Structured logs on standard error; standard output belongs to `crd` and `render`.

use std::{fmt, io, panic};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::ParseError,
    fmt::{Layer as FmtLayer, MakeWriter},
    layer::{Layer, SubscriberExt},
    util::SubscriberInitExt,
};

use super::Metrics;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line; `spans` names the object and the reconcile it belongs to.
    Json,
    /// Plain text.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be parsed.
    #[error(
        "the log filter {filter:?} is not understood: {why}; write a level (error, warn, info, debug, trace), or pairs as in info,kube=debug"
    )]
    Filter {
        /// The given filter.
        filter: String,
        /// The parser's error.
        why: ParseError,
    },
    /// Logging is already set up.
    #[error("logging was set up before")]
    Twice,
}

/// Sets up logging for the whole process. `filter` has the syntax of `EnvFilter`, for example `info,kube=debug`; an empty one
/// means `info`.
///
/// # Errors
/// When the filter cannot be parsed, or logging is already set up.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), LogError> {
    subscriber(format, filter, io::stderr)?.try_init().map_err(|_| LogError::Twice)
}

/// From now on panics are counted, and logged as one line of the chosen format. They still unwind to the code that catches
/// them.
pub fn log_panics(metrics: Metrics) {
    panic::set_hook(Box::new(move |info| {
        metrics.panicked();
        let message = info.payload_as_str().unwrap_or("no message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(message, location, "panic");
    }));
}

fn subscriber<W>(format: LogFormat, filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = if filter.trim().is_empty() { "info" } else { filter };
    let parsed = EnvFilter::builder().parse(filter);
    let filter = parsed.map_err(|why| LogError::Filter { filter: filter.to_owned(), why })?;
    Ok(Registry::default().with(filter).with(lines(format, writer)))
}

fn lines<W>(
    format: LogFormat,
    writer: W,
) -> Box<dyn Layer<tracing_subscriber::layer::Layered<EnvFilter, Registry>> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = FmtLayer::default().with_writer(writer);
    match format {
        // The list of all spans, because the outermost one names the object.
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log of one reconcile.
    fn logged(format: LogFormat, filter: &str) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, filter, move || writer.clone()).expect("a valid filter");
        tracing::subscriber::with_default(subscriber, || {
            let _reconcile = tracing::info_span!("reconcile", object = "shop/packages", id = "4f2a").entered();
            let _step = tracing::info_span!("apply").entered();
            tracing::debug!("too much");
            tracing::info!(kind = "Service", "applied");
        });
        let bytes = captured.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_json_line_names_the_object_and_the_reconcile() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, "info")).expect("one JSON object");
        assert_eq!(line["message"], "applied");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["kind"], "Service");
        assert_eq!(line["spans"][0]["object"], "shop/packages");
        assert_eq!(line["spans"][0]["id"], "4f2a");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_text_line_names_the_object_and_the_reconcile_without_control_characters() {
        let line = logged(LogFormat::Text, "");
        assert!(line.contains(r#"reconcile{object="shop/packages" id="4f2a"}:apply:"#), "{line}");
        assert!(line.contains("applied"), "{line}");
        assert!(!line.contains('\u{1b}') && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn the_filter_selects_the_log_lines() {
        assert!(logged(LogFormat::Text, "debug").contains("too much"));
        assert_eq!(logged(LogFormat::Text, "info,recommender_operator=warn"), "");
    }

    #[test]
    fn the_error_for_an_invalid_filter_states_what_to_write() {
        let error = subscriber(LogFormat::Json, "recommender_operator=loud", io::sink).err().expect("refused");
        let text = error.to_string();
        assert!(text.starts_with(r#"the log filter "recommender_operator=loud" is not understood: "#), "{text}");
        assert!(
            text.ends_with("write a level (error, warn, info, debug, trace), or pairs as in info,kube=debug"),
            "{text}"
        );
    }

    #[test]
    fn formats_are_named_as_on_the_command_line() {
        use clap::ValueEnum;
        for format in LogFormat::value_variants() {
            assert_eq!(LogFormat::from_str(&format.to_string(), false).as_ref(), Ok(format));
        }
    }
}
