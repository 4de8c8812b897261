import HTTP
import Testing

@Suite struct `A PROXY header` {
    private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    /// A header with these bytes behind its 16.
    private static func header(
        _ command: UInt8,
        _ family: UInt8,
        _ rest: [UInt8],
        length: Int? = nil
    ) -> [UInt8] {
        let length = length ?? rest.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 255)] + rest
    }

    private static let v4: [UInt8] = [203, 0, 113, 9, 10, 0, 0, 1, 0xC0, 0x01, 0x1F, 0x90]
    private static let v6: [UInt8] =
        [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7]
        + [UInt8](repeating: 0, count: 16) + [0x12, 0x34, 0, 80]
    private static let tlvs: [UInt8] = [0x04, 0, 3, 0, 0, 0, 0xE0, 0, 2, 1, 2]

    private static let valid: [(bytes: [UInt8], source: ProxyHeader.Source)] = [
        (header(0x21, 0x11, v4), .address(.v4(0xCB00_7109), port: 0xC001)),
        (header(0x21, 0x11, v4 + tlvs), .address(.v4(0xCB00_7109), port: 0xC001)),
        (header(0x21, 0x12, v4), .address(.v4(0xCB00_7109), port: 0xC001)),
        (header(0x21, 0x21, v6), .address(.v6(high: 0x2001_0DB8_0000_0000, low: 7), port: 0x1234)),
        (header(0x21, 0x21, v6 + tlvs), .address(.v6(high: 0x2001_0DB8_0000_0000, low: 7), port: 0x1234)),
        (header(0x21, 0x31, [UInt8](repeating: 65, count: 216)), .unix),
        (header(0x21, 0x00, []), .proxy),
        (header(0x21, 0x00, tlvs), .proxy),
        (header(0x20, 0x00, []), .proxy),
        // A LOCAL one may carry addresses; they do not count.
        (header(0x20, 0x11, v4), .proxy),
        (header(0x20, 0x11, []), .proxy),
    ]

    @Test func `is read however it is cut, and leaves what follows`() throws {
        for (bytes, source) in Self.valid {
            for count in 0..<bytes.count {
                #expect(try ProxyHeader.parse(bytes.span.extracting(..<count)) == nil, "\(count) of \(bytes)")
            }
            for rest in [[], Array("GET / HTTP/1.1\r\n".utf8)] {
                let header = try #require(try ProxyHeader.parse((bytes + rest).span))
                #expect(header.source == source && header.byteCount == bytes.count)
            }
        }
    }

    @Test func `is refused at its first byte that cannot be`() throws {
        let whole = Self.header(0x21, 0x11, Self.v4)
        func error(_ bytes: [UInt8]) -> ProxyHeaderError? {
            do throws(ProxyHeaderError) { _ = try ProxyHeader.parse(bytes.span) } catch { return error }
            return nil
        }
        for index in 0..<12 {
            var bytes = whole
            bytes[index] ^= 0x20
            #expect(error(Array(bytes[...index])) == .notOne)
            #expect(error(Array(bytes[..<index])) == nil)
        }
        for command: UInt8 in [0x00, 0x11, 0x22, 0x2F, 0x31, 0xFF] {
            #expect(error(Self.signature + [command]) == .unknown)
        }
        for family: UInt8 in [0x13, 0x41, 0xF1, 0x1F] {
            #expect(error(Self.signature + [0x21, family]) == .unknown)
        }
        for (family, count) in [(0x11, 12), (0x21, 36), (0x31, 216)] as [(UInt8, Int)] {
            let header = Self.header(0x21, family, [], length: count - 1)
            #expect(error(header) == .tooShort)
        }
        #expect(error(Self.header(0x21, 0x11, [], length: ProxyHeader.bytesMax - 15)) == .tooLarge)
        #expect(error(Self.header(0x20, 0x00, [], length: 0xFFFF)) == .tooLarge)
        #expect(error(Self.header(0x21, 0x11, [], length: ProxyHeader.bytesMax - 16)) == nil)
        #expect(error(Array("PROXY TCP4 203.0.113.9 10.0.0.1 49153 8080\r\n".utf8)) == .notOne)
    }

    /// Bytes of any kind behind a signature: no trap, and never more taken than there is.
    @Test func `takes no more than there is, whatever comes`() {
        for seed: UInt64 in 0..<2_000 {
            var random = SeededRandom(seed: seed)
            var bytes = Self.header(0x20 | UInt8(seed & 1), UInt8.random(in: 0...0x33, using: &random), [])
            bytes[15] = UInt8.random(in: 0...255, using: &random)
            bytes += (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8(random.next() & 255) }
            if let header = try? ProxyHeader.parse(bytes.span) {
                #expect(16...bytes.count ~= header.byteCount, "seed \(seed)")
            }
        }
    }
}
