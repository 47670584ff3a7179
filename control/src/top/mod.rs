//! `corecast top`: what the dashboard shows, in a terminal. It is a client of `/dashboard/data` like the dashboard, so
//! it shows any server that it reaches: `source` asks, `screen` makes the text, `terminal` puts it on the screen.

mod screen;
mod source;
mod terminal;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use screen::Area;
use source::Source;
use terminal::Terminal;

use crate::config::{Args, Top};
use crate::{exit, logging};

/// Time between two pictures.
const EVERY: Duration = Duration::from_secs(1);
/// Most of the history that fits on the screen.
const HISTORY_MS: u64 = 60_000;
/// What is printed where there is no terminal.
const PAGE: Area = Area { columns: 120, rows: usize::MAX };

/// Shows a server until q is pressed, or once.
pub(crate) fn run(args: &Args, asked: &Top) -> ExitCode {
    let source = match Source::find(args, asked) {
        Ok(source) => source,
        Err(sentence) => {
            logging::say(&sentence);
            return ExitCode::from(exit::WRONG_SETTING);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            logging::say(&error.to_string());
            return ExitCode::from(exit::FAILED);
        }
    };
    let shown = match Terminal::is_there() && !asked.once {
        true => runtime.block_on(show(&source)),
        false => runtime.block_on(print(&source)),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            logging::say(&sentence);
            ExitCode::from(exit::FAILED)
        }
    }
}

/// One picture on standard output.
async fn print(source: &Source) -> Result<(), String> {
    let text = screen::text(&source.picture(0).await?, PAGE);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// Pictures on the whole screen, until somebody ends it.
async fn show(source: &Source) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("the terminal cannot be used: {error}");
    let mut terminal = Terminal::open().map_err(wrong)?;
    let mut uptime_ms: u64 = 0;
    loop {
        let text = match source.picture(uptime_ms.saturating_sub(HISTORY_MS)).await {
            Ok(picture) => {
                uptime_ms = picture.uptime_ms;
                screen::text(&picture, terminal.area())
            }
            Err(sentence) => {
                // Another server counts from its own start.
                uptime_ms = 0;
                format!("{sentence}\n")
            }
        };
        terminal.draw(&text).map_err(wrong)?;
        if terminal.is_over(EVERY).await {
            return Ok(());
        }
    }
}
