import HTTP
import Reactor

/// The bytes of one connection, both ways: what has come and is not used up, what is to go and has not gone.
///
/// Shared by the connection and its body reader, on their loop.
final class ConnectionIO {
    let stream: ByteStream
    let limits: HTTPLimits
    var input = ReadBuffer(capacity: 0)
    var output: [UInt8] = []
    /// Whether the server stops: an answer that would go on without end is to end.
    var isDraining = false
    /// Bytes of the answer that was begun last.
    var answerBytes = 0
    /// Answers in `output`.
    private var answers = 0
    private let pool: BufferPool
    let metrics: ServerMetrics
    private var share: MemoryShare
    /// Of an answer that is being written and no longer in `output`.
    private var sendingBytes = 0
    /// Of a body that is held whole.
    private var bodyBytes = 0
    /// Of what compresses a streamed answer.
    private var coderBytes = 0

    /// Bytes worked on since the others of the loop had their turn.
    private var unshared = 0

    /// A read asks for this much; at first for what a pooled buffer has room for, and for
    /// `HTTPLimits.readChunkBytes` from a client that keeps it full.
    private var readBytes = BufferPool.bufferBytes

    init(stream: ByteStream, context: ConnectionContext, pool: BufferPool) {
        self.stream = stream
        self.pool = pool
        limits = context.limits
        metrics = context.metrics
        share = MemoryShare(of: context.load, bytesMax: context.limits.bufferedBytesMax)
    }

    /// Reads once, waiting until `deadline`; 0 is the end of the stream.
    func fill(until deadline: Deadline) async -> Result<Int, StreamError> {
        do throws(StreamError) {
            if !output.isEmpty { try await flush() }
        } catch {
            // Not the reader's deadline: a client that does not take its answers gets no further ones.
            stream.close()
            return .failure(.closed)
        }
        do throws(StreamError) {
            let count = try await stream.read(into: &input, atMost: readBytes, deadline: deadline)
            if count > 0 { noteRead(count) }
            return .success(count)
        } catch {
            return .failure(error)
        }
    }

    /// Reads what is there, once.
    func tryFill() throws(StreamError) -> ReadOutcome {
        if input.bytes.isEmpty, stream.isReadable { input = pool.takeInput() }
        let outcome = try stream.tryRead(into: &input, atMost: readBytes)
        if case .bytes(let count) = outcome { noteRead(count) }
        return outcome
    }

    // MARK: Fairness

    /// Has the others of the loop go first: after so much work, a client that keeps its socket full would
    /// otherwise never let go of the loop.
    func makeWay() async {
        unshared = 0
        await stream.loop.nextTurn()
    }

    /// Counts bytes that were worked on; `true` when it is time to make way.
    func isDue(after bytes: Int) -> Bool {
        unshared += bytes
        return unshared >= limits.turnBytesMax
    }

    // MARK: Writing

    /// Asks a client that waits for it to send the body (RFC 9110 10.1.1).
    func invite() async -> Result<Void, StreamError> {
        do throws(StreamError) {
            if input.isEmpty {
                ResponseHead.appendContinue(to: &output)
                try await flush()
            }
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Counts an answer in the output; `true` when it is to be written before another request is read.
    func noteAnswer() -> Bool {
        answers += 1
        if answers < limits.pipelinedMax { return output.count >= limits.readChunkBytes }
        metrics.reached(.pipelined)
        return true
    }

    /// Writes the pending output.
    func flush() async throws(StreamError) {
        let pending = output
        output = []
        answers = 0
        try await send(pending)
    }

    /// Writes all of `bytes`, however slowly the client reads, but for one that reads next to nothing: the
    /// timeout is for each `readChunkBytes` of them.
    func send(_ bytes: [UInt8]) async throws(StreamError) {
        var written = 0
        var mark = 0
        var deadline = Deadline.never
        defer { noteSent() }
        while written < bytes.count {
            written += try stream.tryWrite(bytes, from: written)
            if written == bytes.count { return }
            if written >= mark {
                mark = written + limits.readChunkBytes
                deadline = .after(limits.writeTimeout)
            }
            if sendingBytes == 0 {
                sendingBytes = bytes.count
                countBuffers()
            }
            try await waitForRoom(until: deadline)
        }
    }

    private func waitForRoom(until deadline: Deadline) async throws(StreamError) {
        do throws(StreamError) {
            try await stream.untilWritable(deadline: deadline)
        } catch {
            if error == .timedOut { metrics.reached(.writeTimeout) }
            throw error
        }
    }

    /// Writes of the pending output what the kernel takes at once.
    func flushNow() {
        // The connection's own task will meet the error.
        guard !output.isEmpty, let written = try? stream.tryWrite(output) else { return }
        output.removeFirst(written)
        if output.isEmpty { answers = 0 }
    }

    /// Writes the pending output if the kernel takes it at once, keeping the buffer for the next answer.
    func flushReusing() async throws(StreamError) {
        let written = try stream.tryWrite(output)
        if written < output.count {
            output.removeFirst(written)
            try await flush()
        } else {
            output.removeAll(keepingCapacity: true)
            answers = 0
        }
    }

    /// Gets room for an answer.
    func reserveOutput() {
        if output.capacity == 0 { output = pool.takeOutput() }
    }

    /// Lets go of the buffers: an idle connection holds none.
    func releaseBuffers() {
        var (usedInput, usedOutput) = (ReadBuffer(capacity: 0), [UInt8]())
        swap(&usedInput, &input)
        swap(&usedOutput, &output)
        pool.give(input: usedInput)
        pool.give(output: usedOutput)
        readBytes = BufferPool.bufferBytes
        share.release()
    }

    /// Ends the connection and gives back all that it held.
    func close() {
        stream.close()
        (sendingBytes, bodyBytes, coderBytes) = (0, 0, 0)
        releaseBuffers()
    }

    // MARK: Memory

    private var heldBytes: Int { input.bytes.count + output.capacity + sendingBytes + bodyBytes + coderBytes }

    /// Counts the buffers as they are now.
    func countBuffers() { share.hold(heldBytes) }

    /// Counts a body of so many bytes; `false` when there is no memory left for it.
    func holdBody(_ bytes: Int) -> Bool {
        guard share.tryHold(heldBytes - bodyBytes + bytes) else {
            metrics.reached(.bufferedBytes)
            return false
        }
        bodyBytes = bytes
        return true
    }

    /// Counts what compresses a streamed answer; `false` when there is no memory left for it.
    func holdCoder() -> Bool {
        guard share.tryHold(heldBytes + GzipStream.stateBytes) else {
            metrics.reached(.bufferedBytes)
            return false
        }
        coderBytes = GzipStream.stateBytes
        return true
    }

    /// Gives back what compressed a streamed answer.
    func releaseCoder() {
        if coderBytes == 0 { return }
        coderBytes = 0
        countBuffers()
    }

    /// Gives back what the body held.
    func releaseBody() {
        if bodyBytes == 0 { return }
        bodyBytes = 0
        countBuffers()
    }

    /// Counts what a read has brought, and makes room for larger ones if the client fills them and there is
    /// memory for it.
    private func noteRead(_ count: Int) {
        if count == readBytes, readBytes < limits.readChunkBytes,
            share.tryHold(heldBytes + limits.readChunkBytes)
        {
            readBytes = limits.readChunkBytes
        } else {
            countBuffers()
        }
    }

    private func noteSent() {
        if sendingBytes == 0 { return }
        sendingBytes = 0
        countBuffers()
    }
}
