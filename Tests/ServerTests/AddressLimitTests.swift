import HTTP
import Reactor
import Server
import Testing

@Suite(.timeLimit(.minutes(2))) struct `Connections of one address` {
    private static let get = "GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test func `beyond their limit get 503, others come in, and there is room again when one ends`()
        async throws
    {
        let metrics = RecordingMetrics()
        try await withServer({ configuration in
            configuration.host = "0.0.0.0"
            configuration.access = AccessControl(isOpen: true)
            configuration.limits.connectionsPerAddressMax = 2
            configuration.metrics = metrics
        }) { server in
            let clients = try await server.connectTogether(5)
            defer { for client in clients { client.close() } }
            var served: [TestClient] = []
            for client in clients {
                try? await client.send(Self.get)
                let answer = try await client.answer()
                if answer.status == 200 {
                    served.append(client)
                    continue
                }
                #expect(answer.status == 503)
                #expect(answer["retry-after"] == "1")
                #expect(answer.member("code") == "too_many_connections")
                #expect(try await client.untilEnd().isEmpty)
            }
            #expect(served.count == 2)
            #expect(metrics.reached("connections_per_address") == 3)
            #expect(metrics.reached("connections") == 0)

            if let outsideAddress {
                let other = try await server.connect(to: outsideAddress)
                defer { other.close() }
                try await other.send(Self.get)
                #expect(try await other.answer().status == 200)
            }

            served[0].close()
            #expect(try await server.comesIn())
        }
    }

    /// As many as the whole server takes.
    @Test func `have no limit of their own unless one is set`() async throws {
        try await withServer { server in
            let clients = try await server.connectTogether(50)
            for client in clients {
                try await client.send(Self.get)
                #expect(try await client.answer().status == 200)
                client.close()
            }
        }
    }

    @Test func `are those of one IPv4 address, or of an IPv6 network`() {
        func v6(_ high: UInt64, _ low: UInt64) -> ClientNetwork {
            ClientNetwork(.v6(high: high, low: low, port: 1))
        }
        let v4 = ClientNetwork(.v4(address: 0x0A00_0001, port: 1))
        #expect(v4 == ClientNetwork(.v4(address: 0x0A00_0001, port: 2)))
        #expect(v4 != ClientNetwork(.v4(address: 0x0A00_0002, port: 1)))
        #expect(v4 == v6(0, 0xFFFF_0A00_0001))
        #expect(v4 != v6(0, 0x0A00_0001))
        #expect(v6(0x2001_0DB8_0000_0001, 1) == v6(0x2001_0DB8_0000_0001, UInt64.max))
        #expect(v6(0x2001_0DB8_0000_0001, 1) != v6(0x2001_0DB8_0000_0002, 1))
    }
}

extension TestServer {
    /// Whether a new connection is answered with 200 before the patience ends.
    ///
    /// The server notices the end of another one in its own time; until then it refuses.
    func comesIn() async throws -> Bool {
        let patience = Self.patience
        while Deadline.now() < patience {
            let client = try await connect()
            defer { client.close() }
            try? await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            if try await client.answer().status == 200 { return true }
        }
        return false
    }
}
