import Glibc
import Reactor
import Synchronization

/// Keeps a ``SendState`` in a file that survives a kill and a crash at any moment.
///
/// It has a loop of its own, because it waits for the disk. What is acknowledged while it does is written
/// together the next time, so that there is one write at a time, however many chunks come in.
actor SendStateFile {
    private struct Latest: Sendable {
        var state: SendState
        /// Whether a write is to come that will contain it.
        var isScheduled = false
    }

    private let loop: EventLoop
    private let file: ReplacedFile
    /// Two runs that wrote the same file would each forget what the other has sent.
    private let lock: FileLock
    private let report: @Sendable (String) -> Void
    private let latest: Mutex<Latest>
    /// Why the file does not have the latest.
    private var failure: SystemError?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Reads the file at `path`, or makes it, for sending to `server`.
    ///
    /// - Throws: a failure when it cannot be read or written, is damaged, belongs to another server, or is in
    ///   use by another run.
    init(
        path: String,
        server: String,
        report: @escaping @Sendable (String) -> Void,
        on loop: EventLoop
    ) throws(CommandFailure) {
        let file = ReplacedFile(path: path)
        func failing<Value: ~Copyable>(
            _ body: () throws(SystemError) -> Value
        ) throws(CommandFailure) -> Value {
            do throws(SystemError) { return try body() } catch { throw Self.failure(error, path) }
        }
        lock = try failing { () throws(SystemError) in try FileLock(path: file.path + ".lock") }
        let text = try failing { () throws(SystemError) in try file.read(bytesMax: SendState.bytesMax) }
        let state = try text.map { text throws(CommandFailure) in
            try Self.state(in: text, of: server, path)
        }
        let present = state ?? SendState(server: server)
        // So that nothing is sent that could not be remembered.
        try failing { () throws(SystemError) in try file.replace(with: present.text) }
        latest = Mutex(Latest(state: present))
        self.file = file
        self.report = report
        self.loop = loop
    }

    private static func failure(_ error: SystemError, _ path: String) -> CommandFailure {
        if error == SystemError(call: "flock", code: EWOULDBLOCK) {
            return CommandFailure("send: \(path): another run uses it")
        }
        return CommandFailure("send: \(path): \(error)")
    }

    private static func state(
        in text: [UInt8],
        of server: String,
        _ path: String
    ) throws(CommandFailure) -> SendState {
        let state: SendState
        do throws(SendState.Malformation) {
            state = try SendState(text)
        } catch {
            let reason =
                switch error {
                case .damaged: "it is damaged, or no file of --state; remove it to send everything again"
                case .unknownVersion(let version): "a later millrace wrote it (version \(version))"
                }
            throw CommandFailure("send: \(path): \(reason)")
        }
        if state.server == server { return state }
        throw CommandFailure(
            Exit.usage,
            "send: \(path): it is about \(state.server), which is not \(server); name another file"
        )
    }

    /// What earlier runs have had acknowledged, and this one so far.
    nonisolated var state: SendState { latest.withLock { $0.state } }

    /// Remembers that a file is acknowledged up to there; soon, and without waiting for it.
    nonisolated func note(_ position: LinePosition, of path: String) {
        let isFirst = latest.withLock { latest in
            latest.state.acknowledge(position, of: path)
            defer { latest.isScheduled = true }
            return !latest.isScheduled
        }
        // Ends with one write.
        if isFirst { Task(executorPreference: loop) { await self.write() } }
    }

    /// Writes what is not written yet.
    ///
    /// - Returns: Whether the file has everything.
    func finish() -> Bool {
        if latest.withLock({ $0.isScheduled }) || failure != nil { write() }
        return failure == nil
    }

    private func write() {
        let state = latest.withLock { latest in
            latest.isScheduled = false
            return latest.state
        }
        do throws(SystemError) {
            try file.replace(with: state.text)
            failure = nil
        } catch {
            // The events are safe, so the sending goes on; the next acknowledgement tries again.
            if failure != error { report("\(file.path): \(error); what is acknowledged is not remembered") }
            failure = error
        }
    }
}
