import HTTP

/// What a whole connection's input came to, for comparing ways of cutting it.
struct Conversation: Equatable {
    struct Message: Equatable {
        var method: Method
        var path: String
        var query: String?
        var keepsAlive: Bool
        var framing: BodyFraming
        var fields: [String]
        var body: [UInt8]
    }

    var messages: [Message] = []
    var error: RequestError?
    /// Bytes of an unfinished head or body at the end.
    var isIncomplete = false

    /// Reads requests out of `input`, of which `reads` says how much has arrived before each step.
    ///
    /// It does what a connection does: parse a head, decode the body, go on with what is left until it
    /// closes.
    init(_ input: [UInt8], reads: some Sequence<Int>, limits: HTTPLimits = HTTPLimits()) {
        var parser = RequestParser(limits: limits)
        var head = RequestHead()
        var body: (decoder: BodyDecoder, bytes: [UInt8])?
        var position = 0
        do throws(RequestError) {
            for arrived in reads {
                var isStuck = false
                while !isStuck, position <= arrived {
                    let rest = input.span.extracting(position..<arrived)
                    if var (decoder, bytes) = body {
                        position += try decoder.decode(rest, into: &bytes)
                        body = (decoder, bytes)
                        guard decoder.isComplete else { break }
                        messages.append(Message(head, body: bytes))
                        body = nil
                        if !head.keepsAlive { return }
                    } else if let count = try parser.parse(rest, into: &head) {
                        position += count
                        body = (
                            BodyDecoder(head.framing, limits: limits, bodyBytesMax: limits.bodyBytesMax), []
                        )
                    } else {
                        isStuck = true
                    }
                }
            }
        } catch {
            self.error = error
        }
        isIncomplete = body != nil || position < input.count
    }

    /// The whole input at once.
    init(whole input: [UInt8], limits: HTTPLimits = HTTPLimits()) {
        self.init(input, reads: [input.count], limits: limits)
    }

    /// One byte after the other.
    init(dribbled input: [UInt8], limits: HTTPLimits = HTTPLimits()) {
        self.init(input, reads: 0...input.count, limits: limits)
    }
}

extension Conversation.Message {
    init(_ head: RequestHead, body: [UInt8]) {
        method = head.method
        path = head.string(head.path)
        query = head.query.map(head.string)
        keepsAlive = head.keepsAlive
        framing = head.framing
        fields = (0..<head.fieldCount).map { position in
            let field = head.field(at: position)
            return "\(head.string(field.name))=\(head.string(field.value))"
        }
        self.body = body
    }
}

/// Parses a text that holds exactly one head.
func parsedHead(_ text: String, limits: HTTPLimits = HTTPLimits()) throws(RequestError) -> RequestHead? {
    let bytes = Array(text.utf8)
    var parser = RequestParser(limits: limits)
    var head = RequestHead()
    return try parser.parse(bytes.span, into: &head) == bytes.count ? head : nil
}

/// A small generator whose seed a failing test can print (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
