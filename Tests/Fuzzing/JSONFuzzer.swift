/// JSON texts: the two readers agree on what JSON is, and what one writes the other reads.
enum Fuzzer {
    static func run(_ bytes: [UInt8]) {
        let verdict = JSONScanner().verdict(on: bytes.span)
        guard let members = try? JSONReader.object(bytes), !bytes.isEmpty else { return }
        if case .malformed = verdict { check(false, "the scanner refuses what the reader reads") }
        let written = JSONValue.object(members).bytes
        check((try? JSONReader.object(written)) == members, "what is written is read back")
    }
}
