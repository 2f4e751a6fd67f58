//! Progress of a command: one live line on a terminal, plain lines in a log, and at the end a table of durations.
//!
//! Everything is written to stderr directly, so that it is also visible under `cargo test`, which captures only the
//! output of the print macros.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A quiet display shows only steps that take longer.
const SLOW: Duration = Duration::from_secs(2);
/// Interval at which the live line on a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(250);
/// Interval of the lines about a long step in a log.
const REPORT: Duration = Duration::from_secs(30);

/// The display. Steps run one after the other; `detail` describes what the current step does.
pub struct Progress {
    plan: Vec<String>,
    live: bool,
    quiet: bool,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: Vec<(String, Duration)>,
    running: Option<Running>,
}

struct Running {
    name: String,
    detail: String,
    since: Instant,
    /// When its last line was written to a log.
    reported: Instant,
    /// Whether it is displayed: always, or in a quiet display after [`SLOW`].
    shown: bool,
}

impl Progress {
    /// A display for these steps. Lists them first.
    pub fn new(plan: &[&str]) -> Arc<Self> {
        let progress = Self::start(plan, false);
        progress.print(&format!("{} steps: {}", plan.len(), plan.join(" → ")));
        progress
    }

    /// A display that shows only slow steps: under tests most things exist already.
    pub fn quiet() -> Arc<Self> {
        Self::start(&[], true)
    }

    fn start(plan: &[&str], quiet: bool) -> Arc<Self> {
        let live = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let plan = plan.iter().map(|step| (*step).to_owned()).collect();
        let progress = Arc::new(Self { plan, live, quiet, started: Instant::now(), state: Mutex::default() });
        let weak = Arc::downgrade(&progress);
        thread::spawn(move || tick(&weak));
        progress
    }

    /// Runs a step of the plan, and shows its result and duration.
    pub fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.begin(name);
        let result = work();
        self.end(result.is_ok());
        result
    }

    /// As [`Progress::step`], for asynchronous work.
    pub async fn step_async<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.begin(name);
        let result = work.await;
        self.end(result.is_ok());
        result
    }

    /// Sets what the current step does right now.
    pub fn detail(&self, text: impl Into<String>) {
        if let Some(running) = &mut self.lock().running {
            running.detail = text.into();
        }
    }

    /// Prints a line that stays, above the live line.
    pub fn println(&self, text: &str) {
        let state = self.lock();
        self.print(text);
        drop(state);
    }

    /// A table of durations, in the order of the steps.
    pub fn table(&self) -> String {
        let state = self.lock();
        let width = state.done.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(5);
        let longest = state.done.iter().map(|(_, d)| d.as_secs_f64()).fold(0.1, f64::max);
        let mut out = String::new();
        for (name, duration) in &state.done {
            let bar = "█".repeat((duration.as_secs_f64() / longest * 30.0).round() as usize);
            out += &format!("  {name:width$}  {:>8}  {bar}\n", human(*duration));
        }
        out + &format!("  {:width$}  {:>8}\n", "total", human(self.started.elapsed()))
    }

    fn begin(&self, name: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        let mut running = Running { name: name.into(), detail: String::new(), since: now, reported: now, shown: false };
        if !self.quiet {
            self.show(&state, &mut running);
        }
        state.running = Some(running);
    }

    fn end(&self, success: bool) {
        let mut state = self.lock();
        let Some(running) = state.running.take() else { return };
        let took = running.since.elapsed();
        if !success || running.shown {
            let mark = if success { "✓" } else { "✗" };
            self.print(&format!("{mark} {:<44} {:>8}", running.name, human(took)));
        }
        state.done.push((running.name, took));
    }

    /// Prints in a log that the step has started. On a terminal the live line shows it.
    fn show(&self, state: &State, running: &mut Running) {
        running.shown = true;
        if !self.live {
            self.print(&format!("{} {} ...", self.position(state), running.name));
        }
    }

    /// `[3/11]`: number of the current or next step, and number of all steps.
    fn position(&self, state: &State) -> String {
        match self.plan.len() {
            0 => "▸".into(),
            plan => format!("[{}/{plan}]", (state.done.len() + 1).min(plan)),
        }
    }

    fn redraw(&self) {
        let mut state = self.lock();
        let Some(mut running) = state.running.take() else { return };
        if !running.shown && running.since.elapsed() >= SLOW {
            self.show(&state, &mut running);
        }
        if running.shown {
            self.report(&state, &mut running);
        }
        state.running = Some(running);
    }

    /// Prints the state of the current step.
    fn report(&self, state: &State, running: &mut Running) {
        let step = human(running.since.elapsed());
        let all = human(self.started.elapsed());
        let detail = if running.detail.is_empty() { "" } else { ": " };
        let line =
            format!("{} {}{detail}{}  ({step}, {all} in all)", self.position(state), running.name, running.detail);
        if self.live {
            let columns =
                rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20));
            let line: String = line.chars().take(columns - 1).collect();
            write_err(&format!("\r\x1b[K{line}"));
        } else if running.reported.elapsed() >= REPORT {
            running.reported = Instant::now();
            write_err(&format!("{line}\n"));
        }
    }

    fn print(&self, line: &str) {
        let clear = if self.live { "\r\x1b[K" } else { "" };
        write_err(&format!("{clear}{line}\n"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn tick(progress: &Weak<Progress>) {
    while let Some(progress) = progress.upgrade() {
        progress.redraw();
        drop(progress);
        thread::sleep(REDRAW);
    }
}

fn write_err(text: &str) {
    // There is no other place to report that stderr is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// `0.4 s`, `12 s`, `3 min 05 s`.
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_human_readable() {
        assert_eq!(human(Duration::from_millis(420)), "0.4 s");
        assert_eq!(human(Duration::from_secs(59)), "59 s");
        assert_eq!(human(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn the_table_lists_every_step_and_the_total() {
        let progress = Progress::new(&["first", "second"]);
        progress.step("first", || Ok(())).expect("cannot fail");
        let failed: Result<()> = progress.step("second", || anyhow::bail!("no"));
        assert!(failed.is_err());
        let table = progress.table();
        assert!(table.contains("first") && table.contains("second") && table.contains("total"), "{table}");
    }
}
