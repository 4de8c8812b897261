/// The 36 characters of a UUID, in lower case.
package func formatUUID(_ uuid: UInt128) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(36)
    appendUUID(uuid, to: &output)
    return output
}

/// Appends what ``formatUUID(_:)`` returns.
package func appendUUID(_ uuid: UInt128, to output: inout [UInt8]) {
    let halves = (UInt64(truncatingIfNeeded: uuid >> 64), UInt64(truncatingIfNeeded: uuid))
    output.append(addingCapacity: 36) { output in
        for position in 0..<32 {
            if position == 8 || position == 12 || position == 16 || position == 20 {
                output.append(UInt8(ascii: "-"))
            }
            let half = position < 16 ? halves.0 : halves.1
            let digit = UInt8(truncatingIfNeeded: half &>> UInt64((15 &- position & 15) &* 4)) & 15
            output.append(digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "a") &+ digit &- 10)
        }
    }
}

/// Reads the 36 characters of a UUID of any version, in either case; nil for any other spelling.
package func parseUUID(_ text: Span<UInt8>) -> UInt128? {
    guard text.count == 36 else { return nil }
    var high: UInt64 = 0
    var low: UInt64 = 0
    var isBroken = false
    for index in 0..<36 {
        let byte = text[index]
        if index == 8 || index == 13 || index == 18 || index == 23 {
            isBroken = isBroken || byte != UInt8(ascii: "-")
            continue
        }
        // Both readings are computed and one chosen: a branch on random digits is mispredicted every other
        // time.
        let decimal = byte &- UInt8(ascii: "0")
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        isBroken = isBroken || decimal >= 10 && letter >= 6
        let digit = UInt64(decimal < 10 ? decimal : letter &+ 10)
        if index < 18 { high = high &<< 4 | digit } else { low = low &<< 4 | digit }
    }
    return isBroken ? nil : UInt128(high) << 64 | UInt128(low)
}
