//! Which system calls each part makes, as filters of seccomp.
//!
//! A call of the data path is allowed whatever its arguments are: then the kernel answers from a bitmap and does not
//! run the filter (Linux 5.11 and later). Calls that are refused fail with EPERM, and the log names them.

use std::collections::BTreeMap;

use corecast_wire::{Io, Sandbox};
use libc::{
    SYS_accept4, SYS_bind, SYS_brk, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clone, SYS_clone3,
    SYS_close, SYS_close_range, SYS_connect, SYS_dup, SYS_dup3, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
    SYS_epoll_pwait2, SYS_eventfd2, SYS_exit, SYS_exit_group, SYS_faccessat, SYS_faccessat2, SYS_fallocate, SYS_fcntl,
    SYS_fstat, SYS_ftruncate, SYS_futex, SYS_get_robust_list, SYS_getcpu, SYS_getcwd, SYS_getdents64, SYS_getegid,
    SYS_geteuid, SYS_getgid, SYS_getpeername, SYS_getpid, SYS_getppid, SYS_getrandom, SYS_getrusage, SYS_getsockname,
    SYS_getsockopt, SYS_gettid, SYS_gettimeofday, SYS_getuid, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_io_uring_setup, SYS_ioctl, SYS_listen, SYS_lseek, SYS_madvise, SYS_membarrier, SYS_memfd_create, SYS_mmap,
    SYS_mprotect, SYS_mremap, SYS_munmap, SYS_nanosleep, SYS_newfstatat, SYS_openat, SYS_pipe2, SYS_ppoll, SYS_prctl,
    SYS_pread64, SYS_prlimit64, SYS_pwrite64, SYS_read, SYS_readlinkat, SYS_readv, SYS_recvfrom, SYS_recvmmsg,
    SYS_recvmsg, SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,
    SYS_rt_sigtimedwait, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_yield, SYS_seccomp, SYS_sendmmsg,
    SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_setsockopt, SYS_shutdown, SYS_sigaltstack, SYS_socket,
    SYS_socketpair, SYS_statx, SYS_sysinfo, SYS_tgkill, SYS_timerfd_create, SYS_timerfd_settime, SYS_uname, SYS_wait4,
    SYS_waitid, SYS_write, SYS_writev,
};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::Part;
use super::refused;

/// Memory, locks, time, signals to itself, descriptors that are open, and the end: what every thread of Rust does.
const EVERY: &[i64] = &[
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_exit,
    SYS_exit_group,
    SYS_fcntl,
    SYS_fstat,
    SYS_futex,
    SYS_get_robust_list,
    SYS_getcpu,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_getuid,
    SYS_lseek,
    SYS_madvise,
    SYS_membarrier,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_ppoll,
    SYS_read,
    SYS_readv,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_sendmsg,
    SYS_sendto,
    SYS_set_robust_list,
    SYS_sigaltstack,
    SYS_sysinfo,
    SYS_uname,
    SYS_write,
    SYS_writev,
];
/// Files, as far as Landlock lets them be opened.
const FILES: &[i64] = &[
    SYS_faccessat,
    SYS_faccessat2,
    SYS_getcwd,
    SYS_getdents64,
    SYS_newfstatat,
    SYS_openat,
    SYS_pread64,
    SYS_readlinkat,
    SYS_statx,
];
/// Sockets, and files in memory that are there already.
const SOCKETS: &[i64] = &[
    SYS_accept4,
    SYS_bind,
    SYS_connect,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_eventfd2,
    SYS_fallocate,
    SYS_ftruncate,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_pwrite64,
    SYS_recvmmsg,
    SYS_sendmmsg,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_timerfd_create,
    SYS_timerfd_settime,
];
const URING: &[i64] = &[SYS_io_uring_enter, SYS_io_uring_register];
/// What making an executor takes beyond running it. `clone` is limited to threads.
const MAKING: &[i64] = &[SYS_clone3, SYS_io_uring_setup, SYS_sched_setaffinity, SYS_seccomp];
/// The control plane alone: its runtime starts threads, and reaps workers' processes.
const SERVER: &[i64] = &[
    SYS_clone3,
    SYS_close_range,
    SYS_dup,
    SYS_dup3,
    SYS_memfd_create,
    SYS_pipe2,
    SYS_socketpair,
    SYS_wait4,
    SYS_waitid,
];
/// The same under names that only this architecture still has.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[libc::SYS_access, libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_readlink, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

/// What no version of this program does, and no program that it starts. The supervisor's filter holds for all that it
/// starts, the next version of itself included, so it says what is refused and not what is allowed.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// `PR_SET_VMA`, by which the C library names its memory.
const PR_SET_VMA: u64 = 0x5356_4d41;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Has the calling thread, and those that it starts, make no other calls than those of its part.
///
/// # Errors
/// A sentence about what this kernel cannot do of it.
pub(super) fn filter(part: Part, sandbox: Sandbox) -> Result<(), String> {
    let filters = programs(part, sandbox).map_err(|error| format!("the sandbox is incomplete: seccomp: {error}"))?;
    filters
        .iter()
        .try_for_each(|filter| apply_filter(filter))
        .map_err(|error| format!("the sandbox is incomplete: this kernel, or the container, has no seccomp: {error}"))
}

