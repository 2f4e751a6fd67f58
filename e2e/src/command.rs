//! Runs programs to their end, with errors that show the command and its output.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs the command and returns its stdout. On failure the error shows the command and the end of its output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", describe(command)))?;
    checked(command, output)
}

/// As [`output`], with `input` on stdin.
pub fn output_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", describe(command)))?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    // The programs that are used here read all of their input before they write much. A broken pipe means that the
    // program has exited early: its own message is the better error.
    let written = stdin.write_all(input);
    drop(stdin);
    let result = checked(command, child.wait_with_output()?);
    if result.is_ok() {
        written.with_context(|| format!("cannot feed {}", describe(command)))?;
    }
    result
}

/// `name arg arg`, at most 300 characters.
pub fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.chars().count() > 300 {
        line = line.chars().take(300).collect::<String>() + " ...";
    }
    line
}

/// The last `count` lines of `text`, each indented.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(count);
    lines[first..].iter().map(|line| format!("  {line}\n")).collect()
}

/// The stdout of a command that succeeded. Otherwise an error with the end of its stderr, or of its stdout if stderr is
/// empty.
pub(crate) fn checked(command: &Command, output: Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let shown = if stderr.trim().is_empty() { &stdout } else { stderr.as_ref() };
        bail!("{} failed ({}):\n{}", describe(command), output.status, last_lines(shown, 30));
    }
    Ok(stdout)
}
