import HTTP
import Testing

@Suite struct `An IP address` {
    private func address(_ text: String) -> IPAddress? { IPAddress(Array(text.utf8).span) }

    @Test func `is read in each of its forms`() {
        #expect(address("203.0.113.9") == .v4(0xCB00_7109))
        #expect(address("0.0.0.0") == .v4(0) && address("255.255.255.255") == .v4(.max))
        #expect(address("::") == .v6(high: 0, low: 0) && address("::1") == .v6(high: 0, low: 1))
        #expect(address("1::") == .v6(high: 1 << 48, low: 0))
        #expect(address("2001:db8::7") == .v6(high: 0x2001_0DB8_0000_0000, low: 7))
        #expect(
            address("2001:DB8:1:2:3:4:5:6") == .v6(high: 0x2001_0DB8_0001_0002, low: 0x0003_0004_0005_0006)
        )
        #expect(address("1:2:3:4:5:6:7::") == address("1:2:3:4:5:6:7:0"))
        #expect(address("::ffff:10.0.0.1") == .v6(high: 0, low: 0xFFFF_0A00_0001))
        #expect(address("::ffff:10.0.0.1")?.unmapped == .v4(0x0A00_0001))
        #expect(address("1:2:3:4:5:6:10.0.0.1") == address("1:2:3:4:5:6:a00:1"))
    }

    @Test func `is nothing else`() {
        for text in [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.", ".1.2.3",
            "1.2.3.4 ",
            "1..2.3", "1.2.3.4:80", "0x1.2.3.4", "1234.1.1.1", ":", ":::", "1:", ":1", "1::2::3",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::",
            "[::1]", "fe80::1%eth0", "1.2.3.4::", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4", "::1:",
        ] {
            #expect(address(text) == nil, "\(text)")
        }
    }

    @Test func `is in a network that has its first bits`() {
        func holds(_ network: String, _ text: String) -> Bool? {
            guard let address = address(text) else { return nil }
            return IPNetwork(network)?.contains(address)
        }
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"), ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"), ("::/0", "1::", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8::1", "2001:db8:8000::"),
            ("2001:db8::/96", "2001:db8::1.2.3.4", "2001:db8::1:0:0"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::7f00:1"),
            ("::1", "::1", "::2"), ("10.0.0.0/31", "10.0.0.1", "10.0.0.2"),
        ] {
            #expect(holds(network, inside) == true, "\(network) \(inside)")
            #expect(holds(network, outside) == false, "\(network) \(outside)")
        }
        for text in [
            "", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::1/129", "::1/64", "/8", "a",
        ] {
            #expect(IPNetwork(text) == nil, "\(text)")
        }
    }
}

@Suite struct `A Forwarded field` {
    private func nodes(_ text: String) -> [ForwardedNode]? { ForwardedNode.forwarded(Array(text.utf8).span) }

    private let first = ForwardedNode.address(.v4(0xC000_023C))
    private let second = ForwardedNode.address(.v6(high: 0x2001_0DB8_CAFE_0000, low: 0x17))

    @Test func `names a node for each proxy, in order`() {
        #expect(nodes("") == [])
        #expect(nodes("for=192.0.2.60") == [first])
        #expect(nodes("For=\"192.0.2.60\"") == [first])
        #expect(nodes("for=\"192.0.2.60:4711\"; proto=http ;by=203.0.113.43") == [first])
        #expect(nodes("for=\"192.0.2.60:_port\"") == [first])
        #expect(nodes("for=\"[2001:db8:cafe::17]:4711\"") == [second])
        #expect(nodes("for=\"[2001:db8:cafe::17]\"") == [second])
        #expect(nodes(" proto=https;for=192.0.2.60 ,, For=\"[2001:db8:cafe::17]\" ,") == [first, second])
        #expect(
            nodes("for=unknown, for=_hidden, for=\"_x:_y\", by=192.0.2.60;host=\"a,b;c\"") == [
                .hidden, .hidden, .hidden, .hidden,
            ]
        )
        #expect(nodes("for=\"\\192.0.2.6\\0\"") == [first])
        #expect(nodes("for=192.0.2.60;;host=x;") == [first])
    }

    @Test func `that breaks the grammar counts as a whole`() {
        for text in [
            "192.0.2.60", "for", "for=", "=x", "for =192.0.2.60", "for= 192.0.2.60", "for=192.0.2.60:80",
            "for=[2001:db8:cafe::17]", "for=\"2001:db8:cafe::17\"", "for=\"[192.0.2.60]\"", "for=\"\"",
            "for=\"192.0.2.60", "for=192.0.2.60;for=192.0.2.60", "for=\"192.0.2.60:\"",
            "for=\"192.0.2.60:x\"",
            "for=\"192.0.2.60:123456\"", "for=\"[::1]x\"", "for=\"[::1\"", "for=localhost", "for=_",
            "for=\"_ä\"",
            "for=\"192.0.2.60\"x", "for=\"192.0.2.60\\\"", "for=192.0.2.60, x",
            // A client's open quote, into which a proxy's own words fall.
            "for=127.0.0.1;x=\", for=192.0.2.60", "for=127.0.0.1;x=\", for=\"[2001:db8:cafe::17]\"",
        ] {
            #expect(nodes(text) == nil, "\(text)")
        }
    }

    @Test func `of the older kind is a list of addresses`() {
        func nodes(_ text: String) -> [ForwardedNode] { ForwardedNode.forwardedFor(Array(text.utf8).span) }
        #expect(nodes("") == [])
        #expect(nodes("192.0.2.60, 2001:db8:cafe::17") == [first, second])
        #expect(
            nodes("192.0.2.60:4711,[2001:db8:cafe::17]:80,[2001:db8:cafe::17]") == [first, second, second]
        )
        #expect(
            nodes("nobody, unknown, \"192.0.2.60\", 1.2.3, 192.0.2.60") == [
                .hidden, .hidden, .hidden, .hidden, first,
            ]
        )
        #expect(nodes("\", 192.0.2.60") == [.hidden, first])
    }
}
