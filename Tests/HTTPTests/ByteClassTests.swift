import Testing

@testable import HTTP

@Suite struct `Byte classes` {
    @Test func `are what the grammars say`() {
        let alphanumerics = Set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        let visible = Set(UInt8(0x21)...0x7E)
        let classes: [(UInt8, Set<UInt8>)] = [
            (ByteClass.token, alphanumerics.union("!#$%&'*+-.^_`|~".utf8)),
            (ByteClass.fieldValue, visible.union([0x09, 0x20]).union(0x80...0xFF)),
            (ByteClass.path, visible.subtracting("#?".utf8)),
            (ByteClass.query, visible.subtracting("#".utf8)),
            (ByteClass.host, alphanumerics.union("-._~!$&'()*+,;=".utf8)),
            (ByteClass.requestID, alphanumerics.union("-._:/+=@".utf8)),
        ]
        for byte in UInt8.min...UInt8.max {
            for (mask, members) in classes {
                #expect(
                    ByteClass.contains(byte, mask) == members.contains(byte),
                    "byte \(byte), class \(mask)"
                )
            }
        }
    }
}
