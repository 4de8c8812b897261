import Analytics
import Postgres
import Reactor

/// Reads the points of a series out of the rollups.
struct SeriesReader {
    let reader: PostgresPool
    let limits: InsightLimits

    /// The values of all buckets in order, `nil` for those without events.
    func points(_ query: SeriesQuery) async throws(ReadError) -> [Double?] {
        let deadline = Deadline.after(limits.readTimeout)
        switch query.metric {
        case .count: return try await counts(query, deadline)
        case .rate:
            let seconds = Double(query.stepSeconds)
            return try await counts(query, deadline).map { $0.map { $0 / seconds } }
        case .subjects: return try await subjects(query, deadline)
        case .p50, .p90, .p95, .p99, .min, .max, .avg, .sum: return try await values(query, deadline)
        }
    }

    // MARK: Counts: the database adds them up

    private func counts(_ query: SeriesQuery, _ deadline: Deadline) async throws(ReadError) -> [Double?] {
        let sql = """
            SELECT \(query.bucket), sum(events) FROM \(query.rollups.table)
              WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR source = $2)
              GROUP BY 1
            """
        let result: PostgresResult
        do throws(PostgresError) {
            result = try await reader.query(sql, [query.type, query.source], deadline: deadline)
        } catch {
            throw .database(error)
        }
        var points = [Double?](repeating: nil, count: Int(query.pointCount))
        for values in result.rows {
            var row = ReadRow(values)
            let bucket = try query.bucket(row.integer())
            points[bucket] = Double(try row.integer())
        }
        return points
    }

    // MARK: Sketches: merged here, a few rows at a time

    private func subjects(_ query: SeriesQuery, _ deadline: Deadline) async throws(ReadError) -> [Double?] {
        var points = [Double?](repeating: nil, count: Int(query.pointCount))
        var merged = HyperLogLog()
        var current = -1
        try await sketches(query, "subjects", deadline) { bucket, bytes throws(ReadError) in
            if bucket != current {
                current = bucket
                merged = HyperLogLog()
            }
            do throws(CodecError) {
                if let bytes { merged.merge(try HyperLogLog.decode(bytes.span)) }
            } catch {
                throw .corrupt("a sketch of subjects: \(error)")
            }
            points[bucket] = Double(merged.estimate)
        }
        return points
    }

    private func values(_ query: SeriesQuery, _ deadline: Deadline) async throws(ReadError) -> [Double?] {
        var points = [Double?](repeating: nil, count: Int(query.pointCount))
        var merged = QuantileSketch()
        var current = -1
        try await sketches(query, "fields", deadline) { bucket, bytes throws(ReadError) in
            if bucket != current {
                current = bucket
                merged = QuantileSketch()
            }
            do throws(CodecError) {
                guard let bytes, let field = query.field,
                    let sketch = try FieldSketches.decode(bytes.span)[field]
                else { return }
                merged.merge(sketch)
            } catch {
                throw .corrupt("sketches of fields: \(error)")
            }
            points[bucket] = query.metric.value(of: merged)
        }
        return points
    }

    /// Calls `take` with the bucket and the bytes of each rollup, in the order of the buckets.
    private func sketches(
        _ query: SeriesQuery,
        _ column: String,
        _ deadline: Deadline,
        _ take: (Int, [UInt8]?) throws(ReadError) -> Void
    ) async throws(ReadError) {
        let sql = """
            SELECT \(query.bucket) AS bucket, \(column) FROM \(query.rollups.table)
              WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR source = $2)
              ORDER BY bucket
            """
        try await RowCursor(reader: reader, rowsMax: limits.seriesRowsMax)
            .read(sql, [query.type, query.source], deadline) { values throws(ReadError) in
                var row = ReadRow(values)
                try take(try query.bucket(row.integer()), row.bytes())
            }
    }
}

extension SeriesQuery {
    fileprivate var rollups: RollupRange { RollupRange(from: from, to: to, step: step) }

    /// The number of a rollup's bucket, in SQL.
    fileprivate var bucket: String {
        "((extract(epoch FROM start) * 1000000)::bigint - \(firstBucket)) / \(step)"
    }

    fileprivate func bucket(_ number: Int64) throws(ReadError) -> Int {
        guard 0..<pointCount ~= number else { throw .corrupt("a rollup lies outside of its range") }
        return Int(number)
    }
}

extension SeriesQuery.Metric {
    /// What it says of these values; `nil` when there are none.
    fileprivate func value(of sketch: QuantileSketch) -> Double? {
        switch self {
        case .p50: sketch.quantile(0.5)
        case .p90: sketch.quantile(0.9)
        case .p95: sketch.quantile(0.95)
        case .p99: sketch.quantile(0.99)
        case .min: sketch.min
        case .max: sketch.max
        case .avg: sketch.mean
        case .sum: sketch.isEmpty ? nil : sketch.sum
        case .count, .rate, .subjects: nil
        }
    }
}
