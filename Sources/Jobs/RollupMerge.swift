import Analytics
import Postgres

/// What a batch of results adds to the tables of rollups, in the order in which every node writes: by key, by
/// type.
struct RollupMerge: Sendable {
    /// How often a type occurred, and between which times.
    struct TypeCount: Equatable, Sendable {
        var events: Int64
        var first: Int64
        var last: Int64
    }

    private(set) var rollups: [RollupKey: Rollup] = [:]
    let keys: [RollupKey]
    /// By type alone; a key compares by bytes, a `String` would not.
    private(set) var types: [RollupKey: TypeCount] = [:]

    init(_ results: [JobResult]) {
        for result in results {
            for (key, rollup) in result.rollups {
                rollups[key, default: Rollup()].merge(rollup)
                Self.add(key, rollup.count, result, to: &types)
            }
        }
        keys = rollups.keys.sorted()
    }

    /// Events have times within their minute and within their job's, which says enough about a first and last
    /// one.
    private static func add(
        _ key: RollupKey,
        _ count: Int64,
        _ result: JobResult,
        to types: inout [RollupKey: TypeCount]
    ) {
        let first = max(key.minute, result.timeMin)
        let last = min(key.minute.addingSaturated(RollupKey.microsecondsPerMinute - 1), result.timeMax)
        let name = RollupKey(minute: 0, type: key.type, source: "")
        let old = types[name] ?? TypeCount(events: 0, first: first, last: last)
        types[name] = TypeCount(
            events: old.events.addingSaturated(count),
            first: min(old.first, first),
            last: max(old.last, last)
        )
    }

    // MARK: Rows for COPY

    /// For `rollup_keys (ord, minute, type, source)`.
    func keyRows() -> CopyStream {
        var encoder = RowEncoder(columns: 4, capacity: 64 + keys.count * 96)
        for (position, key) in keys.enumerated() {
            encoder.beginRow()
            encoder.append(int32: Int32(position))
            encoder.append(timestamp: key.minute)
            encoder.append(text: key.type)
            encoder.append(text: key.source)
        }
        return encoder.finish()
    }

    /// For `rollup_merged (ord, minute, type, source, events, subjects, fields)`, the keys of `chunk`.
    ///
    /// Each has the sketches merged in that the table held; counts are added by the database.
    func mergedRows(_ chunk: Range<Int>, stored: [Int: StoredSketches]) -> CopyStream {
        var encoder = RowEncoder(columns: 7, capacity: 64 + chunk.count * 2_048)
        for position in chunk {
            let key = keys[position]
            guard var rollup = rollups[key] else { continue }
            if let sketches = stored[position] {
                rollup.subjects.merge(sketches.subjects)
                rollup.fields.merge(sketches.fields)
            }
            encoder.beginRow()
            encoder.append(int32: Int32(position))
            encoder.append(timestamp: key.minute)
            encoder.append(text: key.type)
            encoder.append(text: key.source)
            encoder.append(int64: rollup.count)
            encoder.append(sketchesOf: rollup)
        }
        return encoder.finish()
    }

    /// For `type_counts (ord, type, events, first_at, last_at)`.
    func typeRows() -> CopyStream {
        var encoder = RowEncoder(columns: 5, capacity: 64 + types.count * 96)
        for (position, entry) in types.sorted(by: { $0.key < $1.key }).enumerated() {
            encoder.beginRow()
            encoder.append(int32: Int32(position))
            encoder.append(text: entry.key.type)
            encoder.append(int64: entry.value.events)
            encoder.append(timestamp: entry.value.first)
            encoder.append(timestamp: entry.value.last)
        }
        return encoder.finish()
    }
}

/// The sketches of one row of `rollups_minute`.
struct StoredSketches: Sendable {
    var subjects = HyperLogLog()
    var fields = FieldSketches()
    /// Whether a sketch could not be read, and counts as empty.
    private(set) var isDamaged = false

    /// Reads the two columns, as PostgreSQL prints them.
    init(subjects: String?, fields: String?) {
        do throws(CodecError) {
            if let subjects {
                let bytes = PostgresBytes.decode(subjects) ?? []
                self.subjects = try HyperLogLog.decode(bytes.span)
            }
            if let fields {
                let bytes = PostgresBytes.decode(fields) ?? []
                self.fields = try FieldSketches.decode(bytes.span)
            }
        } catch {
            isDamaged = true
        }
    }
}

extension Int64 {
    /// The sum, as far as it goes.
    func addingSaturated(_ other: Int64) -> Int64 {
        let (sum, isOverflown) = addingReportingOverflow(other)
        return isOverflown ? (other < 0 ? .min : .max) : sum
    }
}

extension RowEncoder {
    /// The columns `subjects` and `fields`; null where there is nothing in them.
    mutating func append(sketchesOf rollup: Rollup) {
        if rollup.subjects.isEmpty {
            appendNull()
        } else {
            let bytes = rollup.subjects.encode()
            append(bytea: bytes.span)
        }
        if rollup.fields.isEmpty, rollup.fields.omitted == 0 {
            appendNull()
        } else {
            let bytes = rollup.fields.encode()
            append(bytea: bytes.span)
        }
    }
}
