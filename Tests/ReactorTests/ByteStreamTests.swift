import Reactor
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct `Byte stream` {
    /// Two ends of a TCP connection on loopback.
    private static func withPair(
        _ body: @escaping @Sendable (ByteStream, ByteStream, EventLoop) async throws -> Void
    ) async throws {
        try await withLoop { loop in
            let listener = try Listener(
                ListeningSocket(host: "127.0.0.1", port: 0, reusePort: false, backlog: 16),
                on: loop
            )
            defer { listener.close() }
            let client = try await ByteStream.connect(
                host: "127.0.0.1",
                port: listener.address.port,
                on: loop,
                deadline: .after(.seconds(10))
            )
            let accepted = try await listener.accept()
            #expect(accepted.peer.isLoopback)
            defer {
                client.close()
                accepted.stream.close()
            }
            try await body(client, accepted.stream, loop)
        }
    }

    @Test func `carries more than the kernel holds, both ways`() async throws {
        try await Self.withPair { client, server, loop in
            let sent = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let writing = Task(executorPreference: loop) {
                try await client.write(sent, deadline: .never)
            }

            var received: [UInt8] = []
            var buffer = ReadBuffer(capacity: 64)
            while received.count < sent.count {
                _ = try await server.read(into: &buffer, atMost: 70_000, deadline: .never)
                received += buffer.bytes[buffer.readable]
                buffer.removeAll()
            }

            try await writing.value
            #expect(received == sent)
        }
    }

    @Test func `reports the end of the stream`() async throws {
        try await Self.withPair { client, server, _ in
            try await client.write([1], deadline: .never)
            client.shutdownWrites()

            var buffer = ReadBuffer(capacity: 8)
            #expect(try await server.read(into: &buffer, atMost: 8, deadline: .never) == 1)
            #expect(try await server.read(into: &buffer, atMost: 8, deadline: .never) == 0)
        }
    }

    @Test func `gives up at the deadline, and serves again afterwards`() async throws {
        try await Self.withPair { client, server, _ in
            var buffer = ReadBuffer(capacity: 8)
            await #expect(throws: StreamError.timedOut) {
                var unused = ReadBuffer(capacity: 8)
                _ = try await server.read(into: &unused, atMost: 8, deadline: .after(.milliseconds(5)))
            }

            try await client.write([7], deadline: .never)
            #expect(try await server.read(into: &buffer, atMost: 8, deadline: .never) == 1)
        }
    }

    @Test func `resumes a waiting reader when it is closed`() async throws {
        try await Self.withPair { _, server, loop in
            let waiting = Task(executorPreference: loop) {
                do throws(StreamError) { try await server.untilDrained() } catch {
                    return error as StreamError?
                }
                return nil
            }
            await Task.yield()
            loop.post { server.close() }

            #expect(await waiting.value == .closed)
        }
    }

    /// The kernel announces data and end in one event; a short read of the data must not wait for another.
    @Test func `sees an end that was announced together with the last bytes`() async throws {
        try await Self.withPair { client, server, loop in
            var buffer = ReadBuffer(capacity: 64)
            let arrived = Task(executorPreference: loop) { try await server.untilReadable(deadline: .never) }
            await #expect(throws: StreamError.timedOut) {
                var unused = ReadBuffer(capacity: 8)
                _ = try await client.read(into: &unused, atMost: 8, deadline: .after(.milliseconds(1)))
            }
            try await client.write([1, 2, 3], deadline: .never)
            client.shutdownWrites()
            try await arrived.value

            #expect(try await server.read(into: &buffer, atMost: 64, deadline: .never) == 3)
            #expect(try await server.read(into: &buffer, atMost: 64, deadline: .never) == 0)
        }
    }

    @Test func `refuses a connection to a port that nobody listens on`() async throws {
        try await withLoop { loop in
            let listener = try Listener(
                ListeningSocket(host: "127.0.0.1", port: 0, reusePort: false, backlog: 1),
                on: loop
            )
            let port = listener.address.port
            listener.close()

            await #expect(throws: StreamError.self) {
                _ = try await ByteStream.connect(host: "127.0.0.1", port: port, on: loop, deadline: .never)
            }
        }
    }

    @Test func `drops the events of a descriptor whose number was reused`() async throws {
        try await withLoop { loop in
            for round in 0..<50 {
                let (reader, writer) = try streams(of: Reactor.Pipe(), on: loop)
                try await writer.write([UInt8(round)], deadline: .never)
                var buffer = ReadBuffer(capacity: 4)
                #expect(try await reader.read(into: &buffer, atMost: 4, deadline: .never) == 1)
                #expect(buffer.bytes[0] == UInt8(round))
                writer.close()
                reader.close()
            }
        }
    }
}

extension ByteStream {
    fileprivate func untilDrained() async throws(StreamError) {
        var buffer = ReadBuffer(capacity: 8)
        while try await read(into: &buffer, atMost: 8, deadline: .never) > 0 { buffer.removeAll() }
    }
}

@Suite struct `Read buffer` {
    @Test func `keeps what was appended and not used up, whatever the order`() {
        for seed in 0..<100 as Range<UInt64> {
            var random = SplitMix(seed: seed)
            var buffer = ReadBuffer(capacity: Int(random.next() % 16))
            var model: [UInt8] = []
            for _ in 0..<200 {
                if random.next() % 2 == 0 {
                    let more = (0..<random.next() % 20).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                    buffer.append(more)
                    model += more
                } else {
                    let count = Int(random.next() % UInt64(model.count + 1))
                    buffer.consume(count)
                    model.removeFirst(count)
                }
                #expect(Array(buffer.bytes[buffer.readable]) == model, "seed \(seed)")
            }
        }
    }
}

@Suite struct `Socket address` {
    @Test func `knows loopback in each of its forms`() {
        #expect(SocketAddress.v4(address: 0x7F01_0203, port: 1).isLoopback)
        #expect(SocketAddress.v6(high: 0, low: 1, port: 1).isLoopback)
        #expect(SocketAddress.v6(high: 0, low: 0xFFFF_7F00_0001, port: 1).isLoopback)
        #expect(!SocketAddress.v4(address: 0x0A00_0001, port: 1).isLoopback)
        #expect(!SocketAddress.v6(high: 0, low: 0xFFFF_0A00_0001, port: 1).isLoopback)
        #expect(!SocketAddress.v6(high: 0x2001_0DB8_0000_0000, low: 1, port: 1).isLoopback)
    }

    @Test func `is spelled as people write it`() {
        #expect("\(SocketAddress.v4(address: 0x7F00_0001, port: 80))" == "127.0.0.1:80")
        #expect("\(SocketAddress.v6(high: 0, low: 1, port: 8080))" == "[::1]:8080")
    }
}
