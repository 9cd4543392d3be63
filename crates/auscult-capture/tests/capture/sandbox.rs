//! What must fail from inside the sandbox, tried on the process and on threads of each kind; and what must not.

use auscult_capture::sandbox::{Access, Support, ThreadKind, enter, restrict_thread};
use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_long};
use std::fs::File;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for a copy of this program that enters the sandbox: a directory with `data` (to write), `config` (to read) and `outside`.
const CHILD: &str = "AUSCULT_TEST_SANDBOX";

type Attempt = (&'static str, Box<dyn Fn() -> io::Result<()>>);

fn call(number: c_long, arguments: [c_long; 4]) -> io::Result<()> {
    let [a, b, c, d] = arguments;
    // SAFETY: numbers that are no addresses of anything that may be written, or that of a structure on the stack of the caller.
    match unsafe { libc::syscall(number, a, b, c, d, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn numbers(name: &'static str, number: c_long, arguments: [c_int; 4]) -> Attempt {
    (name, Box::new(move || call(number, arguments.map(c_long::from))))
}

fn socket(name: &'static str, family: c_int, kind: c_int, protocol: c_int) -> Attempt {
    numbers(name, libc::SYS_socket, [family, kind, protocol, 0])
}

fn file(name: &'static str, path: PathBuf, attempt: fn(&Path) -> io::Result<()>) -> Attempt {
    (name, Box::new(move || attempt(&path)))
}

fn read(path: &Path) -> io::Result<()> {
    std::fs::read(path).map(drop)
}

fn write(path: &Path) -> io::Result<()> {
    std::fs::write(path, "written")
}

/// Memory that was written and is then run.
fn make_code() -> io::Result<()> {
    // SAFETY: a page of its own, which nobody else uses.
    unsafe {
        let (write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = libc::mmap(std::ptr::null_mut(), 4096, write, private, -1, 0);
        match libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn execute() -> io::Result<()> {
    let program = CString::new("/bin/true")?;
    let arguments = [program.as_ptr(), std::ptr::null()];
    // SAFETY: strings that end in zero, in a list that ends in null.
    unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
    Err(io::Error::last_os_error())
}

fn sleep() -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_micros(10));
    Ok(())
}

fn take_memory() -> io::Result<()> {
    drop(std::hint::black_box(vec![1u8; 4 << 20]));
    Ok(())
}

/// What is tried everywhere, in the directory of the test.
fn attempts(dir: &Path) -> Vec<Attempt> {
    let (data, config, outside) = (dir.join("data"), dir.join("config"), dir.join("outside"));
    let parent = std::os::unix::process::parent_id().cast_signed();
    let wx = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    vec![
        file("read /etc/shadow", "/etc/shadow".into(), read),
        file("read outside", outside.join("file"), read),
        file("write outside", outside.join("new"), write),
        file("write configuration", config.join("new"), write),
        file("read configuration", config.join("file"), read),
        file("read data", data.join("file"), read),
        file("write data", data.join("new"), write),
        file("remove data", data.join("gone"), |path| {
            std::fs::write(path, "")?;
            std::fs::remove_file(path)
        }),
        file("move data out", data.join("file"), |path| {
            std::fs::rename(path, path.parent().and_then(Path::parent).unwrap_or(path).join("outside/moved"))
        }),
        file("make a link to outside and read it", data.join("link"), |path| {
            std::os::unix::fs::symlink("../outside/file", path)?;
            std::fs::read(path).map(drop)
        }),
        ("start a program", Box::new(|| Command::new("/bin/true").status().map(drop))),
        ("execute", Box::new(execute)),
        numbers("fork", libc::SYS_clone, [libc::SIGCHLD, 0, 0, 0]),
        numbers("ptrace", libc::SYS_ptrace, [c_int::try_from(libc::PTRACE_SEIZE).unwrap_or(0), parent, 0, 0]),
        numbers("read memory of another process", libc::SYS_process_vm_readv, [parent, 0, 0, 0]),
        numbers("signal another process", libc::SYS_kill, [parent, 0, 0, 0]),
        socket("packet socket", libc::AF_PACKET, libc::SOCK_RAW, 0),
        socket("packet socket for datagrams", libc::AF_PACKET, libc::SOCK_DGRAM, 0),
        socket("raw socket", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        socket("raw socket of IPv6", libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
        socket("netfilter socket", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
        socket("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        socket("sctp", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
        socket("tcp", libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
        socket("unix socket", libc::AF_UNIX, libc::SOCK_STREAM, 0),
        socket("addresses of this host", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
        ("listen", Box::new(|| TcpListener::bind("127.0.0.1:0").map(drop))),
        ("udp", Box::new(|| UdpSocket::bind("127.0.0.1:0").map(drop))),
        numbers("become root", libc::SYS_setuid, [0; 4]),
        numbers("namespace", libc::SYS_unshare, [libc::CLONE_NEWUSER, 0, 0, 0]),
        numbers("mount", libc::SYS_mount, [0; 4]),
        numbers("bpf", libc::SYS_bpf, [0; 4]),
        numbers("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        numbers("userfaultfd", libc::SYS_userfaultfd, [0; 4]),
        numbers("perf", libc::SYS_perf_event_open, [0; 4]),
        numbers("keys", libc::SYS_keyctl, [0; 4]),
        numbers("memory as a file", libc::SYS_memfd_create, [0; 4]),
        ("write and run memory", Box::new(make_code)),
        numbers("memory to write and run", libc::SYS_mmap, [0, 4096, wx, private]),
        numbers("a call of tomorrow", 1000, [0; 4]),
        ("thread", Box::new(|| std::thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join())))),
        ("sleep", Box::new(sleep)),
        ("memory", Box::new(take_memory)),
    ]
}

/// Tries everything on a thread, and prints what became of it: one line of thread, attempt and error number.
fn try_all(thread: &str, dir: &Path, open: &File) {
    for (name, attempt) in attempts(dir) {
        report(thread, name, &attempt());
    }
    report(thread, "read what is open", &open.read_at(&mut [0; 4], 0).map(drop));
    // SAFETY: the name of a socket that is not there; the call reads it.
    let bound = unsafe { libc::bind(open.as_raw_fd(), [0u8; 20].as_ptr().cast(), 20) };
    report(thread, "bind", &if bound == 0 { Ok(()) } else { Err(io::Error::last_os_error()) });
}

fn report(thread: &str, name: &str, result: &io::Result<()>) {
    let errno = result.as_ref().err().map_or(0, |e| e.raw_os_error().unwrap_or(-1));
    println!("|{thread}|{name}|{errno}|");
}

fn inside(dir: &Path) {
    let open = File::open(dir.join("outside/file")).expect("before the sandbox");
    let access = Access { write: vec![dir.join("data")], read: vec![dir.join("config"), dir.join("absent")] };
    let support = enter(&access).expect("the sandbox");
    assert_eq!(support, Support::of_this_kernel());
    for (name, kind) in [
        ("capture", Some(ThreadKind::Capture)),
        ("measuring", Some(ThreadKind::Measuring)),
        ("replay", Some(ThreadKind::Replay)),
        ("process", None),
    ] {
        let (dir, open) = (dir.to_owned(), open.try_clone().expect("a descriptor"));
        let thread = std::thread::spawn(move || {
            kind.map_or(Ok(()), restrict_thread).expect("a narrower thread");
            try_all(name, &dir, &open);
        });
        thread.join().expect("it goes on");
    }
    println!("{}", std::fs::read_to_string("/proc/thread-self/status").expect("its own state is readable"));
}

#[test]
fn what_must_fail_in_the_sandbox_does_and_what_is_needed_works() {
    if let Some(dir) = std::env::var_os(CHILD) {
        inside(Path::new(&dir));
        return;
    }
    let support = Support::of_this_kernel();
    if support.landlock_abi < 4 || !support.seccomp {
        testkit::skip(format_args!("this kernel has {support}"));
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["data", "config", "outside"] {
        std::fs::create_dir(dir.path().join(name)).expect("made");
        std::fs::write(dir.path().join(name).join("file"), "text").expect("written");
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    let test = "sandbox::what_must_fail_in_the_sandbox_does_and_what_is_needed_works";
    let child = child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, dir.path());
    let output = child.output().expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut found: BTreeMap<(&str, &str), i32> = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('|').collect();
        if let [_, thread, name, errno, _] = parts[..] {
            found.insert((thread, name), errno.parse().expect("a number"));
        }
    }
    assert_eq!(found.len(), 4 * (attempts(dir.path()).len() + 2), "{text}");
    let wrong: Vec<_> =
        found.iter().filter(|((thread, name), errno)| !expected(thread, name, &support).contains(errno)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!dir.path().join("outside/new").exists() && dir.path().join("data/file").exists());
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim();
    assert_eq!(
        (field("CapEff:"), field("CapPrm:"), field("CapInh:")),
        ("0000000000000000", "0000000000000000", "0000000000000000")
    );
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1", "2"));
}

/// Error numbers with which an attempt may end on a kind of thread; 0 is success.
fn expected(thread: &str, name: &str, support: &Support) -> Vec<i32> {
    let by_landlock = vec![libc::EACCES];
    let (refused, done) = (vec![libc::EPERM], vec![0]);
    let opens = thread == "process" || thread == "replay";
    match name {
        "sleep" | "memory" => done,
        "a call of tomorrow" => vec![libc::ENOSYS],
        // Every process of this user is another one for Landlock since version 6; the threads may not even ask.
        "signal another process" if thread == "process" && support.landlock_abi < 6 => vec![0, libc::EPERM],
        "read what is open" if thread == "measuring" => refused,
        "read what is open" => done,
        "thread" if opens => done,
        // What the C library makes of EPERM.
        "thread" => vec![libc::EPERM, libc::EAGAIN],
        "read configuration" | "read data" if opens => done,
        "read /etc/shadow" if opens => vec![libc::EACCES, libc::ENOENT],
        "read outside" if opens => by_landlock,
        "write data" | "remove data" | "tcp" | "unix socket" | "addresses of this host" | "udp"
            if thread == "process" =>
        {
            done
        }
        "write outside" | "write configuration" | "listen" | "make a link to outside and read it"
            if thread == "process" =>
        {
            by_landlock
        }
        "move data out" if thread == "process" => vec![libc::EACCES, libc::EXDEV],
        "bind" if thread == "process" => vec![libc::ENOTSOCK],
        _ => refused,
    }
}
