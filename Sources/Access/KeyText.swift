import Events

/// Bytes and lists as PostgreSQL takes and gives them in text.
extension KeyStore {
    static func hex(_ bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes {
            let digits = String(byte, radix: 16)
            text += digits.utf8.count == 1 ? "0" + digits : digits
        }
        return text
    }

    static func unhex(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16)
            else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }

    static func json(_ strings: [String]) -> String {
        String(decoding: JSONValue.array(strings.map { .string($0) }).bytes, as: UTF8.self)
    }

    static func strings(_ json: String) -> [String]? {
        // A reader of objects only: the list becomes a member.
        do throws(JSONReadError) {
            return try JSONReader.object(Array(#"{"list":\#(json)}"#.utf8))["list"]?.strings
        } catch {
            return nil
        }
    }
}
