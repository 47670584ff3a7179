//! An upgrade that calls survive: the supervisor becomes the program that is on the disk now, without a moment in which
//! nothing watches the server. It replaces itself (execve(2)) and finds everything that it held in a socket that is its
//! standard input: the listener, what outlives a server, and the server itself, which goes on meanwhile. Then the next
//! server is started beside that one, which stops between two batches when the other is about to take over.
//!
//! A process that has replaced itself cannot go back. So the new program is asked first whether it runs, takes the
//! settings as they are now, and hands over as this one does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use corecast_dataplane::{hand_over, take_over};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use serde::{Deserialize, Serialize};

use super::Sockets;
use super::kept::{Kept, KeptParts};
use super::run::{Run, RunParts};
use crate::addresses::Names;
use crate::admin_socket::AdminSocket;
use crate::config::Config;
use crate::logging;

/// How one program hands over to another. Those of another number begin with nothing.
const FORMAT: u32 = 2;
/// For the new program to say whether it can take over.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(5);
/// What the kernel adds to the name of a file that is no longer there.
const DELETED: &str = " (deleted)";

/// What is to be known of what is handed over.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    format: u32,
    kept: KeptParts,
    run: RunParts,
    names: Names,
    /// Whether there is a socket of the API for operators, and its file.
    admin: Option<Option<PathBuf>>,
}

/// What a program has taken over from the one before.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) sockets: Sockets,
    pub(super) kept: Kept,
    pub(super) run: Run,
    pub(super) names: Names,
}

/// The role of the new program when it is asked: it has read its settings by now.
pub(crate) fn say_format() -> ExitCode {
    let said = writeln!(io::stdout(), "{FORMAT}");
    said.map_or_else(|_| ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// Where the program is that this process runs. To be asked at its start, before another one takes that place.
pub(super) fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let name = path.to_str().and_then(|path| path.strip_suffix(DELETED));
    Ok(name.map_or_else(|| path.clone(), PathBuf::from))
}

/// How this process was started, without what an upgrade added.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments.pop_if(|last| last == "take-over");
    arguments
}

/// Becomes the program at `program`. Returns only if that cannot be, and why; then everything is as it was.
pub(super) fn replace(
    program: &Path,
    sockets: &Sockets,
    (run, names): (&Run, &Names),
    kept: &mut Kept,
) -> Result<(), String> {
    let arguments = arguments();
    probe(program, &arguments)?;
    // What workers have told until now is taken here; what they tell from now on waits in the socket.
    kept.take();
    let stdin = pack(sockets, (run, names), kept).map_err(|error| format!("nothing can be handed over: {error}"))?;
    // A signal that comes in between waits until the new program listens to it.
    let blocked = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
    let error = Command::new(program).args(arguments).arg("take-over").stdin(Stdio::from(stdin)).exec();
    if let Ok(before) = blocked {
        // Fails for no mask that was in force.
        let _ = before.thread_set_mask();
    }
    Err(format!("{} cannot be started: {error}", program.display()))
}

/// Asks the new program whether it could take over.
fn probe(program: &Path, arguments: &[OsString]) -> Result<(), String> {
    let shown = program.display();
    let mut asked = Command::new(program)
        .args(arguments)
        .arg("handover")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{shown} cannot be started: {error}"))?;
    let until = Instant::now() + PROBE_LIMIT;
    let status = loop {
        match asked.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(TICK),
            _ => {
                let _ = asked.kill();
                let _ = asked.wait();
                return Err(format!(
                    "{shown} does not say within {} s whether it can take over",
                    PROBE_LIMIT.as_secs()
                ));
            }
        }
    };
    let mut said = String::new();
    if let Some(mut stdout) = asked.stdout {
        let _ = stdout.by_ref().take(64).read_to_string(&mut said);
    }
    if !status.success() {
        return Err(format!("{shown} does not start with these settings ({status}); what it said is above"));
    }
    match said.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        _ => Err(format!("{shown} takes over in another way: stop this one and start that one")),
    }
}

/// A socket that holds everything, until somebody takes it.
fn pack(sockets: &Sockets, (run, names): (&Run, &Names), kept: &Kept) -> io::Result<OwnedFd> {
    let (groups, kept) = kept.parts();
    let admin = sockets.admin.as_ref().map(|admin| admin.path().map(Path::to_owned));
    let known = Known { format: FORMAT, kept, run: run.parts(), names: names.clone(), admin };
    let mut file = File::from(memfd_create(c"corecast-upgrade", MFdFlags::MFD_CLOEXEC)?);
    serde_json::to_writer(&mut file, &known)?;
    let (ours, theirs) = UnixStream::pair()?;
    let own = [file.as_fd(), sockets.listener.as_fd(), run.stream()];
    let mut all = vec![own.into_iter().chain(sockets.admin.iter().map(AsFd::as_fd)).collect()];
    all.extend(groups);
    // Nobody reads yet: what does not fit at once never will.
    ours.set_nonblocking(true)?;
    hand_over(&ours, &all)?;
    Ok(theirs.into())
}

/// Takes over what is on standard input.
pub(super) fn unpack(config: &Config) -> io::Result<Taken> {
    let missing = || io::Error::other("descriptors are missing");
    let mut groups = take_over(io::stdin())?.into_iter();
    let mut own = groups.next().ok_or_else(missing)?.into_iter();
    let (file, listener, stream) = (own.next(), own.next(), own.next());
    let mut file = File::from(file.ok_or_else(missing)?);
    file.rewind()?;
    let known: Known = serde_json::from_reader(file)?;
    let admin = known.admin.zip(own.next()).map(|(path, socket)| AdminSocket::of_parts(socket, path));
    let listener = listener.ok_or_else(missing)?.into();
    Ok(Taken {
        sockets: Sockets { listener, admin },
        kept: Kept::of_parts(groups.collect(), known.kept, config)?,
        run: Run::of_parts(known.run, stream.ok_or_else(missing)?.into(), config)?,
        names: known.names,
    })
}

/// Signals that came while one program became the other are heard from now on.
pub(super) fn hear_signals() {
    if let Err(error) = SigSet::empty().thread_set_mask() {
        logging::say(&format!("signals cannot be heard: {error}"));
    }
}
