//! The terminal: its size, its keys, and text over the whole of it. What was there before is there again on drop.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::screen::Area;

/// What Ctrl+C and Ctrl+D are in raw mode.
const END_KEYS: [u8; 4] = [b'q', b'Q', 3, 4];

/// A terminal that is taken over.
pub(super) struct Terminal {
    keys: mpsc::UnboundedReceiver<u8>,
    /// Somebody wants the program to end.
    terminate: Signal,
}

impl Terminal {
    /// Whether there is one at both ends.
    pub(super) fn is_there() -> bool {
        stdin().is_terminal() && stdout().is_terminal()
    }

    /// Takes it over.
    pub(super) fn open() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let (tell, keys) = mpsc::unbounded_channel();
        std::thread::Builder::new().name("keys".into()).spawn(move || {
            for key in Read::bytes(stdin().lock()).map_while(Result::ok) {
                if tell.send(key).is_err() {
                    return;
                }
            }
        })?;
        enable_raw_mode()?;
        let terminal = Self { keys, terminate };
        queue!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }

    /// How much fits.
    pub(super) fn area(&self) -> Area {
        let (columns, rows) = size().unwrap_or((80, 24));
        Area { columns: columns.into(), rows: rows.into() }
    }

    /// Shows a text from the upper left corner on, as far as it fits.
    pub(super) fn draw(&mut self, text: &str) -> std::io::Result<()> {
        let mut out = stdout().lock();
        queue!(out, MoveTo(0, 0))?;
        for (at, line) in text.lines().take(self.area().rows).enumerate() {
            if at > 0 {
                out.write_all(b"\r\n")?;
            }
            out.write_all(line.as_bytes())?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }

    /// Waits for so long; true at once if it is to end.
    pub(super) async fn is_over(&mut self, wait: Duration) -> bool {
        let until = tokio::time::sleep(wait);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return false,
                _ = self.terminate.recv() => return true,
                // Without keys there is nobody to press one.
                key = self.keys.recv() => if key.is_none_or(|key| END_KEYS.contains(&key)) { return true },
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = queue!(stdout(), Show, LeaveAlternateScreen);
        let _ = stdout().flush();
        let _ = disable_raw_mode();
    }
}
