//! Last words: a panic or a fatal signal is told to the supervisor before the process ends.
//!
//! The only unsafe code of control: a signal handler has no safe interface that may run on a broken thread. It is
//! installed with `SA_ONSTACK`; std gives every thread that it starts an alternate stack. The handler calls only what
//! signal-safety(7) lists (`write`, `getpid`, `raise`), allocates nothing and takes no lock.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::zeroed;
use std::panic::PanicHookInfo;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use super::report::{Died, Report, send};

const SIGNALS: [(i32, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
];
const NOBODY: u32 = u32::MAX;

static REPORT_FD: AtomicI32 = AtomicI32::new(-1);
/// Where the program is mapped; what is told as place is relative to it.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Last words have been spoken: the abort that follows a panic adds nothing.
static SPOKEN: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Constant and without a destructor: the handler may read it at any time.
    static WHO: Cell<(u32, u32)> = const { Cell::new((NOBODY, NOBODY)) };
}

/// The calling thread is this worker from now on.
pub(crate) fn identify(worker: u32, core: u32) {
    WHO.set((worker, core));
}

/// From now on panics and fatal signals of this process are told on `report_fd`, which stays open for ever.
pub(crate) fn install(report_fd: i32) -> std::io::Result<()> {
    REPORT_FD.store(report_fd, Ordering::Relaxed);
    BASE.store(program_base().unwrap_or(0), Ordering::Relaxed);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Told before it is printed: finding the names for a backtrace takes a tenth of a second.
        tell_panic(info);
        corecast_dataplane::sandbox::tell_refused();
        crate::logging::flush();
        print(info);
        // Whatever the profile says: nothing of a server goes on after a panic.
        std::process::abort();
    }));
    for (signal, _) in SIGNALS {
        // SAFETY: all zeros is a valid sigaction: default action, empty mask.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
        // SAFETY: `action` is complete and outlives the call; the handler has the signature that SA_SIGINFO asks for.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A SIGSEGV or SIGBUS ends this process at once. By default it takes two where another process sends them: std's
/// handler, which tells of stack overflows, takes itself away and lets the first one pass.
pub(crate) fn die_of_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: sets the default action, which runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Whether this process was started with a signal ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { zeroed() };
    // SAFETY: without a new action the call only writes the present one, to a variable that outlives it.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// First address of this program's mapping, from `/proc/self/maps`.
fn program_base() -> Option<usize> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with(&*program.to_string_lossy()))?;
    usize::from_str_radix(line.split_once('-')?.0, 16).ok()
}

fn who() -> (Option<u32>, Option<u32>) {
    let (worker, core) = WHO.get();
    if worker == NOBODY { (None, None) } else { (Some(worker), Some(core)) }
}

fn tell_panic(info: &PanicHookInfo<'_>) {
    if SPOKEN.swap(true, Ordering::Relaxed) {
        return;
    }
    let message = info.payload_as_str().unwrap_or("(no message)");
    let (worker, core) = who();
    let died = Died {
        worker,
        core,
        pid: std::process::id(),
        cause: format!("panic: {message}"),
        place: info.location().map(ToString::to_string),
    };
    // SAFETY: the descriptor was given to `install` to stay open for ever.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(REPORT_FD.load(Ordering::Relaxed)) };
    let _ = send(&fd, &Report::LastWords(died));
}

/// A line on the stack; what does not fit is left out.
struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl Line {
    fn text(&mut self, text: &[u8]) {
        for byte in text {
            if let Some(free) = self.bytes.get_mut(self.length) {
                *free = *byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, number: usize, base: usize) {
        let mut digits = [0; 20];
        let mut left = number;
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b"0123456789abcdef".get(left % base).copied().unwrap_or(b'?');
            left /= base;
            first = at;
            if left == 0 {
                break;
            }
        }
        self.text(digits.get(first..).unwrap_or_default());
    }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !SPOKEN.swap(true, Ordering::Relaxed) {
        let mut line = Line { bytes: [0; 256], length: 0 };
        // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
        let info = unsafe { &*info };
        describe(&mut line, signal, info, context);
        // SAFETY: `bytes` is initialised and at least `length` long.
        unsafe { libc::write(REPORT_FD.load(Ordering::Relaxed), line.bytes.as_ptr().cast(), line.length) };
    }
    // The action is the default one again (SA_RESETHAND): the signal ends the process once this handler returns.
    // SAFETY: raise takes any signal number.
    unsafe { libc::raise(signal) };
}

fn describe(line: &mut Line, signal: i32, info: &libc::siginfo_t, context: *mut libc::c_void) {
    let (worker, core) = WHO.get();
    line.text(b"{\"last_words\":{\"worker\":");
    for (number, next) in [(worker, &b",\"core\":"[..]), (core, b",\"pid\":")] {
        if number == NOBODY {
            line.text(b"null")
        } else {
            line.number(number as usize, 10)
        }
        line.text(next);
    }
    line.number(std::process::id() as usize, 10);
    line.text(b",\"cause\":\"");
    let name = SIGNALS.iter().find(|(number, _)| *number == signal).map_or("signal", |(_, name)| name);
    line.text(name.as_bytes());
    if info.si_code <= 0 {
        // SAFETY: with such a code the signal was sent by a process, which si_pid names.
        let from = unsafe { info.si_pid() };
        line.text(b" sent by pid ");
        line.number(from.unsigned_abs() as usize, 10);
    } else {
        // SAFETY: with a positive code these signals come from a fault, whose address is si_addr.
        let address = unsafe { info.si_addr() };
        line.text(b" at address 0x");
        line.number(address as usize, 16);
    }
    line.text(b"\",\"place\":\"");
    // SAFETY: the kernel gives a valid ucontext to a handler with SA_SIGINFO.
    let at = unsafe { instruction(context.cast()) };
    match at.checked_sub(BASE.load(Ordering::Relaxed)) {
        Some(offset) if offset < 1 << 32 => {
            line.text(b"program+0x");
            line.number(offset, 16);
        }
        _ => {
            line.text(b"0x");
            line.number(at, 16);
        }
    }
    line.text(b"\"}}\n");
}

/// # Safety
/// `context` is valid.
#[cfg(target_arch = "x86_64")]
unsafe fn instruction(context: *const libc::ucontext_t) -> usize {
    // SAFETY: valid, by this function's contract.
    let registers = unsafe { (*context).uc_mcontext.gregs };
    registers.get(libc::REG_RIP as usize).map_or(0, |at| *at as usize)
}

/// # Safety
/// `context` is valid.
#[cfg(target_arch = "aarch64")]
unsafe fn instruction(context: *const libc::ucontext_t) -> usize {
    // SAFETY: valid, by this function's contract.
    unsafe { (*context).uc_mcontext.pc as usize }
}

/// # Safety
/// None is needed; the signature is that of the others.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn instruction(_: *const libc::ucontext_t) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_allocating() {
        let mut line = Line { bytes: [0; 256], length: 0 };
        for (number, base) in [(0, 10), (65_535, 10), (usize::MAX, 10), (0xdead_beef, 16)] {
            line.number(number, base);
            line.text(b" ");
        }
        let text = String::from_utf8_lossy(&line.bytes[..line.length]);
        assert_eq!(text, "0 65535 18446744073709551615 deadbeef ");
    }

    #[test]
    fn a_full_line_takes_no_more() {
        let mut line = Line { bytes: [0; 256], length: 250 };
        line.text(b"0123456789");
        assert_eq!(line.length, 256);
    }
}
