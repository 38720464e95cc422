//! seccomp: which system calls are left.
//!
//! Three filters, of which the strictest answer counts:
//!
//! ```text
//!   allowed    what the program and its libraries call    else EPERM, so that a library can do without
//!   clone3     ENOSYS, so that the C library takes clone, whose flags a filter can see
//!   hostile    what only an intruder calls                ends the process
//! ```
//!
//! The hostile ones end the process instead of failing, because whoever runs code in a tracker should not get to
//! try something else, and because the end is seen: the service manager starts it anew, and the kernel's log
//! names the call. Calls that are only not needed fail, as nobody knows what a library tries next year.
//!
//! The kernel remembers which calls pass whatever their arguments are and no longer runs the filters for
//! them (Linux 5.11), so that what cores and HTTP threads call costs nothing more.

use std::collections::BTreeMap;

use libc as c;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Calls with the rules of which one must fit; without any, every call fits.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that pass whatever their arguments are.
const ALLOWED: &[i64] = &[
    // Descriptors.
    c::SYS_read,
    c::SYS_write,
    c::SYS_readv,
    c::SYS_writev,
    c::SYS_pread64,
    c::SYS_pwrite64,
    c::SYS_preadv,
    c::SYS_pwritev,
    c::SYS_preadv2,
    c::SYS_pwritev2,
    c::SYS_lseek,
    c::SYS_close,
    c::SYS_dup,
    c::SYS_dup3,
    c::SYS_fcntl,
    c::SYS_flock,
    c::SYS_pipe2,
    c::SYS_eventfd2,
    c::SYS_ppoll,
    c::SYS_pselect6,
    c::SYS_epoll_create1,
    c::SYS_epoll_ctl,
    c::SYS_epoll_pwait,
    c::SYS_epoll_pwait2,
    c::SYS_timerfd_create,
    c::SYS_timerfd_settime,
    c::SYS_timerfd_gettime,
    c::SYS_io_uring_setup,
    c::SYS_io_uring_enter,
    c::SYS_io_uring_register,
    // Files, as far as Landlock leaves them.
    c::SYS_openat,
    c::SYS_fstat,
    c::SYS_newfstatat,
    c::SYS_statx,
    c::SYS_statfs,
    c::SYS_fstatfs,
    c::SYS_getdents64,
    c::SYS_getcwd,
    c::SYS_readlinkat,
    c::SYS_faccessat,
    c::SYS_faccessat2,
    c::SYS_mkdirat,
    c::SYS_linkat,
    c::SYS_unlinkat,
    c::SYS_renameat2,
    c::SYS_fchmod,
    c::SYS_fchmodat,
    c::SYS_truncate,
    c::SYS_ftruncate,
    c::SYS_fallocate,
    c::SYS_fsync,
    c::SYS_fdatasync,
    c::SYS_sync_file_range,
    // Sockets. Those that listen do so already.
    c::SYS_socketpair,
    c::SYS_bind,
    c::SYS_connect,
    c::SYS_accept,
    c::SYS_accept4,
    c::SYS_shutdown,
    c::SYS_getsockname,
    c::SYS_getpeername,
    c::SYS_getsockopt,
    c::SYS_setsockopt,
    c::SYS_sendto,
    c::SYS_sendmsg,
    c::SYS_sendmmsg,
    c::SYS_recvfrom,
    c::SYS_recvmsg,
    c::SYS_recvmmsg,
    // Memory.
    c::SYS_brk,
    c::SYS_munmap,
    c::SYS_mremap,
    c::SYS_madvise,
    c::SYS_msync,
    c::SYS_mincore,
    c::SYS_mlock,
    c::SYS_mlock2,
    c::SYS_munlock,
    c::SYS_membarrier,
    // Threads and their times on a CPU.
    c::SYS_set_robust_list,
    c::SYS_get_robust_list,
    c::SYS_set_tid_address,
    c::SYS_rseq,
    c::SYS_futex,
    c::SYS_futex_waitv,
    c::SYS_gettid,
    c::SYS_getcpu,
    c::SYS_sched_yield,
    c::SYS_sched_getaffinity,
    c::SYS_sched_setaffinity,
    c::SYS_sched_getattr,
    c::SYS_sched_setattr,
    c::SYS_sched_getparam,
    c::SYS_sched_getscheduler,
    c::SYS_sched_setscheduler,
    c::SYS_sched_get_priority_max,
    c::SYS_sched_get_priority_min,
    c::SYS_getpriority,
    c::SYS_setpriority,
    c::SYS_exit,
    c::SYS_exit_group,
    c::SYS_restart_syscall,
    // Signals, to itself alone.
    c::SYS_rt_sigaction,
    c::SYS_rt_sigprocmask,
    c::SYS_rt_sigpending,
    c::SYS_rt_sigreturn,
    c::SYS_rt_sigtimedwait,
    c::SYS_sigaltstack,
    c::SYS_tgkill,
    // Time.
    c::SYS_clock_gettime,
    c::SYS_clock_getres,
    c::SYS_clock_nanosleep,
    c::SYS_nanosleep,
    c::SYS_gettimeofday,
    c::SYS_times,
    // Who and where this is, and chance.
    c::SYS_getpid,
    c::SYS_getppid,
    c::SYS_getuid,
    c::SYS_geteuid,
    c::SYS_getgid,
    c::SYS_getegid,
    c::SYS_uname,
    c::SYS_sysinfo,
    c::SYS_getrusage,
    c::SYS_prlimit64,
    c::SYS_getrandom,
    // Further filters, which can only take away.
    c::SYS_seccomp,
];

