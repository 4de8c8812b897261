/// Makes a record of an envelope whose text is sound, or says which attribute is not.
///
/// The event's text has been copied into the output: a position of the text plus ``shift`` is one of the
/// output.
struct EnvelopeReader: ~Copyable {
    var envelope = Envelope()
    let limits: EventLimits
    private var shift = 0

    init(limits: EventLimits) {
        self.limits = limits
    }

    /// Fills in the record, appending to `output` what is not in the text as it is.
    mutating func record(
        shift: Int,
        _ text: Span<UInt8>,
        _ blank: EventRecord,
        _ context: inout DecodeContext,
        into output: inout [UInt8]
    ) throws(Refusal) -> EventRecord {
        self.shift = shift
        var record = blank
        let isStrict = context.isStrict
        try checkRequired(text, isStrict)
        try checkSpecversion(text, &output)
        if let type = envelope.member(.type, text) {
            record.type = try self.type(text, type, isStrict, context.allowedTypes, &output)
        }
        if let source = envelope.member(.source, text) {
            record.source = try self.source(text, source, isStrict, &output)
        } else {
            record.source = Slice(output.count..<output.count + context.defaultSource.count)
            output.append(copying: context.defaultSource.span)
        }
        if let id = envelope.member(.id, text) {
            record.id = try string(text, id, .id, .invalidID, bytesMax: limits.idBytesMax, isStrict, &output)
            record.idTime = time(ofID: output.span.extracting(record.id.range), context.receivedAt)
        }
        if let subject = envelope.member(.subject, text) {
            record.subject = try string(
                text,
                subject,
                .subject,
                .invalidSubject,
                bytesMax: limits.subjectBytesMax,
                isStrict,
                &output
            )
        }
        if let time = envelope.member(.time, text) {
            record.time = try self.time(text, time, receivedAt: context.receivedAt, &output)
        } else if let time = record.idTime {
            // Held to the same limits: an id that were dated on one try and undated on another, because the
            // clock has moved on, would be stored twice.
            try checkRange(of: time, receivedAt: context.receivedAt, "/id")
        }
        record.attributes = try attributes(text, isStrict, &output)
        try readData(text, &record, &output)
        // Last, so that a refused event uses up no id.
        if record.id.isAbsent {
            record.uuid = context.ids.next(microseconds: context.receivedAt)
            record.idIsGenerated = true
            record.id = Slice(output.count..<output.count + 36)
            appendUUID(record.uuid, to: &output)
        }
        return record
    }

    private func type(
        _ text: Span<UInt8>,
        _ member: Member,
        _ isStrict: Bool,
        _ allowed: [[UInt8]],
        _ output: inout [UInt8]
    ) throws(Refusal) -> Slice {
        let slice = try string(
            text,
            member,
            .type,
            .invalidType,
            bytesMax: limits.typeBytesMax,
            isStrict,
            &output
        )
        try checkAllowed(output.span.extracting(slice.range), allowed)
        return slice
    }

    private func checkAllowed(_ type: Span<UInt8>, _ allowed: [[UInt8]]) throws(Refusal) {
        if allowed.isEmpty { return }
        for candidate in allowed where candidate.count == type.count {
            if type.indices.allSatisfy({ type[$0] == candidate[$0] }) { return }
        }
        throw Refusal(.typeNotAllowed, "/type", "this key may not send events of this type")
    }

    /// The time inside an id that is the text of a UUIDv7.
    private func time(ofID id: Span<UInt8>, _ receivedAt: Int64) -> Int64? {
        // Most ids are UUIDs of another version: one look at the digit that says so saves reading them.
        guard id.count == 36, id[14] == UInt8(ascii: "7"), let uuid = parseUUID(id),
            let time = UUIDv7Generator.microseconds(of: uuid)
        else { return nil }
        let horizon = limits.futureMicrosecondsMax + limits.futureIDMicrosecondsMax
        return time > receivedAt && time - receivedAt > horizon ? nil : time
    }

