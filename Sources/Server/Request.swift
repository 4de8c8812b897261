package import Events
package import HTTP
package import Reactor

/// One request, as its handler sees it: the head and who sent it.
///
/// The body comes through a ``BodyReader``.
package struct Request: Sendable {
    package let head: RequestHead
    /// The values of the pattern's `{names}`, percent-decoded.
    package let parameters: [String: String]
    /// Where the client is, as far as proxies that are trusted say so.
    package let peer: SocketAddress
    /// Whose key it came with; `nil` for a request that needed none.
    package internal(set) var principal: Principal? = nil
    /// The request's number among all of this process.
    let number: UInt64

    /// What names the request: the client's id, if it is a sane one, else its number.
    package var requestID: RequestID {
        if let range = head.value(.requestID), let id = RequestID(client: head.bytes.span.extracting(range)) {
            return id
        }
        return RequestID(number: number)
    }

    /// Appends the field with ``requestID`` to an answer's head, without making a text of it.
    func appendRequestID(to output: inout [UInt8]) {
        if let range = head.value(.requestID), RequestID.isValid(head.bytes.span.extracting(range)) {
            RequestID.appendField(client: head.bytes[range], to: &output)
        } else {
            RequestID.appendField(number: number, to: &output)
        }
    }

    /// The text of ``requestID``.
    ///
    /// Goes into problems and logs.
    package var id: String { requestID.text }

    /// Who asks, for the audit trail.
    package var actor: String { principal.map { "key:\($0.key.id)" } ?? "local" }

    /// The trace that the client says the request belongs to; `nil` for none, and for a field that is not
    /// valid or came twice.
    package var traceParent: TraceParent? {
        guard let range = head.value(.traceparent), !head.isRepeated(.traceparent) else { return nil }
        return TraceParent(head.bytes.span.extracting(range))
    }

    /// The query's items, percent-decoded.
    ///
    /// - Throws: ``TargetError`` for a bad escape; answer it with ``problem(_:)-(TargetError)``.
    package func query() throws(TargetError) -> QueryItems {
        guard let range = head.query else { return QueryItems() }
        return try QueryItems(head.bytes.span.extracting(range))
    }

    /// An answer that says what went wrong (RFC 9457).
    package func problem(_ status: Int, _ code: String, _ detail: String) -> Response {
        Response(Problem(status: status, code: code, detail: detail, requestID: id))
    }

    package func problem(_ error: TargetError) -> Response { Response(Problem(error, requestID: id)) }

    /// The answer to what cannot be done now: status 503, to be asked for again after a second.
    package func unavailable(_ code: String, _ detail: String) -> Response {
        var response = problem(503, code, detail)
        response.fields.append(("Retry-After", "1"))
        return response
    }

    /// The members of the JSON object that is the whole body.
    ///
    /// - Throws: ``RefusedBody`` with the answer to one that cannot be read or is no JSON object.
    package func object(
        of reader: BodyReader,
        atMost bytesMax: Int
    ) async throws(RefusedBody) -> [String: JSONValue] {
        let body: [UInt8]
        do throws(BodyError) { body = try await reader.collect(atMost: bytesMax) } catch {
            throw RefusedBody(answer: problem(error))
        }
        do throws(JSONReadError) { return try JSONReader.object(body) } catch {
            throw RefusedBody(answer: problem(400, "malformed_json", "\(error.detail)."))
        }
    }

    /// The answer to a body that could not be read.
    package func problem(_ error: BodyError) -> Response {
        switch error {
        case .refused(let refusal): return Response(Problem(refusal, requestID: id))
        case .unsupportedCoding:
            var response = problem(
                415,
                "unsupported_content_encoding",
                "The body's coding is not one of \(BodyCoding.accepted)."
            )
            response.fields.append(("Accept-Encoding", BodyCoding.accepted))
            return response
        case .inflation(let error): return problem(error)
        case .overloaded:
            return unavailable("overloaded", "All memory for requests is taken. Send it again shortly.")
        // Nobody is left to read it; it only ends the handler in the ordinary way.
        case .disconnected: return problem(400, "incomplete_body", "The connection ended within the body.")
        }
    }

    private func problem(_ error: InflateError) -> Response {
        switch error {
        case .corrupt(let offset):
            return Response(
                Problem(
                    status: 400,
                    code: "corrupt_body",
                    detail: "The compressed body is damaged at about byte \(offset).",
                    requestID: id,
                    members: [("offset", .int(offset))]
                )
            )
        case .truncated: return problem(400, "truncated_body", "The compressed body ends too early.")
        case .tooLarge(let limit):
            return problem(413, "body_too_large", "The inflated body is larger than \(limit) bytes.")
        case .ratioTooHigh(let limit):
            return problem(
                413,
                "compression_ratio_too_high",
                "The body inflates to more than \(limit) times its size."
            )
        }
    }
}

/// A body that a route cannot use.
package struct RefusedBody: Error {
    /// What its sender is told.
    package let answer: Response
}