/// The same, by calls that only older machines have.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    c::SYS_open,
    c::SYS_stat,
    c::SYS_lstat,
    c::SYS_access,
    c::SYS_readlink,
    c::SYS_mkdir,
    c::SYS_link,
    c::SYS_unlink,
    c::SYS_rename,
    c::SYS_renameat,
    c::SYS_chmod,
    c::SYS_dup2,
    c::SYS_pipe,
    c::SYS_poll,
    c::SYS_select,
    c::SYS_epoll_wait,
    c::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[c::SYS_renameat];

/// Calls that nothing in the program makes and that an intruder wants: another program, another process's memory,
/// the kernel, other mounts and namespaces.
const HOSTILE: &[i64] = &[
    c::SYS_execve,
    c::SYS_execveat,
    c::SYS_ptrace,
    c::SYS_process_vm_readv,
    c::SYS_process_vm_writev,
    c::SYS_pidfd_getfd,
    c::SYS_kcmp,
    c::SYS_bpf,
    c::SYS_perf_event_open,
    c::SYS_userfaultfd,
    c::SYS_add_key,
    c::SYS_keyctl,
    c::SYS_request_key,
    c::SYS_kexec_load,
    c::SYS_init_module,
    c::SYS_finit_module,
    c::SYS_delete_module,
    c::SYS_mount,
    c::SYS_umount2,
    c::SYS_move_mount,
    c::SYS_mount_setattr,
    c::SYS_open_tree,
    c::SYS_fsopen,
    c::SYS_fsconfig,
    c::SYS_fsmount,
    c::SYS_fspick,
    c::SYS_pivot_root,
    c::SYS_chroot,
    c::SYS_setns,
    c::SYS_unshare,
    c::SYS_open_by_handle_at,
    c::SYS_swapon,
    c::SYS_swapoff,
    c::SYS_reboot,
];

