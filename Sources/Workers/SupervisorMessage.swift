package import Events

/// What the supervisor tells a worker.
package enum SupervisorMessage: Equatable, Sendable {
    case hello(Hello)
    case job(JobOrder)
    /// Of the job that was dispatched with this sequence number.
    case cancel(sequence: UInt32, CancelReason)
    case ping(n: Int64)
    case drain
    /// A frame of a type that this version does not know and may skip.
    case unknown(FrameType)

    package struct Hello: Equatable, Sendable {
        package var versions: [Int64] = [1]
        package var capabilities: [String] = []
        package var frameBytesMax = FrameLimits().bodyBytesMax
        package var server = ""
        package var slot = 0
        package var generation = 0

        package init() {}
    }

    /// Why a job shall stop before its end.
    package enum CancelReason: String, Equatable, Sendable {
        case softTimeout = "soft_timeout"
        case user
        case drain
    }
}

/// A job as the worker sees it.
package struct JobOrder: Equatable, Sendable {
    package var id: Int64
    package var token: Int64
    package var kind: String
    package var timeoutMilliseconds: Int64
    package var encoding: String
    package var items: Int64
    package var parameters: [String: JSONValue]
    package var body: [UInt8]
}

extension SupervisorMessage {
    /// Returns the frame that carries the job.
    package static func frame(for job: WorkerJob, sequence: UInt32) -> Frame {
        let milliseconds = job.timeout.milliseconds
        var members: [String: JSONValue] = [
            "id": .integer(job.id), "token": .integer(job.token), "kind": .string(job.kind),
            "timeout_ms": .integer(milliseconds), "soft_ms": .integer(milliseconds / 5 * 4),
            "attempt": .integer(Int64(job.attempt)), "crashes": .integer(Int64(job.crashes)),
            "enc": .string(job.encoding), "items": .integer(Int64(job.items)), "lo": .integer(job.lo),
            "hi": .integer(job.hi),
        ]
        if let parameters = job.parameters { members["params"] = parameters }
        if let trace = job.trace { members["traceparent"] = .string(trace) }
        var frame = Frame(.job, sequence: sequence, header: JSONValue.object(members).bytes, body: job.body)
        frame.hasMore = job.feed != nil
        return frame
    }

    /// Returns a further piece of a job's body; the last one is empty.
    static func pieceFrame(sequence: UInt32, piece: [UInt8], isLast: Bool) -> Frame {
        var frame = Frame(.job, sequence: sequence, body: piece)
        frame.hasMore = !isLast
        return frame
    }

    /// Returns the frame of any message but a job.
    package static func frame(for hello: Hello) -> Frame {
        let members: JSONValue = [
            "versions": .array(hello.versions.map { .integer($0) }),
            "caps": .array(hello.capabilities.map { .string($0) }),
            "max_frame": .integer(Int64(hello.frameBytesMax)), "server": .string(hello.server),
            "slot": .integer(Int64(hello.slot)), "generation": .integer(Int64(hello.generation)),
            "config": [:],
        ]
        return Frame(.hello, sequence: 0, header: members.bytes)
    }

    package static func cancelFrame(sequence: UInt32, reason: CancelReason) -> Frame {
        let members: JSONValue = ["seq": .integer(Int64(sequence)), "reason": .string(reason.rawValue)]
        return Frame(.cancel, sequence: sequence, header: members.bytes)
    }

    package static func pingFrame(n: Int64) -> Frame {
        let members: JSONValue = ["n": .integer(n)]
        return Frame(.ping, sequence: 0, header: members.bytes)
    }

    package static var drainFrame: Frame { Frame(.drain, sequence: 0, header: Array("{}".utf8)) }

    /// Reads a frame on the worker's side.
    package init(_ frame: consuming Frame) throws(MessageError) {
        let header = try MessageError.translate { () throws(JSONReadError) in
            try JSONReader.object(frame.header)
        }
        switch frame.type {
        case .hello:
            var hello = Hello()
            guard case .array(let versions) = header["versions"] else { throw .header(.missing("versions")) }
            hello.versions = versions.compactMap(\.integer)
            hello.capabilities = header["caps"]?.strings ?? []
            if let bytes = header["max_frame"]?.integer { hello.frameBytesMax = Int(max(1, bytes)) }
            hello.server = header["server"]?.string ?? ""
            hello.slot = Int(truncatingIfNeeded: header["slot"]?.integer ?? 0)
            hello.generation = Int(truncatingIfNeeded: header["generation"]?.integer ?? 0)
            self = .hello(hello)
        case .job:
            guard let token = header["token"]?.integer else { throw .header(.missing("token")) }
            guard let kind = header["kind"]?.string else { throw .header(.missing("kind")) }
            self = .job(
                JobOrder(
                    id: header["id"]?.integer ?? 0,
                    token: token,
                    kind: kind,
                    timeoutMilliseconds: header["timeout_ms"]?.integer ?? 0,
                    encoding: header["enc"]?.string ?? "ndjson",
                    items: header["items"]?.integer ?? 0,
                    parameters: header["params"]?.object ?? [:],
                    body: frame.body
                )
            )
        case .cancel:
            let sequence = header["seq"]?.integer.flatMap { UInt32(exactly: $0) } ?? frame.sequence
            self = .cancel(sequence: sequence, header["reason"]?.string.flatMap(CancelReason.init) ?? .user)
        case .ping: self = .ping(n: header["n"]?.integer ?? 0)
        case .drain: self = .drain
        default:
            if frame.type.isCritical { throw .unknownCriticalType(frame.type) }
            self = .unknown(frame.type)
        }
    }
}

extension Duration {
    /// Whole milliseconds, saturating.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflows) = seconds.multipliedReportingOverflow(by: 1000)
        return overflows ? (seconds < 0 ? .min : .max) : whole + attoseconds / 1_000_000_000_000_000
    }

    /// Nanoseconds, for durations of less than a century.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000
    }
}
