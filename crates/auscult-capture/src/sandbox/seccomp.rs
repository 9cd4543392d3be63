//! seccomp: which system calls are left, by two kinds of lists.

use super::ThreadKind;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
    apply_filter_all_threads, sock_filter,
};
use std::collections::BTreeMap;
use std::ffi::c_long;

/// The calls of a list, each with its rules: one of them must match. No rule is any arguments.
type Calls = BTreeMap<c_long, Vec<SeccompRule>>;

/// Highest number of a system call that is known here (`mseal`, Linux 6.10). Later ones, and those of the x32 interface, do not exist
/// for this process.
const LAST_KNOWN: u32 = 462;

/// Whether the kernel has filters.
pub(super) fn is_there() -> bool {
    /// `SECCOMP_GET_ACTION_AVAIL`
    const GET_ACTION_AVAIL: u32 = 2;
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads one number.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// Refuses to all threads what nothing in this program needs.
pub(super) fn restrict_process() -> Result<(), seccompiler::Error> {
    for program in [
        compiled(Listed::Match, refused_to_all()?, libc::EPERM)?,
        // The C library starts threads by `clone` where there is no `clone3`, whose flags a filter cannot read.
        compiled(Listed::Match, BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?,
    ] {
        apply_filter_all_threads(&program)?;
    }
    Ok(())
}

/// Allows the calling thread what its kind needs.
pub(super) fn restrict_thread(kind: ThreadKind) -> Result<(), seccompiler::Error> {
    apply_filter(&compiled(Listed::Others, allowed_to(kind)?, libc::EPERM)?)
}

/// Which calls are refused: those of the list, or all others.
enum Listed {
    Match,
    Others,
}

fn compiled(refused: Listed, calls: Calls, errno: i32) -> Result<BpfProgram, BackendError> {
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    let (others, listed) = match refused {
        Listed::Match => (SeccompAction::Allow, refusal),
        Listed::Others => (refusal, SeccompAction::Allow),
    };
    let filter = SeccompFilter::new(calls, others, listed, TargetArch::try_from(std::env::consts::ARCH)?)?;
    let mut program = unknown_calls().to_vec();
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

/// ENOSYS for numbers above [`LAST_KNOWN`]: libraries ask for new calls and do without. The package's filters compare for
/// equality only. Every filter begins with this, since of several that refuse a call the last one gives the error.
fn unknown_calls() -> [sock_filter; 3] {
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let errno = libc::ENOSYS.unsigned_abs();
    [
        // The number is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, LAST_KNOWN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
    ]
}

/// A condition on the argument of this number.
fn arg(number: u8, operator: SeccompCmpOp, value: i32) -> Result<SeccompCondition, BackendError> {
    // The lower 32 bits of an argument: flags and numbers of these calls have no more.
    SeccompCondition::new(number, Dword, operator, u64::from(value as u32))
}

fn rule<const N: usize>(conditions: [Result<SeccompCondition, BackendError>; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

/// What is refused whatever its arguments: running programs, other processes, what changes the system or the place of the
/// process in it, and interfaces of the kernel that nothing here uses and that are known for their errors.
const NEVER: &[c_long] = &[
    // Running programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes, and keys of the kernel.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // File systems and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The system as a whole.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    // Users, groups, capabilities.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    // Interfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_personality,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_remap_file_pages,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_vmsplice,
];

/// The same, of one processor's interface.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_mknod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];

#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

/// What no thread of the process gets.
pub(super) fn refused_to_all() -> Result<Calls, BackendError> {
    let mut calls: Calls = NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())).collect();
    calls.insert(libc::SYS_socket, sockets()?);
    // Threads, and no processes: what has its own memory could be made to run anything.
    calls.insert(libc::SYS_clone, vec![rule([arg(0, MaskedEq(libc::CLONE_THREAD as u64), 0)])?]);
    // Memory that is written and then run. Libraries are mapped from files, to run only.
    let (write, execute) = (libc::PROT_WRITE, libc::PROT_EXEC);
    calls.insert(libc::SYS_mmap, vec![rule([arg(2, MaskedEq((write | execute) as u64), write | execute)])?]);
    for protect in [libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        calls.insert(protect, vec![rule([arg(2, MaskedEq(execute as u64), execute)])?]);
    }
    calls.insert(libc::SYS_shmat, vec![rule([arg(2, MaskedEq(libc::SHM_EXEC as u64), libc::SHM_EXEC)])?]);
    // Keys put into a terminal are commands of the shell that started the program.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| rule([arg(1, Eq, request as i32)]));
    calls.insert(libc::SYS_ioctl, terminal.into_iter().collect::<Result<_, _>>()?);
    Ok(calls)
}

/// Sockets that are refused: all but those of TCP, UDP and Unix, and the one by which the C library asks which addresses
/// this host has before it looks a name up.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    const TYPES: u64 = 0xf;
    /// `SOCK_PACKET`, an earlier way to raw frames.
    const OLD_PACKET: i32 = 10;
    let (unix, four, six, netlink) = (libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK);
    let mut rules = vec![
        rule([arg(0, Ne, unix), arg(0, Ne, four), arg(0, Ne, six), arg(0, Ne, netlink)])?,
        rule([arg(0, Eq, netlink), arg(2, Ne, libc::NETLINK_ROUTE)])?,
    ];
    for family in [four, six] {
        for kind in [libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, OLD_PACKET] {
            rules.push(rule([arg(0, Eq, family), arg(1, MaskedEq(TYPES), kind)])?);
        }
        let protocols = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP].map(|protocol| arg(2, Ne, protocol));
        let [any, tcp, udp] = protocols;
        rules.push(rule([arg(0, Eq, family), any, tcp, udp])?);
    }
    Ok(rules)
}

/// What every thread needs to wait, to get memory, to read the clock, to write what is open, and to end, by a panic too.
const EVERY_THREAD: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_getrandom,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// To empty a ring and read its counters and those of its interface. A ring whose interface is down is asked for its error
/// by `recvfrom`.
const CAPTURE: &[c_long] = &[
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_read,
    libc::SYS_pread64,
];

/// To open capture files, to start the threads that unpack them, and to draw a line of progress on a terminal.
const REPLAY: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fcntl,
    libc::SYS_fadvise64,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_prctl,
];

/// All that a kind of thread may do.
pub(super) fn allowed_to(kind: ThreadKind) -> Result<Calls, BackendError> {
    let any = |calls: &[c_long]| calls.iter().map(|call| (*call, Vec::new())).collect::<Calls>();
    let mut calls = any(EVERY_THREAD);
    match kind {
        ThreadKind::Measuring => {}
        ThreadKind::Capture => {
            calls.append(&mut any(CAPTURE));
            let asked = [libc::SIOCGIFFLAGS, libc::SIOCGIFINDEX, libc::SIOCGIFNAME];
            calls.insert(libc::SYS_ioctl, requests(&asked.map(|request| request as i32))?);
        }
        ThreadKind::Replay => {
            calls.append(&mut any(REPLAY));
            let terminal = [libc::TCGETS, libc::TIOCGWINSZ];
            calls.insert(libc::SYS_ioctl, requests(&terminal.map(|request| request as i32))?);
            calls.insert(libc::SYS_clone, Vec::new());
            let flags = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
            calls.insert(libc::SYS_openat, vec![rule([arg(2, MaskedEq(flags as u64), libc::O_RDONLY)])?]);
        }
    }
    Ok(calls)
}

fn requests(numbers: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    numbers.iter().map(|number| rule([arg(1, Eq, *number)])).collect()
}
