import Glibc
import Reactor

/// One child and its three pipes: requests out, replies in, and its standard output and error.
///
/// Belongs to its ``WorkerPool`` and is used on the pool's loop only. It knows bytes and frames, and nothing
/// of jobs. Whoever lets it go has called ``close()``.
final class WorkerProcess {
    let slot: Int
    let generation: Int
    let child: ChildProcess
    let startedAt: Deadline
    private let requests: ByteStream
    private let replies: ByteStream
    private let output: ByteStream
    private let encoder: FrameEncoder
    private let limits: WorkerLimits
    private var decoder: FrameDecoder
    private(set) var hasHandshake = false
    private var input = ReadBuffer(capacity: 0)
    /// What the worker said first, for the log if it is not AWP/1 (a traceback, as a rule).
    private(set) var firstBytes: [UInt8] = []
    private var log: WorkerLog
    private var logInput = ReadBuffer(capacity: 0)
    /// Frames that the pipe has not taken yet, from `outboxStart` on.
    private var outbox: [UInt8] = []
    private var outboxStart = 0
    /// Whether the pipe takes nothing any more: the worker is gone, or about to be.
    private(set) var isDeaf = false
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []

    private static let firstBytesMax = 200
    /// An outbox up to this size is kept between frames, for jobs of a thousand events.
    private static let outboxBytesKept = 1 << 20

    /// Starts the child; on the loop.
    init(
        slot: Int,
        generation: Int,
        configuration: WorkerPoolConfiguration,
        loop: EventLoop
    ) throws(SystemError) {
        let requests = try WorkerPipe(.toChild, on: loop)
        let replies = try WorkerPipe(.fromChild, on: loop, closingOnFailure: [requests.ours])
        let output = try WorkerPipe(.fromChild, on: loop, closingOnFailure: [requests.ours, replies.ours])
        var inherited: [CInt: CInt] = [1: output.theirs.raw, 2: output.theirs.raw]
        inherited[configuration.usesStandardStreams ? 0 : 3] = requests.theirs.raw
        inherited[configuration.usesStandardStreams ? 1 : 4] = replies.theirs.raw
        let launch = configuration.launch(slot: slot, generation: generation)
        do throws(SystemError) {
            child = try ChildProcess.spawn(launch, inherited: inherited, on: loop)
        } catch {
            for stream in [requests.ours, replies.ours, output.ours] { stream.close() }
            throw error
        }
        self.slot = slot
        self.generation = generation
        startedAt = .now()
        self.requests = requests.ours
        self.replies = replies.ours
        self.output = output.ours
        limits = configuration.limits
        encoder = FrameEncoder(bodyBytesMax: limits.frames.bodyBytesMax)
        // Until the handshake nothing longer than a HELLO_OK is taken.
        var first = limits.frames
        first.bodyBytesMax = min(first.bodyBytesMax, limits.helloBytesMax)
        decoder = FrameDecoder(limits: first)
        log = WorkerLog(limits: limits.log)
        // The child's ends close here: a copy that we kept would hide the child's end from us. Without these
        // lines Swift 6.3.1 closed the first pipe's alone (seen with strace), and every exit was noticed a
        // second late.
        withExtendedLifetime(requests) {}
        withExtendedLifetime(replies) {}
        withExtendedLifetime(output) {}
    }

    /// Closes all pipes; the reads that wait end.
    func close() {
        requests.close()
        discardOutbox()
        closeReplies()
        output.close()
    }

    /// Ends the reading, after which the worker's writes fail.
    func closeReplies() {
        replies.close()
    }

    // MARK: Signals

    /// Whether it has said something that makes no sense; nothing more of it is read.
    var isDistrusted = false

    func terminate() {
        if child.exitStatus == nil { child.signalGroup(SIGTERM) }
    }

    /// To the group and to the process itself, which may be so young that it has no group of its own yet.
    func kill() {
        guard child.exitStatus == nil else { return }
        child.signalGroup(SIGKILL)
        child.signal(SIGKILL)
    }

    /// Kills what the process has left behind in its group.
    ///
    /// Right after the exit: later, the number may be another's.
    func killOrphans() {
        child.signalGroup(SIGKILL)
    }

    // MARK: Requests

    /// What became of a frame that was to be sent.
    enum Sending: Equatable {
        case sent
        /// The pipe is full: ``flush()`` sends the rest.
        case waiting
        /// The worker no longer reads; its exit will be seen elsewhere.
        case gone
    }