    private func checkRequired(_ text: Span<UInt8>, _ isStrict: Bool) throws(Refusal) {
        if envelope.member(.type, text) == nil {
            throw Refusal(.missingType, "/type", "an event must have a type")
        }
        guard isStrict else { return }
        if envelope.member(.id, text) == nil {
            throw Refusal(.missingID, "/id", "a CloudEvent must have an id")
        }
        if envelope.member(.source, text) == nil {
            throw Refusal(.missingSource, "/source", "a CloudEvent must have a source")
        }
        if envelope.member(.specversion, text) == nil {
            throw Refusal(.missingSpecversion, "/specversion", "a CloudEvent must have a specversion")
        }
    }

    private func checkSpecversion(_ text: Span<UInt8>, _ output: inout [UInt8]) throws(Refusal) {
        guard let member = envelope.member(.specversion, text) else { return }
        let isVersion =
            if let value = unescaped(text, member, &output) {
                value.count == 3 && output[value.lowerBound] == UInt8(ascii: "1")
                    && output[value.lowerBound + 1] == UInt8(ascii: ".")
                    && output[value.lowerBound + 2] == UInt8(ascii: "0")
            } else {
                false
            }
        if !isVersion {
            throw Refusal(.invalidSpecversion, "/specversion", "the specversion must be \"1.0\"")
        }
    }

    /// The range of the output where the string's characters are; nil when the value is no string.
    private func unescaped(_ text: Span<UInt8>, _ member: Member, _ output: inout [UInt8]) -> Range<Int>? {
        let value = member.value
        guard text[value.lowerBound] == .quote else { return nil }
        let inner = value.lowerBound &+ 1..<value.upperBound &- 1
        if !member.valueHasEscapes { return inner.lowerBound &+ shift..<inner.upperBound &+ shift }
        let start = output.count
        JSONString.appendUnescaped(text, in: inner, to: &output)
        return start..<output.count
    }

    private func string(
        _ text: Span<UInt8>,
        _ member: Member,
        _ name: EnvelopeName,
        _ code: RejectCode,
        bytesMax: Int,
        _ isStrict: Bool,
        _ output: inout [UInt8]
    ) throws(Refusal) -> Slice {
        guard let range = unescaped(text, member, &output), 1...bytesMax ~= range.count else {
            throw Refusal(code, name.pointer, "the \(name) must be a string of 1 to \(bytesMax) bytes")
        }
        if isStrict, !AttributeRules.isString(output.span.extracting(range)) {
            throw Refusal(code, name.pointer, "the \(name) has a control character or noncharacter")
        }
        return Slice(range)
    }

    private func source(
        _ text: Span<UInt8>,
        _ member: Member,
        _ isStrict: Bool,
        _ output: inout [UInt8]
    ) throws(Refusal) -> Slice {
        let slice = try string(
            text,
            member,
            .source,
            .invalidSource,
            bytesMax: limits.sourceBytesMax,
            isStrict,
            &output
        )
        if isStrict, !AttributeRules.isURIReference(output.span.extracting(slice.range)) {
            throw Refusal(.invalidSource, "/source", "the source must be a URI-reference")
        }
        return slice
    }

    private func time(
        _ text: Span<UInt8>,
        _ member: Member,
        receivedAt: Int64,
        _ output: inout [UInt8]
    ) throws(Refusal) -> Int64 {
        guard let range = unescaped(text, member, &output),
            let time = Timestamp.parse(output.span.extracting(range))
        else { throw Refusal(.invalidTime, "/time", "the time must be an RFC 3339 timestamp") }
        try checkRange(of: time, receivedAt: receivedAt, "/time")
        return time
    }

    private func checkRange(of time: Int64, receivedAt: Int64, _ pointer: String) throws(Refusal) {
        if time > receivedAt, time - receivedAt > limits.futureMicrosecondsMax {
            let seconds = limits.futureMicrosecondsMax / 1_000_000
            throw Refusal(.timeInFuture, pointer, "the time is more than \(seconds) s ahead")
        }
        if let retention = limits.retentionMicroseconds, time < receivedAt, receivedAt - time > retention {
            throw Refusal(.timeTooOld, pointer, "the time is older than what is kept")
        }
    }