#[cfg(target_arch = "x86_64")]
const HOSTILE_HERE: &[i64] = &[
    c::SYS_kexec_file_load,
    c::SYS_iopl,
    c::SYS_ioperm,
    c::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const HOSTILE_HERE: &[i64] = &[];

/// The bits of the second argument of `socket` that say which kind; the others say whether to wait and who
/// inherits.
const SOCKET_KINDS: u64 = 0xf;

/// Leaves to all threads what the tracker calls once it is bound. Returns how many calls are left; the error is
/// half a sentence.
pub(super) fn restrict() -> Result<usize, String> {
    let allowed = allowed().map_err(|error| error.to_string())?;
    let calls = allowed.len();
    // Made before the first is in force.
    let filters = [
        filter(
            allowed,
            SeccompAction::Errno(c::EPERM as u32),
            SeccompAction::Allow,
        ),
        filter(
            only(&[c::SYS_clone3]),
            SeccompAction::Allow,
            SeccompAction::Errno(c::ENOSYS as u32),
        ),
        filter(
            only(&[HOSTILE, HOSTILE_HERE].concat()),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
        ),
    ];
    apply(filters)?;
    Ok(calls)
}

/// From now on no thread opens a ring. The error is half a sentence.
pub(super) fn forbid_rings() -> Result<(), String> {
    let rings = only(&[c::SYS_io_uring_setup]);
    let errno = SeccompAction::Errno(c::EPERM as u32);
    apply([filter(rings, SeccompAction::Allow, errno)])
}

fn apply<const N: usize>(filters: [Result<BpfProgram, BackendError>; N]) -> Result<(), String> {
    let mut programs = Vec::with_capacity(N);
    for filter in filters {
        programs.push(filter.map_err(|error| error.to_string())?);
    }
    programs
        .iter()
        .try_for_each(|program| apply_filter_all_threads(program))
        .map_err(|error| match error {
            Error::Seccomp(error) => format!("the kernel takes no filter ({error})"),
            error => error.to_string(),
        })
}

fn filter(
    rules: Rules,
    otherwise: SeccompAction,
    then: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, then, machine)?.try_into()
}

fn only(calls: &[i64]) -> Rules {
    calls.iter().map(|&call| (call, Vec::new())).collect()
}

fn allowed() -> Result<Rules, BackendError> {
    let mut rules = only(&[ALLOWED, ALLOWED_HERE].concat());
    // More threads, but no more processes and no namespaces.
    let apart = c::CLONE_NEWNS
        | c::CLONE_NEWUSER
        | c::CLONE_NEWPID
        | c::CLONE_NEWNET
        | c::CLONE_NEWIPC
        | c::CLONE_NEWUTS
        | c::CLONE_NEWCGROUP;
    let thread = c::CLONE_THREAD as u64;
    rules.insert(
        c::SYS_clone,
        vec![rule(
            0,
            SeccompCmpOp::MaskedEq(thread | apart as u64),
            thread,
        )?],
    );
    // Answered by a filter of its own.
    rules.insert(c::SYS_clone3, Vec::new());
    // No memory that can be run, so no code is loaded and none is made.
    for call in [c::SYS_mmap, c::SYS_mprotect] {
        rules.insert(
            call,
            vec![rule(2, SeccompCmpOp::MaskedEq(c::PROT_EXEC as u64), 0)?],
        );
    }
    // Of the internet only for datagrams: nobody is called by TCP.
    let mut sockets = one_of(0, [c::AF_UNIX, c::AF_NETLINK].map(|family| family as u64))?;
    for family in [c::AF_INET, c::AF_INET6] {
        let kind = SeccompCmpOp::MaskedEq(SOCKET_KINDS);
        sockets.push(SeccompRule::new(vec![
            condition(0, SeccompCmpOp::Eq, family as u64)?,
            condition(1, kind, c::SOCK_DGRAM as u64)?,
        ])?);
    }
    rules.insert(c::SYS_socket, sockets);
    // Whether to wait, what waits, whether this is a terminal.
    let requests = [
        c::FIONBIO,
        c::FIOCLEX,
        c::FIONREAD,
        c::TIOCOUTQ,
        c::TCGETS,
        c::TIOCGWINSZ,
    ];
    rules.insert(c::SYS_ioctl, one_of(1, requests)?);
    let options = [
        c::PR_SET_NAME,
        c::PR_GET_NAME,
        c::PR_SET_NO_NEW_PRIVS,
        c::PR_SET_PDEATHSIG,
        c::PR_SET_TIMERSLACK,
        c::PR_SET_VMA,
    ];
    rules.insert(
        c::SYS_prctl,
        one_of(0, options.map(|option| option as u64))?,
    );
    Ok(rules)
}

fn one_of<const N: usize>(
    argument: u8,
    values: [u64; N],
) -> Result<Vec<SeccompRule>, BackendError> {
    let fits = |value| rule(argument, SeccompCmpOp::Eq, value);
    values.into_iter().map(fits).collect()
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(argument, operator, value)?])
}

/// The kernel looks at the lower half of these arguments only, and so do we.
fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}
