//! What a started agent may not do. A launcher process takes the restrictions upon itself and then
//! becomes the agent, so that nothing of the agent runs unrestricted and nothing unsafe happens
//! between fork and exec.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::{
    process::{Pid, Resource, Rlimit, Signal, getpid, getppid, setrlimit},
    stdio,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde::{Deserialize, Serialize};

/// Restrictions of one agent's process; they hold for whatever it starts, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Process id of the edge: the agent ends when it does.
    pub parent: i32,
    /// Bytes of writable private memory (`RLIMIT_DATA`).
    pub memory: u64,
    /// Open descriptors (`RLIMIT_NOFILE`).
    pub descriptors: u64,
    /// Where the kernel offers Landlock: the only files it may touch.
    pub files: Option<Files>,
    /// Where the kernel offers it: system calls that no agent needs are refused.
    pub seccomp: bool,
}

/// Paths that stay open under Landlock. One that does not exist is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// May be read and executed, with everything below.
    pub read: Vec<PathBuf>,
    /// May be written, with everything below.
    pub write: Vec<PathBuf>,
}

/// Why an agent was not started; it never runs with less than its restrictions.
#[derive(Debug)]
pub enum ConfineError {
    /// A system call failed.
    System(&'static str, io::Error),
    /// The edge is gone already.
    Orphan,
    /// Landlock failed although the kernel offers it.
    Landlock(RulesetError),
    /// The filter of system calls failed.
    Seccomp(String),
    /// The program could not be executed.
    Execute(PathBuf, io::Error),
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(what, error) => write!(f, "cannot {what}: {error}"),
            Self::Orphan => f.write_str("the edge that asked for this agent has gone"),
            Self::Landlock(error) => write!(f, "Landlock: {error}"),
            Self::Seccomp(error) => write!(f, "seccomp: {error}"),
            Self::Execute(program, error) => {
                write!(f, "cannot execute {}: {error}", program.display())
            }
        }
    }
}

impl std::error::Error for ConfineError {}

/// The first descriptor of socket activation (`sd_listen_fds(3)`).
const LISTEN_FDS_START: i32 = 3;
/// Badness for the kernel's choice of a victim: an agent goes before the edge.
const OOM_SCORE: &str = "500";

impl Confinement {
    /// Becomes `program` under these restrictions; returns only when that fails. Standard input is a
    /// listening socket and is handed on by the convention of `LISTEN_FDS`. What the kernel cannot
    /// do is told by `warn`.
    pub fn run(
        &self,
        program: &PathBuf,
        arguments: &[String],
        mut warn: impl FnMut(&str),
    ) -> ConfineError {
        match self.enter(&mut warn) {
            Ok(()) => {}
            Err(error) => return error,
        }
        let error = Command::new(program)
            .args(arguments)
            .env("LISTEN_FDS", "1")
            .env("LISTEN_PID", getpid().as_raw_nonzero().to_string())
            .stdin(Stdio::null())
            .exec();
        ConfineError::Execute(program.clone(), error)
    }

    fn enter(&self, warn: &mut impl FnMut(&str)) -> Result<(), ConfineError> {
        let system =
            |what| move |error: rustix::io::Errno| ConfineError::System(what, error.into());
        hand_on_socket()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(system("ask to end with the edge"))?;
        if getppid() != Pid::from_raw(self.parent) {
            return Err(ConfineError::Orphan);
        }
        rustix::thread::set_no_new_privs(true).map_err(system("give up new privileges"))?;
        for (resource, limit) in [
            (Resource::Data, self.memory),
            (Resource::Nofile, self.descriptors),
            (Resource::Core, 0),
        ] {
            let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
            setrlimit(resource, limit).map_err(system("set a resource limit"))?;
        }
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
            warn(&format!("cannot offer itself to the out-of-memory killer: {error}"));
        }
        if let Some(files) = &self.files {
            files.restrict(warn)?;
        }
        if self.seccomp {
            refuse_calls().map_err(ConfineError::Seccomp)?;
        }
        Ok(())
    }
}

/// Puts the listening socket where the convention wants it, open across exec. Nothing else stays open: what whoever started the edge
/// had open (a lock, a log) is no agent's, and would lie where the socket belongs.
fn hand_on_socket() -> Result<(), ConfineError> {
    let failed = |error: rustix::io::Errno| {
        ConfineError::System("hand the listening socket on", error.into())
    };
    close_inherited();
    // The lowest free number, which is 3 in a process that has only the three standard streams.
    let socket = rustix::io::dup(stdio::stdin()).map_err(failed)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
    if number != LISTEN_FDS_START {
        let text = format!("descriptor 3 is taken; the socket became {number}");
        return Err(ConfineError::System("hand the listening socket on", io::Error::other(text)));
    }
    // It stays open: the agent is this very process.
    std::mem::forget(socket);
    Ok(())
}

/// Closes all but the three standard streams. A kernel without the call (before 5.9) leaves them, and says so by the number that the
/// socket gets.
#[expect(unsafe_code, reason = "neither std nor rustix closes descriptors that nobody owns")]
fn close_inherited() {
    // SAFETY: the launcher opens nothing before this, so no descriptor from 3 on has an owner in this process.
    unsafe { libc::syscall(libc::SYS_close_range, LISTEN_FDS_START, libc::c_uint::MAX, 0) };
}

impl Files {
    fn restrict(&self, warn: &mut impl FnMut(&str)) -> Result<(), ConfineError> {
        let abi = ABI::V6;
        let read = AccessFs::from_read(abi);
        let write = AccessFs::from_all(abi);
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))
            .and_then(|ruleset| ruleset.scope(Scope::Signal))
            .and_then(Ruleset::create)
            .map_err(ConfineError::Landlock)?;
        let devices = ["/dev/null", "/dev/urandom", "/dev/random"].map(PathBuf::from);
        let rules = self
            .read
            .iter()
            .map(|path| (path, read))
            .chain(self.write.iter().map(|path| (path, write)))
            .chain(devices.iter().map(|path| (path, write)));
        for (path, access) in rules {
            let Ok(opened) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & file_access(abi) };
            ruleset = ruleset
                .add_rule(PathBeneath::new(opened, access))
                .map_err(ConfineError::Landlock)?;
        }
        let status = ruleset.restrict_self().map_err(ConfineError::Landlock)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            warn("this kernel offers no Landlock: the agent's files are not restricted");
        }
        Ok(())
    }
}

/// Rights that make sense for what is not a folder.
fn file_access(abi: ABI) -> BitFlags<AccessFs> {
    AccessFs::from_file(abi)
}

/// System calls that change the machine or look into other processes.
#[rustfmt::skip]
const REFUSED: [i64; 32] = [
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd,
    libc::SYS_kcmp, libc::SYS_perf_event_open, libc::SYS_bpf, libc::SYS_userfaultfd,
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot,
    libc::SYS_move_mount, libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fsmount,
    libc::SYS_unshare, libc::SYS_setns, libc::SYS_init_module, libc::SYS_finit_module,
    libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_reboot, libc::SYS_swapon,
    libc::SYS_swapoff, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_sethostname, libc::SYS_quotactl,
];

fn refuse_calls() -> Result<(), String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|error| format!("{error:?}"))?;
    let filter = SeccompFilter::new(
        REFUSED.iter().map(|&call| (call, Vec::new())).collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        arch,
    );
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
