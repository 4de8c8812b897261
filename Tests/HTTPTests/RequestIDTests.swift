import HTTP
import Testing

@Suite struct `Request ids` {
    @Test func `are written as a field like their text`() {
        for number: UInt64 in [0, 1, 0xFF, 0xFFFF_FFFF, 0x1_0000_0000, 3 << 40 | 7, .max] {
            var field: [UInt8] = []
            RequestID.appendField(number: number, to: &field)
            let text = RequestID(number: number).text
            #expect(String(decoding: field, as: UTF8.self) == "\r\nX-Request-Id: \(text)")
        }
    }
}
