/// An error answer's body (RFC 9457), sent as `application/problem+json`.
package struct Problem: Sendable {
    /// The value of a member beyond the standard ones.
    package enum Value: Equatable, Sendable {
        case string(String)
        case int(Int)
        /// JSON text.
        case raw([UInt8])
    }

    package static let contentType = "application/problem+json"

    package var status: Int
    package var code: String
    package var title: String
    package var detail: String
    package var requestID: String
    /// Further members, in order, such as `offset`.
    package var members: [(name: String, value: Value)]

    /// A problem; without a title it has the status's own words, as `about:blank` wants it (RFC 9457 4.2.1).
    package init(
        status: Int,
        code: String,
        title: String? = nil,
        detail: String,
        requestID: String,
        members: [(name: String, value: Value)] = []
    ) {
        self.status = status
        self.code = code
        self.title = title ?? StatusLine.reason(status)
        self.detail = detail
        self.requestID = requestID
        self.members = members
    }

    /// What the parser found wrong.
    package init(_ error: RequestError, requestID: String) {
        self.init(status: error.status, code: error.code, detail: error.detail, requestID: requestID)
    }

    /// What is wrong with the path or the query.
    package init(_ error: TargetError, requestID: String) {
        self.init(status: error.status, code: error.code, detail: error.detail, requestID: requestID)
    }

    /// The body.
    package func json() -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.member("type", "about:blank")
        writer.member("title", title)
        writer.member("status", status)
        writer.member("detail", detail)
        writer.member("code", code)
        writer.member("request_id", requestID)
        for (name, value) in members {
            writer.key(name)
            switch value {
            case .string(let text): writer.string(text)
            case .int(let number): writer.int(number)
            case .raw(let json): writer.raw(json)
            }
        }
        writer.endObject()
        return writer.finish()
    }
}
