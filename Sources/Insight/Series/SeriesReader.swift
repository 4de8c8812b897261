import Analytics
import Events
import Postgres
import Reactor

/// Reads the points of a series out of the rollups of minutes.
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
            SELECT ((extract(epoch FROM minute) * 1000000)::bigint - $1::bigint) / $2::bigint, sum(events)
              FROM rollups_minute
              WHERE minute >= $3::timestamptz AND minute < $4::timestamptz
                AND ($5::text IS NULL OR type = $5) AND ($6::text IS NULL OR source = $6)
              GROUP BY 1
            """
        let result = try await run(
            sql,
            [
                String(query.firstBucket), String(query.step), text(query.from), text(query.to), query.type,
                query.source,
            ],
            deadline
        )
        var points = [Double?](repeating: nil, count: Int(query.pointCount))
        for values in result.rows {
            var row = ReadRow(values)
            let bucket = Int(try row.integer())
            guard points.indices.contains(bucket) else {
                throw .corrupt("a minute lies outside of its range")
            }
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

    /// Calls `take` with the bucket and the bytes of each rollup, in the order of time.
    private func sketches(
        _ query: SeriesQuery,
        _ column: String,
        _ deadline: Deadline,
        _ take: (Int, [UInt8]?) throws(ReadError) -> Void
    ) async throws(ReadError) {
        let sql = """
            SELECT (extract(epoch FROM minute) * 1000000)::bigint, type, source, \(column)
              FROM rollups_minute
              WHERE minute >= $1::timestamptz AND minute < $2::timestamptz
                AND ($3::text IS NULL OR type = $3) AND ($4::text IS NULL OR source = $4)
                AND ($5::text IS NULL OR (minute, type, source) > ($1::timestamptz, $5, $6))
              ORDER BY minute, type, source LIMIT \(limits.seriesRowsMax)
            """
        var position: (minute: Int64, type: String?, source: String?) = (query.from, nil, nil)
        while true {
            let result = try await run(
                sql,
                [
                    text(position.minute), text(query.to), query.type, query.source, position.type,
                    position.source,
                ],
                deadline
            )
            for values in result.rows {
                var row = ReadRow(values)
                position = (try row.integer(), try row.string(), try row.string())
                let bucket = (position.minute - query.firstBucket) / query.step
                guard 0..<query.pointCount ~= bucket else {
                    throw .corrupt("a minute lies outside of its range")
                }
                try take(Int(bucket), row.bytes())
            }
            if result.rows.count < limits.seriesRowsMax { return }
        }
    }

    private func run(
        _ sql: String,
        _ parameters: [String?],
        _ deadline: Deadline
    ) async throws(ReadError) -> PostgresResult {
        do throws(PostgresError) {
            return try await reader.query(sql, parameters, deadline: deadline)
        } catch {
            throw .database(error)
        }
    }

    private func text(_ time: Int64) -> String {
        String(decoding: Timestamp.format(time), as: UTF8.self)
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
