/// What a connection that comes through a proxy begins with: version 2 of HAProxy's PROXY protocol (2.2 of
/// its specification), which says who the client is.
package struct ProxyHeader: Equatable, Sendable {
    package enum Source: Equatable, Sendable {
        case address(IPAddress, port: UInt16)
        /// A client on the proxy's own machine, by a Unix socket.
        case unix
        /// The proxy speaks for itself, or does not know: the connection's own address counts.
        case proxy
    }

    package let source: Source
    /// Bytes that the header takes; what follows is the client's.
    package let byteCount: Int

    /// Whole headers above are refused.
    ///
    /// Addresses take 232 bytes at most; the rest is what proxies add, such as a certificate's name.
    package static let bytesMax = 4_096

    private static let signature: InlineArray<12, UInt8> = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]
    private static let fixedBytes = 16

    /// Reads a header from the front of `bytes`; `nil` while too little of it has come.
    ///
    /// - Throws: ``ProxyHeaderError`` as soon as it cannot become a valid one.
    package static func parse(_ bytes: Span<UInt8>) throws(ProxyHeaderError) -> ProxyHeader? {
        for index in 0..<min(bytes.count, 12) where bytes[index] != signature[index] { throw .notOne }
        // The version, then 0 for LOCAL or 1 for PROXY.
        if bytes.count > 12, bytes[12] & 0xFE != 0x20 { throw .unknown }
        if bytes.count > 13, bytes[13] >> 4 > 3 || bytes[13] & 0x0F > 2 { throw .unknown }
        guard bytes.count >= fixedBytes else { return nil }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        let isLocal = bytes[12] & 1 == 0
        let family = bytes[13] >> 4
        guard fixedBytes + length <= bytesMax else { throw .tooLarge }
        // The protocol's other half may be unspecified only if the family is.
        if !isLocal, length < addressBytes(family) { throw .tooShort }
        guard bytes.count >= fixedBytes + length else { return nil }
        let addresses = bytes.extracting(fixedBytes..<fixedBytes + length)
        return ProxyHeader(
            source: isLocal ? .proxy : source(family, addresses),
            byteCount: fixedBytes + length
        )
    }

    /// Of both ends, before the TLVs, which are passed over.
    private static func addressBytes(_ family: UInt8) -> Int {
        switch family {
        case 1: 12
        case 2: 36
        case 3: 216
        default: 0
        }
    }

    private static func source(_ family: UInt8, _ bytes: Span<UInt8>) -> Source {
        switch family {
        case 1:
            return .address(
                .v4(UInt32(truncatingIfNeeded: number(bytes, 0..<4))),
                port: UInt16(truncatingIfNeeded: number(bytes, 8..<10))
            )
        case 2:
            return .address(
                .v6(high: number(bytes, 0..<8), low: number(bytes, 8..<16)),
                port: UInt16(truncatingIfNeeded: number(bytes, 32..<34))
            )
        case 3: return .unix
        default: return .proxy
        }
    }

    private static func number(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var value: UInt64 = 0
        for index in range { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}

/// Why a connection does not begin with a PROXY header of version 2.
package enum ProxyHeaderError: Error, Equatable, Sendable {
    /// It begins with something else.
    case notOne
    /// A version, command, family or protocol that there is not; to be refused (2.2).
    case unknown
    /// It is shorter than the addresses that it says it has.
    case tooShort
    /// It is larger than ``ProxyHeader/bytesMax``.
    case tooLarge
}
