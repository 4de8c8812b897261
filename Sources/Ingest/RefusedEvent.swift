import Events

/// An event that passed every check of ours and that PostgreSQL refused, as the reject that it becomes.
enum RefusedEvent {
    static func rejection(of event: EventRecord, in arena: EventArena, sqlState: String) -> Rejection {
        Rejection(
            index: event.index,
            code: .refusedByDatabase,
            pointer: "",
            detail: "PostgreSQL does not take it: SQLSTATE \(sqlState)",
            id: clientID(of: event, in: arena),
            raw: text(of: event, in: arena)
        )
    }

    /// For the answer alone: a valid event of an atomic request is not kept, as nothing is wrong with it.
    static func abortion(of event: EventRecord, in arena: EventArena) -> Rejection {
        Rejection(
            index: event.index,
            code: .atomicAborted,
            pointer: "",
            detail: "another event of this atomic request was refused",
            id: clientID(of: event, in: arena),
            raw: []
        )
    }

    private static func clientID(of event: EventRecord, in arena: EventArena) -> String? {
        event.idIsGenerated ? nil : String(decoding: arena.bytes[event.id.range], as: UTF8.self)
    }

    /// The event as JSON again, which says what came and can be sent again.
    ///
    /// Where the text that came lies in the arena is not known any more.
    static func text(of event: EventRecord, in arena: EventArena) -> [UInt8] {
        let bytes = arena.bytes.span
        var text: [UInt8] = [UInt8(ascii: "{")]
        func key(_ name: String) {
            if text.count > 1 { text.append(UInt8(ascii: ",")) }
            text.append(contentsOf: "\"\(name)\":".utf8)
        }
        for (name, value) in [("type", event.type), ("source", event.source), ("subject", event.subject)]
        where !value.isAbsent {
            key(name)
            JSONString.append(bytes.extracting(value.range), to: &text)
        }
        if !event.idIsGenerated {
            key("id")
            JSONString.append(bytes.extracting(event.id.range), to: &text)
        }
        if let time = event.time {
            key("time")
            JSONString.append(Timestamp.format(time).span, to: &text)
        }
        // An object's text: its members, without the braces.
        if event.attributes.count > 2 {
            text.append(UInt8(ascii: ","))
            text.append(contentsOf: arena.bytes[event.attributes.range].dropFirst().dropLast())
        }
        if !event.data.isAbsent {
            key("data")
            text.append(contentsOf: arena.bytes[event.data.range])
        }
        if !event.dataBytes.isAbsent {
            key("data_base64")
            text.append(UInt8(ascii: "\""))
            Base64.append(bytes.extracting(event.dataBytes.range), to: &text)
            text.append(UInt8(ascii: "\""))
        }
        text.append(UInt8(ascii: "}"))
        return text
    }
}
