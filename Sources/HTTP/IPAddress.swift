/// An IPv4 or IPv6 address, without a port.
package enum IPAddress: Hashable, Sendable {
    case v4(UInt32)
    case v6(high: UInt64, low: UInt64)

    /// Reads an address as text: four decimal numbers, or RFC 4291 2.2 in any of its forms, without brackets
    /// and without a zone; `nil` for anything else.
    ///
    /// Leading zeros of an IPv4 number are refused: some read them as octal.
    package init?(_ text: Span<UInt8>) {
        guard let address = Self.v4(text).map({ .v4($0) }) ?? Self.v6(text) else { return nil }
        self = address
    }

    /// The IPv4 address that ::ffff:a.b.c.d stands for (RFC 4291 2.5.5.2), else the address itself.
    package var unmapped: IPAddress {
        if case .v6(0, let low) = self, low >> 32 == 0xFFFF { return .v4(UInt32(truncatingIfNeeded: low)) }
        return self
    }

    private static func v4(_ text: Span<UInt8>) -> UInt32? {
        var address: UInt32 = 0
        var numbers = 0
        var index = 0
        while true {
            let start = index
            var number: UInt32 = 0
            while index < text.count, index < start + 3, let digit = text[index].decimalValue {
                number = number * 10 + digit
                index += 1
            }
            guard index > start, number <= 255, index == start + 1 || text[start] != UInt8(ascii: "0") else {
                return nil
            }
            address = address << 8 | number
            numbers += 1
            if numbers == 4 { return index == text.count ? address : nil }
            guard index < text.count, text[index] == UInt8(ascii: ".") else { return nil }
            index += 1
        }
    }

    private static func v6(_ text: Span<UInt8>) -> IPAddress? {
        var groups: [UInt16] = []
        /// Before which group "::" stands.
        var gap: Int?
        var index = 0
        if text.count >= 2, text[0] == .colon, text[1] == .colon {
            gap = 0
            index = 2
        }
        while index < text.count {
            let start = index
            while index < text.count, text[index] != .colon { index += 1 }
            let group = text.extracting(start..<index)
            let isLast = index == text.count
            if isLast, let tail = v4(group) {
                groups += [UInt16(tail >> 16), UInt16(truncatingIfNeeded: tail)]
            } else if let value = hex(group) {
                groups.append(value)
            } else {
                return nil
            }
            if isLast { break }
            index += 1
            if index == text.count || groups.count > 8 { return nil }
            if text[index] == .colon {
                if gap != nil { return nil }
                gap = groups.count
                index += 1
            }
        }
        return address(groups, gap: gap)
    }

    /// One to four hexadecimal digits.
    private static func hex(_ text: Span<UInt8>) -> UInt16? {
        guard 1...4 ~= text.count else { return nil }
        var value: UInt16 = 0
        for index in text.indices {
            guard let digit = text[index].hexadecimalValue else { return nil }
            value = value << 4 | digit
        }
        return value
    }

    /// "::" stands for one group of zeros at least.
    private static func address(_ groups: [UInt16], gap: Int?) -> IPAddress? {
        guard gap == nil ? groups.count == 8 : groups.count <= 7 else { return nil }
        var all = groups
        if let gap { all.insert(contentsOf: [UInt16](repeating: 0, count: 8 - groups.count), at: gap) }
        return .v6(
            high: all[..<4].reduce(0) { $0 << 16 | UInt64($1) },
            low: all[4...].reduce(0) { $0 << 16 | UInt64($1) }
        )
    }
}

/// A range of addresses that share their first bits: `10.0.0.0/8`, or one address.
package struct IPNetwork: Hashable, Sendable {
    private let base: IPAddress
    private let bits: Int

    /// Reads an address, or an address and the number of bits (RFC 4632 3.1), those behind them zero; `nil`
    /// for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let base = IPAddress(Array(parts[0].utf8).span) else { return nil }
        let width = if case .v4 = base { 32 } else { 128 }
        var bits = width
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard 1...3 ~= digits.count, digits.allSatisfy({ $0.decimalValue != nil }),
                let number = Int(parts[1]), number <= width
            else { return nil }
            bits = number
        }
        guard Self.masked(base, bits) == base else { return nil }
        self.base = base
        self.bits = bits
    }

    /// Whether `address` is one of them; an IPv4 address may come as the IPv6 one that stands for it.
    package func contains(_ address: IPAddress) -> Bool {
        switch (base, address.unmapped) {
        case (.v4, .v4), (.v6, .v6): Self.masked(address.unmapped, bits) == base
        // A network such as ::ffff:10.0.0.0/104.
        case (.v6, .v4): Self.masked(address, bits) == base
        case (.v4, .v6): false
        }
    }

    private static func masked(_ address: IPAddress, _ bits: Int) -> IPAddress {
        switch address {
        case .v4(let value): .v4(value & ~(bits >= 32 ? 0 : UInt32.max >> UInt32(bits)))
        case .v6(let high, let low):
            .v6(high: high & mask(bits), low: low & mask(bits - 64))
        }
    }

    /// The first `bits` of 64.
    private static func mask(_ bits: Int) -> UInt64 {
        if bits <= 0 { return 0 }
        return bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits))
    }
}

extension UInt8 {
    fileprivate var decimalValue: UInt32? { 0x30...0x39 ~= self ? UInt32(self - 0x30) : nil }

    fileprivate var hexadecimalValue: UInt16? {
        switch self {
        case 0x30...0x39: UInt16(self - 0x30)
        case 0x41...0x46: UInt16(self - 0x37)
        case 0x61...0x66: UInt16(self - 0x57)
        default: nil
        }
    }
}
