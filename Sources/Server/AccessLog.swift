import HTTP
package import Logging
import Reactor

/// Logs one of each so many requests, and every one that failed here.
///
/// No line holds a key: of the query, the value of every item is masked whose name sounds like one.
package struct AccessLog: Sendable {
    private let logger: Logger
    private let every: UInt64

    /// A log of one in `every` requests, all for 1.
    package init(_ logger: Logger, every: Int) {
        precondition(every >= 1, "one of how many requests is logged")
        self.logger = logger
        self.every = UInt64(every)
    }

    /// Whether that answer is to be logged, so that the rest needs to be found out for these only.
    func wants(_ number: UInt64, status: Int) -> Bool { status >= 500 || number % every == 0 }

    /// Notes an answer; `peer` is the other end of its socket, which may be a proxy.
    func note(
        _ request: Request,
        _ status: Int,
        since started: Deadline,
        bytes: (in: Int, out: Int),
        through peer: SocketAddress
    ) {
        guard wants(request.number, status: status) else { return }
        var entry = AccessEntry(
            requestID: request.id,
            status: status,
            bytesIn: bytes.in,
            bytesOut: bytes.out,
            milliseconds: Int64(Deadline.now().duration(since: started) / .milliseconds(1)),
            peer: request.peer
        )
        entry.method = request.head.string(request.head.methodRange)
        entry.path = request.head.maskedTarget
        if request.peer != peer { entry.proxy = peer }
        entry.traceID = request.traceParent?.traceID
        write(entry)
    }

    /// Of a request whose head could not be read, only the end is known.
    func noteRefusal(_ number: UInt64, _ status: Int, from client: SocketAddress) {
        guard wants(number, status: status) else { return }
        let id = RequestID(number: number).text
        write(
            AccessEntry(requestID: id, status: status, bytesIn: 0, bytesOut: 0, milliseconds: 0, peer: client)
        )
    }

    func write(_ entry: AccessEntry) {
        var metadata: Logger.Metadata = [
            "request_id": "\(entry.requestID)", "status": "\(entry.status)", "bytes_in": "\(entry.bytesIn)",
            "bytes_out": "\(entry.bytesOut)", "duration_ms": "\(entry.milliseconds)", "peer": "\(entry.peer)",
        ]
        if let proxy = entry.proxy { metadata["proxy"] = "\(proxy)" }
        if let method = entry.method { metadata["method"] = "\(method)" }
        if let path = entry.path { metadata["path"] = "\(path)" }
        if let traceID = entry.traceID { metadata["trace_id"] = "\(traceID)" }
        logger.info("request", metadata: metadata)
    }
}

/// What is logged of one request; its line and its trace are missing when it could not be read.
struct AccessEntry: Sendable {
    let requestID: String
    let status: Int
    let bytesIn: Int
    let bytesOut: Int
    let milliseconds: Int64
    let peer: SocketAddress
    /// Who has passed the request on, where that is another.
    var proxy: SocketAddress?
    var method: String?
    var path: String?
    var traceID: String?
}

extension RequestHead {
    /// Path and query for logs, without keys.
    var maskedTarget: String {
        guard let query else { return string(path) }
        let items = bytes[query].split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false)
        return string(path) + "?" + items.map(Self.masked).joined(separator: "&")
    }

    private static func masked(_ item: ArraySlice<UInt8>) -> String {
        let text = String(decoding: item, as: UTF8.self)
        guard let separator = item.firstIndex(of: UInt8(ascii: "=")) else { return text }
        let raw = Array(item[..<separator])
        // Escapes may spell the name; where they are broken it may be anything. A value may hold items
        // itself, with separators of old.
        guard let read = try? QueryItems(Array(item).span).items.first, !soundsSecret(read.name),
            !(read.value.contains("=") && soundsSecret(read.value))
        else {
            return String(decoding: raw, as: UTF8.self) + "=***"
        }
        return text
    }

    /// Whether a secret is likely to be under this name; those who guess wrongly how a key is shown show one.
    private static func soundsSecret(_ name: String) -> Bool {
        let name = name.lowercased()
        return ["key", "token", "secret", "auth", "pass"].contains { name.contains($0) }
    }
}
