import CSystem
import Glibc

/// How a process ended.
package enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    case exited(CInt)
    case signaled(CInt)

    /// Reads a status that waitpid(2) has filled; its macros are not visible to Swift.
    init(waitStatus: CInt) {
        let signal = waitStatus & 0x7F
        self = signal == 0 ? .exited(waitStatus >> 8 & 0xFF) : .signaled(signal)
    }

    package var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signaled(let signal): "signal \(signal)"
        }
    }
}

/// An unprivileged account to run a child as.
package struct UserIdentity: Equatable, Sendable {
    package let name: String
    package let userID: UInt32
    package let groupID: UInt32

    /// The account called `name`; `nil` when there is none.
    ///
    /// Reads the user database, which may block: at start only.
    package init?(named name: String) {
        guard let entry = getpwnam(name) else { return nil }
        self.name = name
        userID = entry.pointee.pw_uid
        groupID = entry.pointee.pw_gid
    }
}

/// A child in a process group of its own, spawned through the trampoline and reaped exactly once.
///
/// `posix_spawn` cannot set a death signal, drop privileges or close what it does not know; so the child is
/// `millrace exec-worker` for an instant, which does these and then becomes the program asked for
/// (``Trampoline``).
package final class ChildProcess: @unchecked Sendable {
    // Soundness of @unchecked: everything but the constants is touched on the loop's thread alone.

    /// What to start, and how.
    package struct Launch: Sendable {
        /// The absolute path of the program, then its arguments.
        package var command: [String]
        /// The child's whole environment.
        package var environment: [String: String]
        /// The path of the `millrace` program.
        package var trampoline: String
        /// Who to become first; as root only.
        package var user: UserIdentity?
        /// Whether the kernel kills the child when the spawning thread ends.
        package var diesWithParent = true
        /// Whether the child leads a session, out of reach of the terminal's signals, rather than a process
        /// group.
        package var newSession = false
        package var workingDirectory: String?

        package init(command: [String], environment: [String: String], trampoline: String) {
            precondition(!command.isEmpty, "a command names its program")
            self.command = command
            self.environment = environment
            self.trampoline = trampoline
        }
    }

    package let pid: Int32
    private let loop: EventLoop
    private var pidDescriptor: Descriptor?
    private var watch: Watch?
    private var waiters: [UnsafeContinuation<ExitStatus, Never>] = []
    /// How it ended; `nil` while it runs.
    package private(set) var exitStatus: ExitStatus?

    private init(pid: pid_t, loop: EventLoop) {
        self.pid = pid
        self.loop = loop
    }

    /// Starts a child.
    ///
    /// On a loop that lives as long as the process: a death signal follows the spawning *thread*.
    ///
    /// `inherited` gives the child's descriptor numbers and what of ours they are copies of; ours stay ours.
    /// Standard input is /dev/null and standard output and error are ours, where not given. A program
    /// that cannot
    /// be executed shows as exit code 127.
    ///
    /// - Throws: ``SystemError`` when no process can be made.
    package static func spawn(
        _ launch: Launch,
        inherited: [CInt: CInt],
        on loop: EventLoop
    ) throws(SystemError) -> ChildProcess {
        assert(loop.isCurrent)
        let pid = try SpawnPlan(launch, inherited: inherited).run()
        let child = ChildProcess(pid: pid, loop: loop)
        // The child cannot have been reaped yet, so the pid is still its own.
        let opened = Descriptor(adopting: try systemCall("pidfd_open") { csystem_pidfd_open(pid) })
        let watch = try loop.register(opened.raw, events: EPOLLIN.rawValue)
        child.pidDescriptor = consume opened
        child.watch = watch
        // Held by the loop until the exit, so that nobody leaves a zombie by losing interest.
        watch.onEvent = { _ in child.reap() }
        return child
    }

    private func reap() {
        var status: CInt = 0
        guard exitStatus == nil, waitpid(pid, &status, WNOHANG) == pid else { return }
        let ended = ExitStatus(waitStatus: status)
        exitStatus = ended
        if let watch { loop.unregister(watch) }
        watch = nil
        pidDescriptor = nil
        for waiter in waiters { waiter.resume(returning: ended) }
        waiters = []
    }

    /// Returns how the process ended, once it has; any number of callers, any time.
    ///
    /// On the loop.
    package func waitForExit() async -> ExitStatus {
        assert(loop.isCurrent)
        if let exitStatus { return exitStatus }
        return await withUnsafeContinuation { waiter in
            if let exitStatus { waiter.resume(returning: exitStatus) } else { waiters.append(waiter) }
        }
    }

    /// Sends `signal` to the process itself; nothing once it has been reaped.
    package func signal(_ signal: CInt) {
        assert(loop.isCurrent)
        guard exitStatus == nil, let raw = watch?.raw else { return }
        _ = csystem_pidfd_send_signal(raw, signal)
    }

    /// Sends `signal` to the process and all that it has started, as far as they stayed in its group.
    package func signalGroup(_ signal: CInt) {
        assert(loop.isCurrent)
        // Members may outlive the leader, and while one lives the number names no other group or process
        // (credentials(7)); that it is the same group at all holds as long as the caller knows of a member,
        // an open pipe for one.
        _ = kill(-pid, signal)
    }
}

/// The arguments of one posix_spawn call, in the form that it takes.
private struct SpawnPlan {
    private var arguments: [String]
    private let environment: [String]
    private let inherited: [CInt: CInt]
    private let trampoline: String

    init(_ launch: ChildProcess.Launch, inherited: [CInt: CInt]) {
        arguments = [launch.trampoline, "exec-worker"]
        arguments +=
            Trampoline.Options(
                parent: launch.diesWithParent ? getpid() : nil,
                user: launch.user,
                newSession: launch.newSession,
                highestInherited: max(2, inherited.keys.max() ?? 2),
                workingDirectory: launch.workingDirectory
            ).arguments
        arguments += ["--"] + launch.command
        environment = launch.environment.map { "\($0.key)=\($0.value)" }.sorted()
        self.inherited = inherited
        trampoline = launch.trampoline
    }

    func run() throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        setSignals(&attributes)

        let parked = try park()
        defer { for raw in parked.values { close(raw) } }
        if inherited[0] == nil { posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) }
        for (number, raw) in parked { posix_spawn_file_actions_adddup2(&actions, raw, number) }

        var pid: pid_t = 0
        let code = withCStrings(arguments) { argv in
            withCStrings(environment) { envp in
                posix_spawn(&pid, trampoline, &actions, &attributes, argv, envp)
            }
        }
        if code != 0 { throw SystemError(call: "posix_spawn", code: code) }
        return pid
    }

    /// Copies the descriptors out of the way of the numbers that the child shall have, so that no dup2 of one
    /// overwrites the source of another.
    private func park() throws(SystemError) -> [CInt: CInt] {
        var parked: [CInt: CInt] = [:]
        let floor = (inherited.keys.max() ?? 2) + 1
        for (number, raw) in inherited {
            do throws(SystemError) {
                parked[number] = try systemCall("fcntl") { csystem_fcntl(raw, F_DUPFD_CLOEXEC, floor) }
            } catch {
                for raw in parked.values { close(raw) }
                throw error
            }
        }
        return parked
    }

    /// The child starts with no signal blocked and all at their defaults, whatever the service has set.
    private func setSignals(_ attributes: inout posix_spawnattr_t) {
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    }
}

/// Lends strings as the null-terminated array of C strings that exec and spawn take.
func withCStrings<R>(
    _ strings: [String],
    _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    var pointers = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { preconditionFailure("the array holds its terminator") }
        return body(base)
    }
}
