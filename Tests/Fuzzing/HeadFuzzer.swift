/// Request heads: one parse of all bytes, and one as they would come off a socket.
enum Fuzzer {
    private enum Outcome: Equatable {
        case head(used: Int, target: String, fields: Int, framing: BodyFraming)
        case incomplete
        case refused(RequestError)
    }

    static func run(_ bytes: [UInt8]) {
        let whole = outcome(bytes) { _, count in count }
        var cuts = Cuts(bytes)
        let cut = outcome(bytes) { done, count in done + cuts.next(of: count - done) }
        check(whole == cut, "\(whole) as a whole, \(cut) in pieces")
    }

    private static func outcome(_ bytes: [UInt8], _ next: (Int, Int) -> Int) -> Outcome {
        var parser = RequestParser(limits: HTTPLimits())
        var head = RequestHead()
        var come = 0
        do throws(RequestError) {
            repeat {
                come = next(come, bytes.count)
                if let used = try parser.parse(bytes.span.extracting(0..<come), into: &head) {
                    check(used <= come, "a head ends within what has come")
                    let path = percentDecodedPath(head.bytes.span.extracting(head.path))
                    check(path?.contains("..") != true, "no path leads upwards")
                    return .head(
                        used: used,
                        target: head.string(head.target),
                        fields: head.fieldCount,
                        framing: head.framing
                    )
                }
            } while come < bytes.count
            return .incomplete
        } catch {
            return .refused(error)
        }
    }
}
