//! Refuses io_uring to a child process, as container runtimes do: a seccomp filter that answers EPERM.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

const EPERM: u32 = libc::EPERM as u32;

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// If the number of the system call is this one, go on with the next statement, otherwise skip it.
const fn if_call(call: libc::c_long) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: 1, k: call as u32 }
}

/// The child, and everything that it starts, cannot make a ring.
pub(crate) fn refuse_io_uring(command: &mut Command) -> &mut Command {
    let install = || {
        let filter = [
            // Offset 0 of seccomp_data: the number of the system call.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
            if_call(libc::SYS_io_uring_setup),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | EPERM),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: a plain prctl with integer arguments.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `program` and the filter that it points to outlive the call; the kernel copies them.
        if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(install) }
}
