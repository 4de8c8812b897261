/// The body of a worker's RESULT for jobs of kind "rollup": rollups with their keys, as bytes ("rollup1").
///
/// Layout: version 1, a varint with the number of rollups, then each in ascending order of its key: minutes
/// since 1970 (zigzag), type and source (length, UTF-8), count, and the bodies of the subjects and of the
/// fields. The same rollups always give the same bytes, and only such bytes are accepted.
package enum RollupCodec {
    private static let version: UInt8 = 1
    /// Minute, two lengths, count, subjects, omitted and number of fields.
    private static let rollupBytesMin = 7

    package static func encode(_ rollups: [RollupKey: Rollup]) -> [UInt8] {
        precondition(rollups.count <= RollupLimits.rollupsMax, "a job has fewer events")
        var output = [version]
        output.append(varint: UInt64(rollups.count))
        for (key, rollup) in rollups.sorted(by: { $0.key < $1.key }) {
            output.append(signed: key.minute / RollupKey.microsecondsPerMinute)
            output.append(text: key.type)
            output.append(text: key.source)
            output.append(varint: UInt64(rollup.count))
            rollup.subjects.encodeBody(into: &output)
            rollup.fields.encodeBody(into: &output)
        }
        return output
    }

    /// Reads exactly what ``encode(_:)`` has written; for bytes that are anything else it throws.
    package static func decode(_ bytes: Span<UInt8>) throws(CodecError) -> [RollupKey: Rollup] {
        var reader = ByteReader()
        try reader.version(version, bytes)
        let count = try reader.count(bytes, max: RollupLimits.rollupsMax, entryBytesMin: rollupBytesMin)
        var rollups: [RollupKey: Rollup] = [:]
        var previous: RollupKey?
        for _ in 0..<count {
            let key = try key(bytes, &reader)
            if let previous, previous >= key { throw reader.error(.order) }
            previous = key
            rollups[key] = Rollup(
                count: try reader.tally(bytes),
                subjects: try HyperLogLog(body: bytes, &reader),
                fields: try FieldSketches(body: bytes, &reader)
            )
        }
        try reader.end(bytes)
        return rollups
    }

    private static func key(
        _ bytes: Span<UInt8>,
        _ reader: inout ByteReader
    ) throws(CodecError) -> RollupKey {
        let perMinute = RollupKey.microsecondsPerMinute
        let (minute, isOverflown) = try reader.signed(bytes).multipliedReportingOverflow(by: perMinute)
        if isOverflown { throw reader.error(.value) }
        let type = try reader.text(bytes, max: RollupLimits.keyBytesMax)
        let source = try reader.text(bytes, max: RollupLimits.keyBytesMax)
        return RollupKey(minute: minute, type: type, source: source)
    }
}
