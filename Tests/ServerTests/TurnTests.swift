import HTTP
import Reactor
import Server
import Synchronization
import TestSupport
import Testing

/// Which handlers have done their work, in order.
private final class Order: Sendable {
    private let names = Mutex<[String]>([])

    var all: [String] { names.withLock { $0 } }

    func add(_ name: String) { names.withLock { $0.append(name) } }
}

/// Long work of one connection, in the middle of which another one's request arrives on the same loop.
@Suite(.timeLimit(.minutes(2))) struct `Turns of connections` {
    private static let get = Array("GET /other HTTP/1.1\r\nHost: x\r\n\r\n".utf8)

    /// Runs `long`, which is to call its closure once in its midst; returns who was done first.
    private static func order(
        _ routes: @escaping @Sendable (inout Router, Order, @escaping @Sendable () -> Void) -> Void,
        _ configure: @escaping @Sendable (inout HTTPServerConfiguration) -> Void = { _ in },
        request: [UInt8]
    ) async throws -> [String] {
        let order = Order()
        let other = Mutex<ByteStream?>(nil)
        try await withServer(
            configure,
            routes: { router in
                router.add(.get, "/other", for: .anyone) { _, _ in
                    order.add("other")
                    return Response(bytes: [])
                }
                // On the loop: the bytes are in the other connection's socket when this returns.
                routes(&router, order) {
                    let written = other.withLock { try? $0?.tryWrite(Self.get) }
                    #expect(written == Self.get.count)
                }
            }
        ) { server in
            let client = try await server.connect()
            let second = try await server.connect()
            defer {
                client.close()
                second.close()
            }
            // Both are waited for by the server now.
            try await second.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await second.answer().status == 200)
            other.withLock { $0 = second.stream }
            try await client.send(request)
            #expect(try await client.answer().status == 200)
            #expect(try await second.answer().status == 200)
        }
        return order.all
    }

    /// All of it is in the server's socket or buffers, so that it never waits for more.
    @Test(arguments: [true, false])
    func `come within a body that inflates to a lot, streamed or whole`(isStreamed: Bool) async throws {
        let plain = 24 << 20
        let body = Deflater.compress([UInt8](repeating: 0x61, count: plain), .gzip)
        let coding = "Content-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n"
        let head = "POST /long HTTP/1.1\r\nHost: x\r\n" + coding
        let order = try await Self.order(
            { router, order, arrive in
                router.add(.post, "/long", for: .anyone) { _, body in
                    var piece: [UInt8] = []
                    _ = try? await body.next(into: &piece)
                    var count = piece.count
                    arrive()
                    if isStreamed {
                        piece.removeAll(keepingCapacity: true)
                        while (try? await body.next(into: &piece)) == true {
                            count += piece.count
                            piece.removeAll(keepingCapacity: true)
                        }
                    } else {
                        count += (try? await body.collect(atMost: 32 << 20))?.count ?? 0
                    }
                    #expect(count == plain)
                    order.add("long")
                    return Response(bytes: [])
                }
            },
            { $0.inflation.ratioMax = 2_000 },
            request: Array(head.utf8) + body
        )
        #expect(order == ["other", "long"])
    }

    @Test func `come within an answer that compresses to little`() async throws {
        let order = try await Self.order(
            { router, order, arrive in
                router.add(.get, "/long", for: .anyone) { _, _ in
                    Response(contentType: "text/csv") { writer throws(StreamError) in
                        arrive()
                        try await writer.write([UInt8](repeating: 0x61, count: 4 << 20))
                        order.add("long")
                    }
                }
            },
            request: Array("GET /long HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".utf8)
        )
        #expect(order == ["other", "long"])
    }
}
