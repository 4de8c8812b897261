/// Why a request cannot be accepted; each case answers with one status, and then the connection closes.
///
/// Offsets count from the first byte of the head, or of the body as it was sent. The bytes themselves are
/// never carried.
package enum RequestError: Error, Equatable, Sendable {
    // The request line.
    case malformedRequestLine(offset: Int)
    case tooManyEmptyLines(limit: Int)
    case methodTooLong
    case malformedTarget(offset: Int)
    case targetTooLong(limit: Int)
    case unsupportedVersion(major: Int)

    // The fields.
    case malformedField(offset: Int)
    case spaceBeforeColon(offset: Int)
    case foldedField(offset: Int)
    case repeatedField(offset: Int)
    case headTooLarge(limit: Int)
    case tooManyFields(limit: Int)

    // What they mean.
    case missingHost
    case malformedHost(offset: Int)
    case malformedContentLength(offset: Int)
    case contentLengthTooLarge
    case conflictingContentLengths
    case contentLengthWithTransferEncoding
    case transferEncodingInHTTP10
    case malformedTransferEncoding(offset: Int)
    case unknownTransferCoding
    case unknownExpectation

    // The body.
    case malformedChunk(offset: Int)
    case chunkExtensionsTooLarge(limit: Int)
    case malformedTrailer(offset: Int)
    case trailersTooLarge(limit: Int)
    case bodyTooLarge(limit: Int)

    // Found by the connection, which has the clock and sees the stream end.
    case headTimedOut
    case bodyTimedOut
    case requestTimedOut
    case incompleteBody

    /// The status of the answer.
    package var status: Int {
        switch self {
        case .malformedRequestLine, .tooManyEmptyLines, .malformedTarget, .malformedField, .spaceBeforeColon,
            .foldedField, .repeatedField, .missingHost, .malformedHost, .malformedContentLength,
            .conflictingContentLengths, .contentLengthWithTransferEncoding, .transferEncodingInHTTP10,
            .malformedTransferEncoding, .malformedChunk, .chunkExtensionsTooLarge, .malformedTrailer,
            .incompleteBody:
            400
        case .headTimedOut, .bodyTimedOut, .requestTimedOut: 408
        case .contentLengthTooLarge, .bodyTooLarge: 413
        case .targetTooLong: 414
        case .unknownExpectation: 417
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .methodTooLong, .unknownTransferCoding: 501
        case .unsupportedVersion: 505
        }
    }

    /// A stable word for the problem's `code`, logs and metrics.
    package var code: String {
        switch self {
        case .malformedRequestLine, .tooManyEmptyLines: "malformed_request_line"
        case .methodTooLong: "unknown_method"
        case .malformedTarget: "malformed_target"
        case .targetTooLong: "target_too_long"
        case .unsupportedVersion: "unsupported_http_version"
        case .malformedField: "malformed_header"
        case .spaceBeforeColon: "space_before_colon"
        case .foldedField: "folded_header"
        case .repeatedField: "repeated_header"
        case .headTooLarge: "headers_too_large"
        case .tooManyFields: "too_many_headers"
        case .missingHost: "missing_host"
        case .malformedHost: "malformed_host"
        case .malformedContentLength: "malformed_content_length"
        case .contentLengthTooLarge: "body_too_large"
        case .conflictingContentLengths: "conflicting_content_lengths"
        case .contentLengthWithTransferEncoding: "content_length_with_transfer_encoding"
        case .transferEncodingInHTTP10: "transfer_encoding_in_http_1_0"
        case .malformedTransferEncoding: "malformed_transfer_encoding"
        case .unknownTransferCoding: "unknown_transfer_coding"
        case .unknownExpectation: "unknown_expectation"
        case .malformedChunk: "malformed_chunk"
        case .chunkExtensionsTooLarge: "chunk_extensions_too_large"
        case .malformedTrailer: "malformed_trailer"
        case .trailersTooLarge: "trailers_too_large"
        case .bodyTooLarge: "body_too_large"
        case .headTimedOut, .bodyTimedOut, .requestTimedOut: "request_timeout"
        case .incompleteBody: "incomplete_body"
        }
    }

    /// A sentence for the client's developer.
    package var detail: String {
        switch self {
        case .malformedRequestLine(let offset):
            "The request line is not METHOD SP TARGET SP HTTP/1.x CRLF (byte \(offset))."
        case .tooManyEmptyLines(let limit): "There are more than \(limit) empty lines before the request."
        case .methodTooLong: "The method is longer than any that is known here."
        case .malformedTarget(let offset):
            "The request target is not allowed for this method or not a URI (byte \(offset))."
        case .targetTooLong(let limit): "The request target is longer than \(limit) bytes."
        case .unsupportedVersion(let major): "HTTP/\(major) is not spoken here, only HTTP/1.1 and HTTP/1.0."
        case .malformedField(let offset): "A header line is not NAME \":\" VALUE CRLF (byte \(offset))."
        case .spaceBeforeColon(let offset):
            "There is whitespace between a header's name and its colon (byte \(offset))."
        case .foldedField(let offset):
            "A header line begins with whitespace; folded headers are refused (byte \(offset))."
        case .repeatedField(let offset): "A header that may come once came twice (byte \(offset))."
        case .headTooLarge(let limit): "Request line and headers are larger than \(limit) bytes."
        case .tooManyFields(let limit): "There are more than \(limit) headers."
        case .missingHost: "An HTTP/1.1 request needs a Host header."
        case .malformedHost(let offset): "The host is not HOST or HOST:PORT (byte \(offset))."
        case .malformedContentLength(let offset): "Content-Length is not a decimal number (byte \(offset))."
        case .contentLengthTooLarge: "Content-Length is beyond any limit."
        case .conflictingContentLengths: "There are two different Content-Lengths."
        case .contentLengthWithTransferEncoding: "Content-Length and Transfer-Encoding exclude each other."
        case .transferEncodingInHTTP10: "HTTP/1.0 has no Transfer-Encoding."
        case .malformedTransferEncoding(let offset):
            "Transfer-Encoding is not a list that ends with one \"chunked\" (byte \(offset))."
        case .unknownTransferCoding: "No transfer coding but \"chunked\" is known here."
        case .unknownExpectation: "No expectation but \"100-continue\" can be met."
        case .malformedChunk(let offset): "The chunked coding is broken at byte \(offset) of the body."
        case .chunkExtensionsTooLarge(let limit): "The chunk extensions are larger than \(limit) bytes."
        case .malformedTrailer(let offset): "A trailer line is broken at byte \(offset) of the body."
        case .trailersTooLarge(let limit): "The trailers are beyond the limit of \(limit)."
        case .bodyTooLarge(let limit): "The body is larger than \(limit) bytes."
        case .headTimedOut: "The headers did not arrive in time."
        case .bodyTimedOut: "The body did not arrive in time."
        case .requestTimedOut: "The request took too long in all."
        case .incompleteBody: "The connection ended in the middle of the body."
        }
    }
}
