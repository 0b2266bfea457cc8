//! A terminal as `weir top` needs it: its size, keys as they are pressed, lines over the whole of it.
//!
//! Invariant: from [`Terminal::enter`] until it is dropped the alternate screen is shown and keys are not echoed; then all is as before.
//! Signals that would end the process end the waiting instead, so that dropping happens.

use super::screen::{Line, Style};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct Terminal {
    before: libc::termios,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Key(u8),
    /// It has another size now.
    Resized,
    /// A signal, or nobody sits there any more.
    End,
    Nothing,
}

impl Terminal {
    pub fn enter() -> std::io::Result<Terminal> {
        let mut before = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr writes a whole termios, or says that it has not.
        let before = unsafe {
            succeeded(libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()))?;
            before.assume_init()
        };
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGWINCH] {
            // SAFETY: the handler only stores into an atomic.
            unsafe { libc::signal(signal, handle_signal as *const () as libc::sighandler_t) };
        }
        let terminal = Terminal { before };
        terminal.take()?;
        Ok(terminal)
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ writes a winsize, or fails and leaves it.
        let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
        match told == 0 && size.ws_col > 0 && size.ws_row > 0 {
            true => (size.ws_col.into(), size.ws_row.into()),
            false => (80, 24),
        }
    }

    /// In one write, over what was there.
    pub fn draw(&self, lines: &[Line]) -> std::io::Result<()> {
        let mut out = String::from("\x1b[H");
        for (at, Line { text, style }) in lines.iter().enumerate() {
            let (on, off) = match style {
                Style::Plain => ("", ""),
                Style::Title => ("\x1b[1m", "\x1b[0m"),
                Style::Head => ("\x1b[7m", "\x1b[0m"),
                Style::Trouble => ("\x1b[1;31m", "\x1b[0m"),
            };
            let end = if at + 1 == lines.len() { "" } else { "\r\n" };
            out.push_str(&format!("{on}{text}{off}\x1b[K{end}"));
        }
        say(&(out + "\x1b[J"))
    }

    pub fn wait(&self, limit: Duration) -> Input {
        let mut asked = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
        let ms = limit.as_millis().min(i32::MAX as u128) as i32;
        // SAFETY: one pollfd, which lives through the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, ms) };
        if ENDED.load(Ordering::Relaxed) {
            return Input::End;
        }
        if RESIZED.swap(false, Ordering::Relaxed) {
            return Input::Resized;
        }
        if ready <= 0 {
            return Input::Nothing;
        }
        let mut keys = [0; 32];
        match std::io::stdin().read(&mut keys) {
            Ok(0) | Err(_) => Input::End,
            // One key; several bytes at once are an arrow and the like.
            Ok(1) => Input::Key(keys[0]),
            Ok(_) => Input::Nothing,
        }
    }

    /// Ctrl-Z: gives the terminal back and stops, until somebody goes on.
    pub fn suspend(&self) -> std::io::Result<()> {
        self.give_back();
        // SAFETY: a signal to this process; it has no handler, so it stops here.
        succeeded(unsafe { libc::raise(libc::SIGTSTP) })?;
        self.take()
    }

    fn take(&self) -> std::io::Result<()> {
        let mut own = self.before;
        own.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG | libc::IEXTEN);
        own.c_iflag &= !libc::IXON;
        // SAFETY: a termios that the terminal itself gave, with some flags off.
        succeeded(unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, &raw const own) })?;
        say("\x1b[?1049h\x1b[?25l\x1b[2J")
    }

    fn give_back(&self) {
        // Nothing is to be done when the terminal has gone.
        let _ = say("\x1b[?25h\x1b[?1049l");
        // SAFETY: what tcgetattr gave.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSADRAIN, &raw const self.before) };
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

static ENDED: AtomicBool = AtomicBool::new(false);
static RESIZED: AtomicBool = AtomicBool::new(false);

extern "C" fn handle_signal(signal: libc::c_int) {
    let flag = if signal == libc::SIGWINCH { &RESIZED } else { &ENDED };
    flag.store(true, Ordering::Relaxed);
}

fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn succeeded(code: libc::c_int) -> std::io::Result<()> {
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