fn programs(part: Part, sandbox: Sandbox) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let other = match sandbox {
        Sandbox::Log => SeccompAction::Log,
        _ if refused::can_catch() => SeccompAction::Trap,
        _ => SeccompAction::Errno(libc::EPERM.unsigned_abs()),
    };
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program =
        |rules, rest, these| -> Result<BpfProgram, _> { SeccompFilter::new(rules, rest, these, arch)?.try_into() };
    if part == Part::Supervisor {
        return Ok(vec![program(whatever(&[NEVER]), SeccompAction::Allow, other)?]);
    }
    let mut filters = Vec::new();
    if matches!(part, Part::Server { .. } | Part::Starting { .. }) && sandbox == Sandbox::On {
        // What it is to make cannot be seen in its arguments. The C library then asks for a thread by `clone`.
        let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        filters.push(program(whatever(&[&[SYS_clone3]]), SeccompAction::Allow, absent)?);
    }
    filters.push(program(rules(part)?, other, SeccompAction::Allow)?);
    Ok(filters)
}

/// These calls, whatever their arguments are.
fn whatever(lists: &[&[i64]]) -> Rules {
    lists.iter().flat_map(|list| list.iter()).map(|call| (*call, Vec::new())).collect()
}

fn rules(part: Part) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = match part {
        Part::Starting { .. } => whatever(&[EVERY, FILES, SOCKETS, OLD, URING, MAKING]),
        Part::Worker { io: Io::Syscalls, .. } => whatever(&[EVERY, FILES, SOCKETS, OLD]),
        Part::Worker { .. } => whatever(&[EVERY, FILES, SOCKETS, OLD, URING]),
        Part::Server { .. } => whatever(&[EVERY, FILES, SOCKETS, OLD, SERVER]),
        Part::Aside | Part::Supervisor => whatever(&[EVERY, OLD]),
    };
    let is = |argument, value: i32| condition(argument, u64::from(value.unsigned_abs()));
    let has_not = |argument, bits: i32| {
        let bits = u64::from(bits.unsigned_abs());
        SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(bits), 0)
    };
    // Memory that can be written is never run.
    for call in [SYS_mmap, SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![has_not(2, libc::PROT_EXEC)?])?]);
    }
    if part == (Part::Server { connects: true }) {
        // The C library loads what looks names up when the first one is.
        rules.insert(SYS_mmap, Vec::new());
    }
    // Its own threads get signals, and its own limits can be set.
    let own = condition(0, u64::from(std::process::id()))?;
    rules.insert(SYS_tgkill, vec![SeccompRule::new(vec![own.clone()])?]);
    rules.insert(SYS_prlimit64, vec![SeccompRule::new(vec![is(0, 0)?])?, SeccompRule::new(vec![own])?]);
    rules.insert(SYS_prctl, one_of(0, [libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, PR_SET_VMA])?);
    // Whether it is a terminal, and whether it waits.
    rules.insert(SYS_ioctl, one_of(1, [libc::TCGETS, libc::FIONBIO, libc::FIONREAD])?);
    if matches!(part, Part::Starting { .. } | Part::Server { .. }) {
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        let thread = SeccompCondition::new(0, Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
        rules.insert(SYS_clone, vec![SeccompRule::new(vec![thread])?]);
    }
    if matches!(part, Part::Starting { .. }) {
        rules.insert(SYS_prctl, Vec::new());
    }
    // A socket can listen without having been bound, which Landlock does not see.
    if let Part::Starting { listens: true } | Part::Worker { listens: true, .. } = part {
        rules.insert(SYS_listen, Vec::new());
    }
    if part != Part::Aside {
        let families = match part {
            // The C library looks names up with the last one.
            Part::Server { .. } => &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK][..],
            _ => &[libc::AF_INET, libc::AF_INET6],
        };
        rules.insert(SYS_socket, one_of(0, families.iter().map(|family| u64::from(family.unsigned_abs())))?);
    }
    Ok(rules)
}

fn condition(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value)
}

/// Rules of which each lets one value of this argument pass.
fn one_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.into_iter().map(|value| SeccompRule::new(vec![condition(argument, value)?])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_needs_is_allowed_whatever_its_arguments_are() {
        for io in [Io::Uring, Io::Syscalls] {
            let rules = rules(Part::Worker { io, listens: false }).expect("is lawful");
            let hot: &[i64] = if io == Io::Uring { URING } else { &[SYS_recvmmsg, SYS_sendmmsg, SYS_epoll_pwait] };
            for call in hot.iter().chain(&[SYS_clock_gettime, SYS_read, SYS_sendto, SYS_recvfrom]) {
                assert_eq!(rules.get(call), Some(&Vec::new()), "{io:?} {call}");
            }
            assert_eq!(rules.contains_key(&SYS_io_uring_enter), io == Io::Uring);
            let absent = [
                libc::SYS_execve,
                SYS_clone,
                SYS_clone3,
                SYS_listen,
                libc::SYS_ptrace,
                SYS_io_uring_setup,
                libc::SYS_kill,
            ];
            assert!(absent.iter().all(|call| !rules.contains_key(call)));
        }
    }
}
