//! A system call that is refused fails with EPERM, and the log says which: the kernel sends SIGSYS in its place, whose
//! handler notes the number, and the next look tells it.
//!
//! The handler has no safe interface that could give a call its result. It allocates nothing, takes no lock and makes
//! no system call.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem::zeroed;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use syscalls::Sysno;

use super::Part;

/// Numbers of system calls are below.
const CALLS: usize = 1_024;
/// Refusals of one call are told at the first, and then when there are so many times as many.
const TELL_AGAIN: u32 = 10;

/// How often each was refused, how often when that was last told, and who made it last.
static REFUSED: [AtomicU32; CALLS] = [const { AtomicU32::new(0) }; CALLS];
static TOLD: [AtomicU32; CALLS] = [const { AtomicU32::new(0) }; CALLS];
static WHO: [AtomicU32; CALLS] = [const { AtomicU32::new(0) }; CALLS];
/// All of them.
static ALL: AtomicU32 = AtomicU32::new(0);
static ALL_SEEN: AtomicU32 = AtomicU32::new(0);

/// By the number in [`WHO`].
const NAMES: [&str; 5] = [
    Part::Supervisor.name(),
    Part::Server { connects: false }.name(),
    Part::Starting { listens: false }.name(),
    Part::Worker { io: corecast_wire::Io::Auto, listens: false }.name(),
    Part::Aside.name(),
];

thread_local! {
    // Constant and without a destructor: the handler may read it at any time.
    static PART: Cell<u32> = const { Cell::new(0) };
}

/// Whether a call that is trapped can be given its result here.
pub(super) const fn can_catch() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

/// Notes what is refused to the calling thread, which is this part.
pub(super) fn catch(part: Part) {
    static INSTALLED: Once = Once::new();
    let number = NAMES.iter().position(|name| *name == part.name()).unwrap_or_default();
    PART.set(u32::try_from(number).unwrap_or_default());
    INSTALLED.call_once(|| {
        // SAFETY: all zeros is a valid sigaction: default action, empty mask.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = on_refused as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
        // SAFETY: `action` is complete and outlives the call; the handler has the signature that SA_SIGINFO asks for.
        // It fails for no signal that exists.
        unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) };
    });
}

extern "C" fn on_refused(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo to a handler with SA_SIGINFO.
    let code = unsafe { (*info).si_code };
    if code <= 0 {
        // Another process sent it: nothing was refused.
        return;
    }
    // SAFETY: the kernel gives a valid ucontext to a handler with SA_SIGINFO, and it is this handler's alone.
    let number = unsafe { refuse(context.cast()) };
    if let (Some(refused), Some(who)) = (REFUSED.get(number), WHO.get(number)) {
        who.store(PART.get(), Ordering::Relaxed);
        refused.fetch_add(1, Ordering::Relaxed);
        ALL.fetch_add(1, Ordering::Relaxed);
    }
}

/// Has the call fail with EPERM, and returns its number, which the kernel has left where it was.
///
/// # Safety
/// `context` is valid and nobody else's.
#[cfg(target_arch = "x86_64")]
unsafe fn refuse(context: *mut libc::ucontext_t) -> usize {
    // SAFETY: valid, by this function's contract.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    let Some(register) = registers.get_mut(libc::REG_RAX as usize) else { return CALLS };
    let number = usize::try_from(*register).unwrap_or(CALLS);
    *register = -i64::from(libc::EPERM);
    number
}

/// # Safety
/// `context` is valid and nobody else's.
#[cfg(target_arch = "aarch64")]
unsafe fn refuse(context: *mut libc::ucontext_t) -> usize {
    // SAFETY: valid, by this function's contract.
    let registers = unsafe { &mut (*context).uc_mcontext.regs };
    let number = usize::try_from(registers[8]).unwrap_or(CALLS);
    registers[0] = (-i64::from(libc::EPERM)).cast_unsigned();
    number
}

/// # Safety
/// None is needed; the signature is that of the others.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn refuse(_: *mut libc::ucontext_t) -> usize {
    CALLS
}

/// How often a call was refused in this process.
#[cfg(test)]
pub(super) fn count(call: i64) -> u32 {
    usize::try_from(call).ok().and_then(|call| REFUSED.get(call)).map_or(0, |count| count.load(Ordering::Relaxed))
}

/// Logs which system calls the sandbox has refused in this process since it was last asked. To be called now and then;
/// costs nothing where nothing was refused.
pub fn tell() {
    let all = ALL.load(Ordering::Relaxed);
    if ALL_SEEN.swap(all, Ordering::Relaxed) == all {
        return;
    }
    for (number, ((refused, told), who)) in REFUSED.iter().zip(&TOLD).zip(&WHO).enumerate() {
        let times = refused.load(Ordering::Relaxed);
        let before = told.load(Ordering::Relaxed);
        if times == before || (before > 0 && times < before.saturating_mul(TELL_AGAIN)) {
            continue;
        }
        told.store(times, Ordering::Relaxed);
        let name = Sysno::new(number).map_or("unknown", |call| call.name());
        let who = NAMES.get(who.load(Ordering::Relaxed) as usize).copied().unwrap_or_default();
        tracing::error!(
            "the sandbox has refused {who} the system call {name} ({number}), {times} times so far: either a fault of \
             corecast (run with sandbox = \"log\" until it is mended, and report it), or somebody has taken it over"
        );
    }
}
