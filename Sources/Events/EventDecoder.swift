// Events: from the bytes of a request to events and rejections.
//
// Here: the check of JSON texts (``JSONScanner``), the envelope of an event (``EventDecoder``), the two
// shapes of a body (``JSONBody`` for application/json, ``EventLines`` for NDJSON), and the values inside
// (``Timestamp``, ``UUIDv7Generator``, ``NumericFields``). Not here: HTTP, keys, storage, JSON Schema.
// Nothing is imported, nothing does I/O, no clock is read: the time of receipt comes in a ``DecodeContext``.
//
// Bytes go one way: Span in, an ``EventArena`` filled. An accepted event is copied into the arena once, as a
// whole; its attributes are ranges of that copy, and only what had escapes or was made here is written after
// it. A body that is held whole becomes the arena itself, without a copy of it.

/// Decodes events in one pass each, into records or rejections.
///
/// The checks come in a fixed order: size, UTF-8, syntax, object, then the faults of the text by position
/// (nesting, numbers, surrogates, U+0000), duplicate names, missing attributes, and each attribute's own
/// rules.
package struct EventDecoder: Sendable {
    package let limits: EventLimits
    package let scanner: JSONScanner

    package init(limits: EventLimits = EventLimits()) {
        self.limits = limits
        scanner = JSONScanner(limits: limits)
    }

    /// Decodes one event, appending a record or a rejection with `index`.
    ///
    /// Whitespace around the event is not part of it.
    package func decode(
        _ text: Span<UInt8>,
        index: Int32,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) {
        let range = text.trimmed()
        if range.count > limits.eventBytesMax {
            rejectTooLarge(text, in: range, index: index, into: &arena)
            return
        }
        var reader = EnvelopeReader(limits: limits)
        do throws(JSONSyntaxError) {
            let end = try reader.envelope.scan(text, from: range.lowerBound, with: scanner)
            if end != range.upperBound { throw JSONSyntaxError(offset: end) }
        } catch {
            let refusal = Self.refusal(of: text, at: error.offset)
            reject(refusal, text, in: 0..<text.count, reader.envelope, index: index, into: &arena)
            return
        }
        finish(&reader, text, in: range, raw: 0..<text.count, index: index, context: &context, into: &arena)
    }

    /// Decodes the value at `start` of a longer text and returns the index after it.
    ///
    /// The event stays where it is: the arena's bytes are those that will stand behind the whole text, and
    /// the record's slices are of both together. On a throw the arena is as it was. What is in `scratch`,
    /// room for one event, does not matter.
    func decodeElement(
        _ text: Span<UInt8>,
        from start: Int,
        index: Int32,
        scratch: inout [UInt8],
        context: inout DecodeContext,
        into arena: inout EventArena
    ) throws(JSONSyntaxError) -> Int {
        var reader = EnvelopeReader(limits: limits)
        let end = try reader.envelope.scan(text, from: start, with: scanner)
        let range = start..<end
        scratch.removeAll(keepingCapacity: true)
        do throws(Refusal) {
            var record = try record(&reader, text, in: range, index: index, &context, into: &scratch)
            record.follow(first: range.count, to: start, restTo: text.count + arena.bytes.count)
            arena.bytes.append(copying: scratch.span.extracting(range.count..<scratch.count))
            arena.records.append(record)
        } catch {
            reject(error, text, in: range, reader.envelope, index: index, into: &arena)
        }
        return end
    }

    /// Appends a rejection for an event that is over the limit, of which `text` may be but the beginning.
    package func rejectTooLarge(_ text: Span<UInt8>, index: Int32, into arena: inout EventArena) {
        rejectTooLarge(text, in: text.trimmed(), index: index, into: &arena)
    }

    private func rejectTooLarge(
        _ text: Span<UInt8>,
        in range: Range<Int>,
        index: Int32,
        into arena: inout EventArena
    ) {
        var envelope = Envelope()
        // Only for the id: whatever is wrong with the text, it is too large.
        _ = try? envelope.scan(text, from: range.lowerBound, with: scanner)
        reject(tooLarge, text, in: 0..<text.count, envelope, index: index, into: &arena)
    }

    private var tooLarge: Refusal {
        Refusal(.eventTooLarge, "", "an event has at most \(limits.eventBytesMax) bytes")
    }

    /// A line that is not even text is told so, rather than where its JSON ends.
    private static func refusal(of text: Span<UInt8>, at offset: Int) -> Refusal {
        if let invalid = UTF8Check.firstInvalid(in: text) {
            return Refusal(.invalidUnicode, "", "byte \(invalid) is not UTF-8")
        }
        return Refusal(.malformedJSON, "", "the text stops being JSON at byte \(offset)")
    }

    private func finish(
        _ reader: inout EnvelopeReader,
        _ text: Span<UInt8>,
        in range: Range<Int>,
        raw: Range<Int>,
        index: Int32,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) {
        let base = arena.bytes.count
        do throws(Refusal) {
            let record = try record(&reader, text, in: range, index: index, &context, into: &arena.bytes)
            arena.records.append(record)
        } catch {
            arena.bytes.removeLast(arena.bytes.count - base)
            reject(error, text, in: raw, reader.envelope, index: index, into: &arena)
        }
    }

    /// The record of the event that lies in `range`, a copy of which is appended to `output`, and behind it
    /// what is not in the text as it is.
    private func record(
        _ reader: inout EnvelopeReader,
        _ text: Span<UInt8>,
        in range: Range<Int>,
        index: Int32,
        _ context: inout DecodeContext,
        into output: inout [UInt8]
    ) throws(Refusal) -> EventRecord {
        if range.count > limits.eventBytesMax { throw tooLarge }
        try checkText(reader.envelope, text, in: range)
        let base = output.count
        output.append(copying: text.extracting(range))
        return try reader.record(
            shift: base - range.lowerBound,
            text,
            EventRecord(index: index, rawBytes: Int32(range.count)),
            &context,
            into: &output
        )
    }

    /// The checks of the text as a whole.
    private func checkText(
        _ envelope: borrowing Envelope,
        _ text: Span<UInt8>,
        in range: Range<Int>
    ) throws(Refusal) {
        let fault = envelope.findings.fault
        if !envelope.isObject, fault?.reason != .invalidUTF8 {
            throw Refusal(.notAnObject, "", "an event is a JSON object")
        }
        if let fault {
            let pointer = envelope.pointer(at: fault.offset, text)
            throw refusal(of: fault, pointer: pointer, offset: fault.offset - range.lowerBound)
        }
        if let duplicate = envelope.duplicate {
            throw Refusal(.duplicateKey, duplicate, "the event has this name more than once")
        }
    }

    private func refusal(of fault: JSONFault, pointer: String, offset: Int) -> Refusal {
        switch fault.reason {
        case .invalidUTF8:
            Refusal(.invalidUnicode, pointer, "byte \(offset) is not UTF-8")
        case .loneSurrogate:
            Refusal(.invalidUnicode, pointer, "a surrogate without its other half at byte \(offset)")
        case .nullCharacter:
            Refusal(.unstorableText, pointer, "U+0000 at byte \(offset) cannot be stored")
        case .tooDeep:
            Refusal(.tooDeep, pointer, "more than \(limits.depthMax) levels at byte \(offset)")
        case .numberOutOfRange:
            Refusal(
                .numberOutOfRange,
                pointer,
                "the number at byte \(offset) has more than \(limits.numberDigitsMax) digits when written out"
            )
        }
    }

    private func reject(
        _ refusal: Refusal,
        _ text: Span<UInt8>,
        in range: Range<Int>,
        _ envelope: borrowing Envelope,
        index: Int32,
        into arena: inout EventArena
    ) {
        let kept = range.lowerBound..<min(range.upperBound, range.lowerBound + limits.rejectBytesMax)
        arena.rejections.append(
            Rejection(
                index: index,
                code: refusal.code,
                pointer: refusal.pointer,
                detail: refusal.detail,
                id: readableID(envelope, text),
                raw: [UInt8](copying: text.extracting(kept))
            )
        )
    }

    /// The id of a refused event, when it is a valid one.
    private func readableID(_ envelope: borrowing Envelope, _ text: Span<UInt8>) -> String? {
        guard let member = envelope.member(.id, text), text[member.value.lowerBound] == .quote else {
            return nil
        }
        // The id alone is looked at again: the fault may be anywhere, here too.
        let value = text.extracting(member.value)
        guard value.count <= limits.idBytesMax * 6 + 2, scanner.verdict(on: value) == .valid else {
            return nil
        }
        var id: [UInt8] = []
        JSONString.appendUnescaped(value, in: 1..<value.count - 1, to: &id)
        return 1...limits.idBytesMax ~= id.count ? String(decoding: id, as: UTF8.self) : nil
    }
}
