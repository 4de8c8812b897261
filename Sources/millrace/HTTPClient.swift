import Reactor

/// Why a request got no answer.
enum HTTPClientError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreachable(StreamError)
    case broken(StreamError)
    case timedOut
    case response(ResponseError)

    var description: String {
        switch self {
        case .unreachable(.system(let error)), .broken(.system(let error)): error.description
        case .unreachable: "it cannot be reached"
        case .broken: "the connection broke"
        case .timedOut: "no answer in time"
        case .response(let error): error.description
        }
    }
}

/// One connection to a server, opened when it is needed and kept between requests (RFC 9112).
///
/// Confined to its loop, and to one task at a time. ``close()`` it in the end.
final class HTTPClient {
    private let server: ServerURL
    /// Sent with every request; from the environment, as a command line is for everybody to see.
    private let key: String?
    private let loop: EventLoop
    private var stream: ByteStream?
    private var input = ReadBuffer(capacity: HTTPClient.readBytes)

    private static let readBytes = 16 << 10

    init(_ server: ServerURL, key: String? = nil, on loop: EventLoop) {
        self.server = server
        // A line end would let it speak for itself.
        self.key = key.flatMap { $0.utf8.allSatisfy { 0x21...0x7E ~= $0 } ? $0 : nil }
        self.loop = loop
    }

    /// Sends a request and returns its whole answer.
    ///
    /// After an error the connection is closed, and nobody knows whether the server has done what it was
    /// asked.
    func send(
        _ method: String,
        _ path: String,
        contentType: String? = nil,
        body: [UInt8] = [],
        deadline: Deadline
    ) async throws(HTTPClientError) -> HTTPResponse {
        dropStale()
        let stream = try await connected(deadline)
        do throws(HTTPClientError) {
            let request = Array(head(method, path, contentType, body.count).utf8) + body
            try await write(request, to: stream, deadline)
            let response = try await answer(from: stream, deadline)
            if !response.keepsAlive || !input.isEmpty { close() }
            return response
        } catch {
            close()
            throw error
        }
    }

    func close() {
        stream?.close()
        stream = nil
        input.removeAll()
    }

    /// A server that has closed an idle connection meant no harm, and a new one costs little.
    private func dropStale() {
        guard let stream else { return }
        let outcome = try? stream.tryRead(into: &input, atMost: 1)
        if outcome != .wouldBlock { close() }
    }

    private func connected(_ deadline: Deadline) async throws(HTTPClientError) -> ByteStream {
        if let stream { return stream }
        var failure = StreamError.closed
        for host in server.hosts {
            do throws(StreamError) {
                let opened = try await open(host, deadline)
                stream = opened
                return opened
            } catch {
                failure = error
            }
        }
        throw failure == .timedOut ? .timedOut : .unreachable(failure)
    }

    private func open(_ host: String, _ deadline: Deadline) async throws(StreamError) -> ByteStream {
        if let path = server.socketPath {
            return try await ByteStream.connect(path: path, on: loop, deadline: deadline)
        }
        return try await ByteStream.connect(
            host: host,
            port: server.address.port,
            on: loop,
            deadline: deadline
        )
    }

    private func head(_ method: String, _ path: String, _ contentType: String?, _ length: Int) -> String {
        var head = "\(method) \(server.prefix)\(path) HTTP/1.1\r\nHost: \(server.address)\r\n"
        head += "User-Agent: millrace/\(Program.version)\r\nAccept: application/json\r\n"
        if let key { head += "Authorization: Bearer \(key)\r\n" }
        if let contentType { head += "Content-Type: \(contentType)\r\nContent-Length: \(length)\r\n" }
        return head + "\r\n"
    }

    private func write(
        _ bytes: [UInt8],
        to stream: ByteStream,
        _ deadline: Deadline
    ) async throws(HTTPClientError) {
        do throws(StreamError) {
            try await stream.write(bytes, deadline: deadline)
        } catch .timedOut {
            throw .timedOut
        } catch {
            // A server that refuses early closes without reading on; its answer may have come before that.
            guard (try? stream.tryRead(into: &input, atMost: Self.readBytes)) != nil, !input.isEmpty else {
                throw .broken(error)
            }
        }
    }

    private func answer(
        from stream: ByteStream,
        _ deadline: Deadline
    ) async throws(HTTPClientError) -> HTTPResponse {
        var parser = ResponseParser()
        while true {
            do throws(ResponseError) {
                input.consume(try Self.take(from: input, into: &parser))
                if parser.isComplete { return parser.response }
            } catch {
                throw .response(error)
            }
            if try await read(from: stream, deadline) { continue }
            do throws(ResponseError) { try parser.takeEnd() } catch { throw .response(error) }
            return parser.response
        }
    }

    /// A function of its own, because a span must not outlive the array that it looks into.
    private static func take(
        from input: ReadBuffer,
        into parser: inout ResponseParser
    ) throws(ResponseError) -> Int {
        let bytes = input.bytes
        return try parser.take(bytes.span.extracting(input.readable))
    }

    /// Reads more; `false` at the end of the stream.
    private func read(from stream: ByteStream, _ deadline: Deadline) async throws(HTTPClientError) -> Bool {
        do throws(StreamError) {
            return try await stream.read(into: &input, atMost: Self.readBytes, deadline: deadline) > 0
        } catch .timedOut {
            throw .timedOut
        } catch {
            throw .broken(error)
        }
    }
}
