package import Events

/// Why a well-formed frame is not a valid message.
package enum MessageError: Error, Equatable, Sendable {
    case header(JSONReadError)
    case unknownCriticalType(FrameType)

    package var detail: String {
        switch self {
        case .header(let error): error.detail
        case .unknownCriticalType(let type):
            "frame of the unknown critical type 0x\(String(type.rawValue, radix: 16))"
        }
    }

    static func translate<T>(_ body: () throws(JSONReadError) -> T) throws(MessageError) -> T {
        do throws(JSONReadError) {
            return try body()
        } catch {
            throw .header(error)
        }
    }
}

/// What a worker tells the supervisor; untrusted.
package enum WorkerMessage: Equatable, Sendable {
    case helloOK(HelloOK)
    /// No common version: this worker can never run here.
    case helloNo(reason: String)
    case result(token: Int64, encoding: String, body: [UInt8], residentBytes: Int64?)
    case fail(token: Int64, cause: FailureCause, message: String)
    case progress(token: Int64, done: Int64, total: Int64)
    case partial(token: Int64)
    case pong(n: Int64, residentBytes: Int64?)
    case log(level: String, message: String)
    case bye(reason: String)
    /// A frame of a type that this version does not know and may skip.
    case unknown(FrameType)

    package struct HelloOK: Equatable, Sendable {
        package var version: Int64 = 1
        package var capabilities: [String] = []
        package var kinds: [String] = []
        package var language = ""
        package var codeVersion = ""

        package init() {}
    }

    /// Longest texts of a FAIL frame, in characters of the protocol page's bytes.
    package static let messageBytesMax = 4 << 10
}

extension WorkerMessage {
    /// Reads a frame on the supervisor's side.
    package init(_ frame: consuming Frame) throws(MessageError) {
        let header = try MessageError.translate { () throws(JSONReadError) in
            try JSONReader.object(frame.header)
        }
        switch frame.type {
        case .helloOK: self = .helloOK(try Self.helloOK(header))
        case .helloNo: self = .helloNo(reason: header["reason"]?.string ?? "")
        case .result:
            let stats = header["stats"]?.object
            self = .result(
                token: try Self.token(header),
                encoding: header["enc"]?.string ?? "json",
                body: frame.body,
                residentBytes: Self.resident(stats)
            )
        case .fail: self = try Self.fail(header)
        case .progress:
            self = .progress(
                token: try Self.token(header),
                done: header["done"]?.integer ?? 0,
                total: header["total"]?.integer ?? 0
            )
        case .partial: self = .partial(token: try Self.token(header))
        case .pong: self = .pong(n: header["n"]?.integer ?? 0, residentBytes: Self.resident(header))
        case .log: self = .log(level: header["level"]?.string ?? "info", message: header["msg"]?.string ?? "")
        case .bye: self = .bye(reason: header["reason"]?.string ?? "")
        default:
            if frame.type.isCritical { throw .unknownCriticalType(frame.type) }
            self = .unknown(frame.type)
        }
    }

    private static func token(_ header: [String: JSONValue]) throws(MessageError) -> Int64 {
        guard let token = header["token"]?.integer else { throw .header(.missing("token")) }
        return token
    }

    private static func resident(_ header: [String: JSONValue]?) -> Int64? {
        guard let kibibytes = header?["rss_kb"]?.integer, kibibytes >= 0, kibibytes < 1 << 50 else {
            return nil
        }
        return kibibytes << 10
    }

    private static func helloOK(_ header: [String: JSONValue]) throws(MessageError) -> HelloOK {
        guard let version = header["version"]?.integer else { throw .header(.missing("version")) }
        guard let capabilities = header["caps"]?.strings else { throw .header(.missing("caps")) }
        guard let kinds = header["kinds"]?.strings else { throw .header(.missing("kinds")) }
        var hello = HelloOK()
        hello.version = version
        hello.capabilities = capabilities
        hello.kinds = kinds
        hello.language = header["lang"]?.string ?? ""
        hello.codeVersion = header["code_version"]?.string ?? ""
        return hello
    }

    private static func fail(_ header: [String: JSONValue]) throws(MessageError) -> WorkerMessage {
        let cause: FailureCause
        switch header["cause"]?.string {
        case "error": cause = .error
        case "permanent": cause = .permanent
        case "cancelled": cause = .cancelled
        default: throw .header(.missing("cause"))
        }
        var message = header["message"]?.string ?? ""
        if let code = header["code"]?.string { message = message.isEmpty ? code : "\(code): \(message)" }
        if let trace = header["trace"]?.string { message += "\n\(trace)" }
        return .fail(token: try token(header), cause: cause, message: message.truncated(to: messageBytesMax))
    }
}

extension WorkerMessage {
    /// Returns the message's frame, on the worker's side.
    package func frame(sequence: UInt32) -> Frame {
        switch self {
        case .helloOK(let hello):
            let header: JSONValue = [
                "version": .integer(hello.version), "caps": .array(hello.capabilities.map { .string($0) }),
                "kinds": .array(hello.kinds.map { .string($0) }), "lang": .string(hello.language),
                "code_version": .string(hello.codeVersion), "max_inflight": 1,
            ]
            return Frame(.helloOK, sequence: sequence, header: header.bytes)
        case .helloNo(let reason):
            return Self.frame(.helloNo, sequence, ["reason": .string(reason)])
        case .result(let token, let encoding, let body, let resident):
            var header: [String: JSONValue] = ["token": .integer(token), "enc": .string(encoding)]
            if let resident { header["stats"] = ["rss_kb": .integer(resident >> 10)] }
            return Frame(.result, sequence: sequence, header: JSONValue.object(header).bytes, body: body)
        case .fail(let token, let cause, let message):
            let text = message.truncated(to: Self.messageBytesMax)
            let name = [.permanent, .cancelled].contains(cause) ? cause : .error
            return Self.frame(
                .fail,
                sequence,
                ["token": .integer(token), "cause": .string(name.rawValue), "message": .string(text)]
            )
        case .progress(let token, let done, let total):
            return Self.frame(
                .progress,
                sequence,
                ["token": .integer(token), "done": .integer(done), "total": .integer(total)]
            )
        case .partial(let token): return Self.frame(.partial, sequence, ["token": .integer(token)])
        case .pong(let n, let resident):
            var header: [String: JSONValue] = ["n": .integer(n)]
            if let resident { header["rss_kb"] = .integer(resident >> 10) }
            return Self.frame(.pong, sequence, header)
        case .log(let level, let message):
            return Self.frame(.log, sequence, ["level": .string(level), "msg": .string(message)])
        case .bye(let reason): return Self.frame(.bye, sequence, ["reason": .string(reason)])
        case .unknown(let type): return Frame(type, sequence: sequence)
        }
    }

    private static func frame(_ type: FrameType, _ sequence: UInt32, _ header: [String: JSONValue]) -> Frame {
        Frame(type, sequence: sequence, header: JSONValue.object(header).bytes)
    }
}

extension String {
    /// At most `bytes` bytes from the front, cut between characters.
    func truncated(to bytes: Int) -> String {
        if utf8.count <= bytes { return self }
        var end = utf8.index(utf8.startIndex, offsetBy: bytes)
        while end > startIndex, end.samePosition(in: self) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