    /// Sends a frame, or as much of it as the pipe takes now.
    func send(_ frame: Frame) -> Sending {
        let isBehind = outboxStart < outbox.count
        encoder.append(frame, to: &outbox)
        // Whoever was told to wait is flushing already.
        if isBehind { return .sent }
        do throws(StreamError) {
            outboxStart += try requests.tryWrite(outbox, from: outboxStart)
        } catch {
            isDeaf = true
            discardOutbox()
            return .gone
        }
        if outboxStart < outbox.count { return .waiting }
        discardOutbox()
        return .sent
    }

    /// Sends the rest, as the worker reads it; `false` when it no longer does.
    ///
    /// One call at a time.
    @discardableResult
    func flush() async -> Bool {
        do throws(StreamError) {
            while outboxStart < outbox.count {
                try await requests.untilWritable(deadline: .never)
                outboxStart += try requests.tryWrite(outbox, from: outboxStart)
            }
        } catch {
            isDeaf = true
            discardOutbox()
            return false
        }
        discardOutbox()
        return true
    }

    /// Returns when the pipe has taken all that was sent, or takes nothing any more.
    func drained() async {
        if outboxStart == outbox.count { return }
        await withCheckedContinuation { continuation in
            if outboxStart == outbox.count {
                continuation.resume()
            } else {
                drainWaiters.append(continuation)
            }
        }
    }

    private func discardOutbox() {
        let waiters = drainWaiters
        drainWaiters = []
        defer { for waiter in waiters { waiter.resume() } }
        outboxStart = 0
        // The one big frame of a big job must not stay allocated for the worker's life.
        outbox.removeAll(keepingCapacity: outbox.capacity <= Self.outboxBytesKept)
    }

    // MARK: Replies

    /// What reading replies gave.
    enum Reading {
        case frames([Frame])
        /// The stream has ended; `isTruncated` inside a frame.
        case end(isTruncated: Bool)
        case violation(FrameError)
    }

    /// Waits for bytes and returns the messages that they complete (none, often).
    func read() async -> Reading {
        let count: Int
        do throws(StreamError) {
            count = try await replies.read(into: &input, atMost: limits.readChunkBytes, deadline: .never)
        } catch {
            return .end(isTruncated: false)
        }
        if count == 0 {
            do throws(FrameError) {
                try decoder.finish()
                return .end(isTruncated: false)
            } catch {
                return .end(isTruncated: true)
            }
        }
        keepFirstBytes()
        // A worker that never pauses must not keep the loop to itself.
        if count == limits.readChunkBytes { await Task.yield() }
        return decode()
    }

    /// Bounds frames as negotiated from now on.
    func shakeHands() {
        decoder.limits = limits.frames
        firstBytes = []
        hasHandshake = true
    }

    private func keepFirstBytes() {
        let room = Self.firstBytesMax - firstBytes.count
        if !hasHandshake, room > 0 { firstBytes += input.bytes[input.readable].prefix(room) }
    }

    private func decode() -> Reading {
        var frames: [Frame] = []
        do throws(FrameError) {
            while let frame = try decoder.next(from: &input) { frames.append(frame) }
        } catch {
            return .violation(error)
        }
        return .frames(frames)
    }

    // MARK: Log

    /// Waits for standard output or error and returns the lines to forward; `nil` at its end.
    func readLog() async -> [String]? {
        let count: Int
        do throws(StreamError) {
            count = try await output.read(into: &logInput, atMost: limits.readChunkBytes, deadline: .never)
        } catch {
            count = 0
        }
        if count == 0 { return nil }
        if count == limits.readChunkBytes { await Task.yield() }
        let now = Deadline.now().duration(since: startedAt)
        let (bytes, readable) = (logInput.bytes, logInput.readable)
        logInput.removeAll()
        return log.take(bytes.span.extracting(readable), now: now)
    }

    /// Whether one more structured LOG frame may be forwarded in this second.
    func admitsLogFrame() -> Bool {
        let now = Deadline.now().duration(since: startedAt)
        if now - logFrameWindow >= .seconds(1) {
            logFrameWindow = now
            logFrames = 0
        }
        logFrames += 1
        return logFrames <= limits.logFramesPerSecondMax
    }

    private var logFrameWindow = Duration.zero
    private var logFrames = 0

    func lastLogLines() -> [String] { log.finish() }

    func takeDroppedLogBytes() -> Int { log.takeDropped() }

    func logTail(atMost bytes: Int) -> String { log.tail(atMost: bytes) }
}
