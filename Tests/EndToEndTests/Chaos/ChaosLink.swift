import Reactor
import TestSupport

/// The network between the services and a PostgreSQL: passes bytes on until it is told not to.
///
/// Losing nothing but an answer makes what is hardest to get right: a commit that nobody has heard of.
actor ChaosLink {
    private enum State {
        case open
        /// What PostgreSQL answers is lost.
        case deaf
        /// Nothing passes, and nobody gets through.
        case cut
    }

    /// What ends in a message like this: the outcome is in the answer to it, or is this answer.
    enum Ending: String, CaseIterable, Sendable {
        /// The applier's COMMIT: its completion, and ReadyForQuery.
        case commit = "COMMIT\0Z\0\0\0\u{5}I"
        /// A prepared insert: its Sync.
        case insert = "S\0\0\0\u{4}"
        /// A COPY: its CopyDone.
        case copy = "c\0\0\0\u{4}"
    }

    private struct Pair {
        let client: ByteStream
        let server: ByteStream
    }

    nonisolated let port: UInt16
    private let listener: Listener
    private let socketPath: String
    private let loop: EventLoop
    private var state = State.open
    /// What is to get no answer, or be none.
    private var awaited: Set<Ending> = []
    /// The pair of which no more answers pass.
    private var silenced: Int?
    private var pairs: [Int: Pair] = [:]
    private var pairsMade = 0
    private var accepting: Task<Void, Never>?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Listens on a port of its own, before the server at `socketPath`.
    ///
    /// On the loop.
    init(to socketPath: String, on loop: EventLoop) throws {
        let socket = try ListeningSocket(host: "127.0.0.1", port: 0, reusePort: false, backlog: 128)
        listener = try Listener(socket, on: loop)
        port = listener.address.port
        self.socketPath = socketPath
        self.loop = loop
    }

    func start() {
        // Ended by close().
        accepting = Task(executorPreference: loop) { await self.accept() }
    }

    func close() async {
        listener.close()
        await accepting?.value
        closePairs()
    }

    // MARK: Faults

    /// Loses what PostgreSQL answers for a while, and then the connections.
    func loseAnswers(for pause: Duration) async {
        state = .deaf
        await loop.sleep(for: pause)
        closePairs()
        state = .open
    }

    /// Loses the answer that tells the outcome of the next that ends like this, and the connection with it:
    /// it has been done, and nobody has heard of it.
    func loseOutcome(of ending: Ending) { awaited.insert(ending) }

    /// Loses the connections, and lets no other through for a while.
    func part(for pause: Duration) async {
        state = .cut
        closePairs()
        await loop.sleep(for: pause)
        state = .open
    }

    private func closePairs() {
        for pair in pairs.values {
            pair.client.close()
            pair.server.close()
        }
        pairs = [:]
    }

    // MARK: Relaying

    private func accept() async {
        do throws(StreamError) {
            while true {
                let client = try await listener.accept().stream
                if state == .cut {
                    client.close()
                    continue
                }
                // Ends with the connection.
                Task(executorPreference: loop) { await self.relay(client) }
            }
        } catch {}
    }

    private func relay(_ client: ByteStream) async {
        let server: ByteStream
        do throws(StreamError) {
            server = try await ByteStream.connect(path: socketPath, on: loop, deadline: .after(.seconds(5)))
        } catch {
            // Like a server that is not there.
            client.close()
            return
        }
        pairsMade += 1
        let number = pairsMade
        pairs[number] = Pair(client: client, server: server)
        async let requests: Void = pump(number, from: client, to: server, isAnswer: false)
        await pump(number, from: server, to: client, isAnswer: true)
        // Whoever hangs up ends it for both, as with a process that dies.
        client.close()
        server.close()
        await requests
        pairs[number] = nil
    }

    private func pump(_ number: Int, from source: ByteStream, to sink: ByteStream, isAnswer: Bool) async {
        var buffer = ReadBuffer(capacity: 1 << 16)
        do throws(StreamError) {
            while try await source.read(into: &buffer, atMost: 1 << 16, deadline: .never) > 0 {
                let bytes = Array(buffer.bytes[buffer.readable])
                buffer.removeAll()
                if let ending = awaited.first(where: { $0.isAnswer == isAnswer && $0.isEnd(of: bytes) }) {
                    awaited.remove(ending)
                    silenced = number
                }
                if isAnswer, silenced == number { break }
                if isAnswer, state == .deaf { continue }
                try await sink.write(bytes, deadline: .never)
            }
        } catch {}
        source.close()
        sink.close()
    }
}

extension ChaosLink.Ending {
    fileprivate var isAnswer: Bool { self == .commit }

    fileprivate func isEnd(of bytes: [UInt8]) -> Bool {
        bytes.suffix(rawValue.utf8.count).elementsEqual(rawValue.utf8)
    }
}
