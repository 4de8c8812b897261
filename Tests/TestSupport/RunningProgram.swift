import Glibc
package import Reactor

/// One process of the `millrace` program: its standard output line by line, its standard error in a file.
///
/// It dies with the test process, whatever becomes of the test. Whoever starts it calls ``kill()`` in the
/// end.
package actor RunningProgram {
    private let loop: EventLoop
    /// Where its standard error goes.
    nonisolated package let logPath: String
    private var child: ChildProcess?
    private var output: ByteStream?
    private var buffer = ReadBuffer(capacity: 4_096)

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A program that has not started; `loop` lives as long as the test process, because the child dies with
    /// its thread.
    package init(on loop: EventLoop) {
        self.loop = loop
        logPath = TestPaths.makeTemporaryDirectory() + "/log"
    }

    /// Starts a program by its absolute path, with its arguments; `millrace` as a rule.
    package func start(_ command: [String], environment: [String: String] = [:]) throws {
        precondition(child == nil, "a program is started once")
        var launch = ChildProcess.Launch(
            command: command,
            environment: environment,
            trampoline: MillraceBinary.path
        )
        launch.environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        // A crash shows as its signal; the backtrace would take seconds.
        launch.environment["SWIFT_BACKTRACE"] = "enable=no"
        let raw = open(logPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard raw >= 0 else { throw SystemError(call: "open \(logPath)", code: errno) }
        let log = Descriptor(adopting: raw)
        try Pipe().split { read, write in
            child = try ChildProcess.spawn(launch, inherited: [1: write.raw, 2: log.raw], on: loop)
            output = try ByteStream(read, on: loop)
            withExtendedLifetime(write) {}
        }
        withExtendedLifetime(log) {}
    }

    package var pid: Int32? { child?.pid }
    package var hasEnded: Bool { child?.exitStatus != nil }

    package func signal(_ signal: CInt) { child?.signal(signal) }

    /// The next line of standard output without its end; `nil` at the end of the stream.
    package func line(deadline: Deadline = TestCluster.deadline) async throws -> String? {
        while true {
            let unread = buffer.bytes[buffer.readable]
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: unread[..<end], as: UTF8.self)
                buffer.consume(end + 1 - unread.startIndex)
                return line
            }
            if try await fill(deadline) == 0 { return nil }
        }
    }

    /// All that is left of standard output, as bytes.
    package func rest(deadline: Deadline = TestCluster.deadline) async throws -> [UInt8] {
        while try await fill(deadline) > 0 {}
        return Array(buffer.bytes[buffer.readable])
    }

    private func fill(_ deadline: Deadline) async throws -> Int {
        while true {
            guard let output else { throw StreamError.closed }
            switch try output.tryRead(into: &buffer, atMost: 1 << 16) {
            case .bytes(let count): return count
            case .endOfStream: return 0
            case .wouldBlock: try await output.untilReadable(deadline: deadline)
            }
        }
    }

    /// Waits for the exit; what has not ended by the deadline is killed, which shows in the status.
    package func exit(deadline: Deadline = TestCluster.deadline) async -> ExitStatus? {
        guard let child else { return nil }
        let loop = loop
        // Cancelled below.
        let enforcer = Task(executorPreference: loop) {
            await loop.sleep(until: deadline)
            if !Task.isCancelled { await self.signal(SIGKILL) }
        }
        let status = await child.waitForExit()
        enforcer.cancel()
        return status
    }

    /// Kills the process if it still runs, waits for its end and lets go of its output.
    package func kill() async {
        child?.signal(SIGKILL)
        _ = await child?.waitForExit()
        output?.close()
        output = nil
    }

    /// The end of what it has written to standard error.
    nonisolated package func log(bytesMax: Int = 4_096) -> String {
        do throws(SystemError) {
            var reader = try FileReader(path: logPath)
            return String(decoding: try reader.readAll(bytesMax: 64 << 20).suffix(bytesMax), as: UTF8.self)
        } catch {
            return "no log: \(error)"
        }
    }
}
