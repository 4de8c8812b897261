package import Analytics

/// Why a worker's result is not taken; no other attempt would fare better.
package enum ResultRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    case encoding(String)
    case malformed(CodecError)
    /// The counts do not add up to the events that were sent.
    case count(Int64, expected: Int)
    /// A key that none of the events sent can have.
    case key(RollupKey)

    package var description: String {
        switch self {
        case .encoding(let name): "malformed result: encoding '\(name)' is unknown"
        case .malformed(let error): "malformed result: \(error)"
        case .count(let count, let expected): "malformed result: it counts \(count) of \(expected) events"
        case .key(let key): "malformed result: no event has minute \(key.minute) and such a type and source"
        }
    }
}

/// What a job adds to the rollups.
package struct JobResult: Sendable {
    package let id: LeaseID
    package let rollups: [RollupKey: Rollup]
    /// Of the job's events, in microseconds since 1970.
    package let timeMin: Int64
    package let timeMax: Int64
    /// As the worker sent it.
    package let bytes: Int

    /// The result of a job without events.
    package init(empty job: LeasedJob) {
        id = job.id
        rollups = [:]
        timeMin = job.timeMin
        timeMax = job.timeMax
        bytes = 0
    }

    /// Reads what a worker sent, which may be anybody's program: nothing in it may harm the results of
    /// others.
    package init(
        of job: LeasedJob,
        items: Int,
        encoding: String,
        body: [UInt8],
        limits: ApplyLimits
    ) throws(ResultRefusal) {
        guard encoding == "rollup1" else { throw .encoding(encoding) }
        do throws(CodecError) {
            rollups = try RollupCodec.decode(body.span)
        } catch {
            throw .malformed(error)
        }
        let minutes = RollupKey.minute(of: job.timeMin)...RollupKey.minute(of: job.timeMax)
        var count: Int64 = 0
        for (key, rollup) in rollups {
            // One text that the table refuses would take the whole batch with it.
            guard minutes.contains(key.minute), Self.isText(key.type, bytesMax: limits.typeBytesMax),
                Self.isText(key.source, bytesMax: limits.sourceBytesMax)
            else { throw .key(key) }
            let (sum, isOverflown) = count.addingReportingOverflow(rollup.count)
            count = isOverflown ? .max : sum
        }
        guard count == Int64(items) else { throw .count(count, expected: items) }
        id = job.id
        timeMin = job.timeMin
        timeMax = job.timeMax
        bytes = body.count
    }

    private static func isText(_ text: String, bytesMax: Int) -> Bool {
        text.utf8.count <= bytesMax && !text.utf8.contains(0)
    }
}
