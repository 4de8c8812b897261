/// A segment of the spool after whatever happened to it: the scan ends, steps over what is no record, and
/// finds each whole record behind it.
enum Fuzzer {
    private struct Contents: SpoolFile {
        let bytes: [UInt8]

        func size() throws(SystemError) -> Int { bytes.count }
        func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
            Array(bytes.dropFirst(offset).prefix(count))
        }
        func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {}
        func synchronize() throws(SystemError) {}
        func truncate(to size: Int) throws(SystemError) {}
        func reserve(bytes: Int) throws(SystemError) {}
    }

    private static let name = SegmentName(index: 1, first: 100, salt: 0x5EED)
    private static let limits = {
        var limits = SpoolLimits()
        limits.payloadBytesMax = 4_096
        // So that records lie across its edges.
        limits.windowBytes = 512
        return limits
    }()

    static func run(_ bytes: [UInt8]) {
        let before = scan(bytes)
        check(before.allSatisfy { 100..<200 ~= $0.sequence }, "records of this segment alone")
        check(zip(before, before.dropFirst()).allSatisfy { $0.sequence < $1.sequence }, "in order")

        var ruined = bytes + [UInt8](repeating: 0xFF, count: (8 - bytes.count % 8) % 8)
        let payload = Array(bytes.prefix(300))
        var records: [UInt8] = []
        for sequence in UInt64(100)..<103 {
            let entry = SpoolEntry(payload: payload, events: 1, mark: sequence)
            RecordHeader.append(entry, sequence: sequence, groupIndex: 0, salt: name.salt, to: &records)
        }
        // Whole records in the bytes themselves count as such, and may cover what follows. In a longer file,
        // for how far a sequence may be ahead depends on that.
        guard scan(ruined + [UInt8](repeating: 0, count: records.count)).isEmpty else { return }
        ruined += records
        let found = scan(ruined)
        let sequences = found.map(\.sequence)
        check(sequences == [100, 101, 102], "records behind the damage: \(sequences)")
        check(found.allSatisfy { $0.payload == payload && $0.mark == $0.sequence }, "as they were")
    }

    private static func scan(_ bytes: [UInt8]) -> [SpooledRecord] {
        var scanner = SegmentScanner(
            Contents(bytes: bytes),
            name,
            end: bytes.count,
            limit: 200,
            limits: limits
        )
        var records: [SpooledRecord] = []
        var offset = 0
        while true {
            switch scanner.next() {
            case .record(let record): records.append(record)
            case .damage(let count): check(count > 0, "damage has bytes")
            case .end: return records
            }
            check(scanner.offset > offset && scanner.offset <= bytes.count, "a scan goes on, within the file")
            offset = scanner.offset
        }
    }
}
