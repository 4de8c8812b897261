/// Why one event was refused; the raw value is the code that clients see.
package enum RejectCode: String, Sendable, CaseIterable {
    case malformedJSON = "malformed_json"
    case notAnObject = "not_an_object"
    case eventTooLarge = "event_too_large"
    case invalidUnicode = "invalid_unicode"
    case unstorableText = "unstorable_text"
    case tooDeep = "too_deep"
    case numberOutOfRange = "number_out_of_range"
    case duplicateKey = "duplicate_key"
    case missingType = "missing_type"
    case missingID = "missing_id"
    case missingSource = "missing_source"
    case missingSpecversion = "missing_specversion"
    case invalidSpecversion = "invalid_specversion"
    case invalidType = "invalid_type"
    /// The sender's key is for other types.
    case typeNotAllowed = "type_not_allowed"
    case invalidSource = "invalid_source"
    case invalidID = "invalid_id"
    case invalidSubject = "invalid_subject"
    case invalidTime = "invalid_time"
    case timeInFuture = "time_in_future"
    case timeTooOld = "time_too_old"
    case invalidAttribute = "invalid_attribute"
    case invalidData = "invalid_data"
    /// Set by the schema check, never by ``EventDecoder``.
    case schemaViolation = "schema_violation"
    /// Set by the write path for the valid events of a refused atomic request.
    case atomicAborted = "atomic_aborted"
    /// Set by the write path for what PostgreSQL would not take; the detail holds its SQLSTATE.
    case refusedByDatabase = "refused_by_database"
}

/// One refused event: the error for its sender, and its bytes for the dead letters.
package struct Rejection: Equatable, Sendable {
    /// The position among the request's events; blank lines are not counted.
    package var index: Int32
    package var code: RejectCode
    /// A JSON pointer to the member at fault; empty for the event as a whole.
    package var pointer: String
    package var detail: String
    /// The event's id, when one could be read and is a valid one.
    package var id: String?
    /// The text as received, cut at ``EventLimits/rejectBytesMax``.
    package var raw: [UInt8]

    package init(
        index: Int32,
        code: RejectCode,
        pointer: String,
        detail: String,
        id: String? = nil,
        raw: [UInt8]
    ) {
        self.index = index
        self.code = code
        self.pointer = pointer
        self.detail = detail
        self.id = id
        self.raw = raw
    }
}

/// Why the event at hand is refused, before it is tied to its bytes.
struct Refusal: Error {
    var code: RejectCode
    var pointer: String
    var detail: String

    init(_ code: RejectCode, _ pointer: String, _ detail: String) {
        self.code = code
        self.pointer = pointer
        self.detail = detail
    }
}
