import HTTP

/// A bound of the server; the metric counts how often each of them was reached.
///
/// The raw value is the counter's place.
enum ServerLimit: Int, CaseIterable, Sendable {
    case headBytes, fields, targetBytes, emptyLines, bodyBytes, chunkExtensionBytes, trailerBytes
    case headTimeout, bodyTimeout, requestTimeout, idleTimeout, writeTimeout, drainTimeout
    case connections, connectionsPerAddress, pipelined, bufferedBytes, inflatedBytes, inflationRatio

    /// The label of the metric.
    var name: String {
        switch self {
        case .headBytes: "head_bytes"
        case .fields: "fields"
        case .targetBytes: "target_bytes"
        case .emptyLines: "empty_lines"
        case .bodyBytes: "body_bytes"
        case .chunkExtensionBytes: "chunk_extension_bytes"
        case .trailerBytes: "trailer_bytes"
        case .headTimeout: "head_timeout"
        case .bodyTimeout: "body_timeout"
        case .requestTimeout: "request_timeout"
        case .idleTimeout: "idle_timeout"
        case .writeTimeout: "write_timeout"
        case .drainTimeout: "drain_timeout"
        case .connections: "connections"
        case .connectionsPerAddress: "connections_per_address"
        case .pipelined: "pipelined"
        case .bufferedBytes: "buffered_bytes"
        case .inflatedBytes: "inflated_bytes"
        case .inflationRatio: "inflation_ratio"
        }
    }

    /// The bound that a request has exceeded; `nil` when it broke a rule instead.
    init?(_ error: RequestError) {
        switch error {
        case .headTooLarge: self = .headBytes
        case .tooManyFields: self = .fields
        case .targetTooLong: self = .targetBytes
        case .tooManyEmptyLines: self = .emptyLines
        case .bodyTooLarge, .contentLengthTooLarge: self = .bodyBytes
        case .chunkExtensionsTooLarge: self = .chunkExtensionBytes
        case .trailersTooLarge: self = .trailerBytes
        case .headTimedOut: self = .headTimeout
        case .bodyTimedOut: self = .bodyTimeout
        case .requestTimedOut: self = .requestTimeout
        case .malformedRequestLine, .methodTooLong, .malformedTarget, .unsupportedVersion, .malformedField,
            .spaceBeforeColon, .foldedField, .repeatedField, .missingHost, .malformedHost,
            .malformedContentLength, .conflictingContentLengths, .contentLengthWithTransferEncoding,
            .transferEncodingInHTTP10, .malformedTransferEncoding, .unknownTransferCoding,
            .unknownExpectation, .malformedChunk, .malformedTrailer, .incompleteBody:
            return nil
        }
    }

    init?(_ error: InflateError) {
        switch error {
        case .tooLarge: self = .inflatedBytes
        case .ratioTooHigh: self = .inflationRatio
        case .corrupt, .truncated: return nil
        }
    }
}
