/// Why a body as a whole is refused; nothing of it is kept.
package enum JSONBodyError: Error, Equatable, Sendable {
    /// Nothing but whitespace.
    case empty
    /// The text stops being JSON at this byte, counted from 0; the count of bytes when it is cut short.
    case malformed(offset: Int)
    /// JSON, but neither an object nor an array.
    case scalar
    /// An array where one object was expected.
    case unexpectedArray
    /// An object where an array was expected.
    case unexpectedObject
    /// More events than the limit.
    case tooManyEvents
}

/// A whole `application/json` body: one event, or an array of them.
package enum JSONBody {
    /// What the content type promises.
    package enum Shape: Sendable {
        /// `application/json`
        case any
        /// `application/cloudevents+json`
        case object
        /// `application/cloudevents-batch+json`
        case array
    }

    /// Decodes all events of the body, whose bytes become the arena's own, without a copy of them.
    ///
    /// Behind them comes what had to be written anew; with room for that, the body stays where it is.
    ///
    /// - Throws: ``JSONBodyError/tooManyEvents`` beyond `eventsMax` events, for one. A byte order mark is
    ///   malformed. Each event becomes a record or a rejection, numbered from 0.
    package static func decode(
        _ body: consuming [UInt8],
        as shape: Shape = .any,
        eventsMax: Int = .max,
        with decoder: EventDecoder,
        context: inout DecodeContext
    ) throws(JSONBodyError) -> EventArena {
        var arena = EventArena()
        try decodeAll(
            body.span,
            as: shape,
            eventsMax: eventsMax,
            with: decoder,
            context: &context,
            into: &arena
        )
        body.append(contentsOf: arena.bytes)
        arena.bytes = body
        return arena
    }

    private static func decodeAll(
        _ body: Span<UInt8>,
        as shape: Shape,
        eventsMax: Int,
        with decoder: EventDecoder,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) throws(JSONBodyError) {
        var index = 0
        let first = body.skipSpace(&index)
        if index == body.count { throw .empty }
        let isArray = first == .bracketOpen
        var count = 1
        do throws(JSONSyntaxError) {
            if isArray {
                count = try decodeElements(
                    body,
                    &index,
                    eventsMax: eventsMax,
                    with: decoder,
                    context: &context,
                    into: &arena
                )
            } else {
                var scratch: [UInt8] = []
                index = try decoder.decodeElement(
                    body,
                    from: index,
                    index: 0,
                    scratch: &scratch,
                    context: &context,
                    into: &arena
                )
            }
        } catch {
            throw .malformed(offset: error.offset)
        }
        // Each event costs memory beyond its bytes, so the rest is not even looked at.
        if count > eventsMax { throw .tooManyEvents }
        _ = body.skipSpace(&index)
        // The syntax of the whole text goes before what kind of value it is.
        if index < body.count { throw .malformed(offset: index) }
        if !isArray, first != .braceOpen { throw .scalar }
        if isArray, shape == .object { throw .unexpectedArray }
        if !isArray, shape == .array { throw .unexpectedObject }
    }

    private static func decodeElements(
        _ body: Span<UInt8>,
        _ index: inout Int,
        eventsMax: Int,
        with decoder: EventDecoder,
        context: inout DecodeContext,
        into arena: inout EventArena
    ) throws(JSONSyntaxError) -> Int {
        index &+= 1
        if body.skipSpace(&index) == .bracketClose {
            index &+= 1
            return 0
        }
        var count: Int32 = 0
        var scratch: [UInt8] = []
        while true {
            if count == eventsMax { return Int(count) + 1 }
            index = try decoder.decodeElement(
                body,
                from: index,
                index: count,
                scratch: &scratch,
                context: &context,
                into: &arena
            )
            count += 1
            let next = body.skipSpace(&index)
            guard next == .comma || next == .bracketClose else { throw JSONSyntaxError(offset: index) }
            index &+= 1
            if next == .bracketClose { return Int(count) }
            _ = body.skipSpace(&index)
        }
    }
}