    private func readData(
        _ text: Span<UInt8>,
        _ record: inout EventRecord,
        _ output: inout [UInt8]
    ) throws(Refusal) {
        let data = envelope.member(.data, text)
        if let data { record.data = Slice(data.value.lowerBound + shift..<data.value.upperBound + shift) }
        guard let encoded = envelope.member(.dataBase64, text) else { return }
        if data != nil {
            throw Refusal(.invalidData, "/data_base64", "data and data_base64 exclude each other")
        }
        guard let range = unescaped(text, encoded, &output),
            let decoded = Base64.decode(output.span.extracting(range))
        else { throw Refusal(.invalidData, "/data_base64", "data_base64 must be a Base64 string") }
        record.dataBytes = Slice(output.count..<output.count + decoded.count)
        output.append(copying: decoded.span)
    }
}

/// The attributes without a field of their own.
extension EnvelopeReader {
    /// Appends them as a JSON object, names and values as sent; absent when there are none.
    private func attributes(
        _ text: Span<UInt8>,
        _ isStrict: Bool,
        _ output: inout [UInt8]
    ) throws(Refusal) -> Slice {
        let specversion = envelope.member(.specversion, text)
        let contentType = envelope.member(.datacontenttype, text)
        let schema = envelope.member(.dataschema, text)
        if let contentType {
            try check(text, contentType, .datacontenttype, isStrict, &output, AttributeRules.isMediaType)
        }
        if let schema { try check(text, schema, .dataschema, isStrict, &output, AttributeRules.isURI) }
        for other in envelope.others { try checkExtension(text, other, isStrict, &output) }

        let start = output.count
        if let specversion { append(text, specversion, after: start, to: &output) }
        if let contentType { append(text, contentType, after: start, to: &output) }
        if let schema { append(text, schema, after: start, to: &output) }
        for other in envelope.others where text[other.value.lowerBound] != UInt8(ascii: "n") {
            append(text, other, after: start, to: &output)
        }
        if output.count == start { return .absent }
        output.append(.braceClose)
        return Slice(start..<output.count)
    }

    private func append(_ text: Span<UInt8>, _ member: Member, after start: Int, to output: inout [UInt8]) {
        output.append(output.count == start ? .braceOpen : .comma)
        // From the quote before the name to the end of the value: a colon and perhaps spaces are between.
        output.append(copying: text.extracting(member.name.lowerBound &- 1..<member.value.upperBound))
    }

    private func check(
        _ text: Span<UInt8>,
        _ member: Member,
        _ name: EnvelopeName,
        _ isStrict: Bool,
        _ output: inout [UInt8],
        _ rule: (Span<UInt8>) -> Bool
    ) throws(Refusal) {
        guard let range = unescaped(text, member, &output) else {
            throw Refusal(.invalidAttribute, name.pointer, "the \(name) must be a string")
        }
        if isStrict, !rule(output.span.extracting(range)) {
            let kind = name == .dataschema ? "URI" : "media type"
            throw Refusal(.invalidAttribute, name.pointer, "the \(name) must be a \(kind)")
        }
    }

    private func checkExtension(
        _ text: Span<UInt8>,
        _ member: Member,
        _ isStrict: Bool,
        _ output: inout [UInt8]
    ) throws(Refusal) {
        let first = text[member.value.lowerBound]
        if first == UInt8(ascii: "n") { return }
        func refusal(_ detail: String) -> Refusal {
            Refusal(.invalidAttribute, Envelope.pointer(to: member, text), detail)
        }
        if first == .braceOpen || first == .bracketOpen {
            throw refusal("an extension attribute must be a string, a number or a boolean")
        }
        guard isStrict else { return }
        if !AttributeRules.isName(Envelope.name(of: member, text).span) {
            throw refusal("a CloudEvents attribute's name has the characters a to z and 0 to 9 only")
        }
        if first == .quote {
            if let range = unescaped(text, member, &output),
                !AttributeRules.isString(output.span.extracting(range))
            {
                throw refusal("the attribute has a control character or noncharacter")
            }
        } else if first.isDigit || first == UInt8(ascii: "-") {
            if !AttributeRules.isInteger(text.extracting(member.value)) {
                throw refusal("a CloudEvents attribute's number is an integer of 32 bits")
            }
        }
    }
}
