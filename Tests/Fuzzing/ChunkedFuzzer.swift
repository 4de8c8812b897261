/// Chunked bodies, whole and in pieces.
enum Fuzzer {
    private enum Outcome: Equatable {
        case body([UInt8], used: Int)
        case incomplete([UInt8])
        case refused(RequestError)
    }

    static func run(_ bytes: [UInt8]) {
        let whole = outcome(bytes) { $0 }
        var cuts = Cuts(bytes)
        let cut = outcome(bytes) { cuts.next(of: $0) }
        check(whole == cut, "\(whole) as a whole, \(cut) in pieces")
    }

    private static func outcome(_ bytes: [UInt8], _ next: (Int) -> Int) -> Outcome {
        var decoder = BodyDecoder(.chunked, limits: HTTPLimits(), bodyBytesMax: 10_000)
        var body: [UInt8] = []
        var used = 0
        var come = 0
        do throws(RequestError) {
            while come < bytes.count, !decoder.isComplete {
                come += next(bytes.count - come)
                // What it leaves, it gets again with the next piece, as from a connection's buffer.
                used += try decoder.decode(bytes.span.extracting(used..<come), into: &body)
                check(used <= come, "no more is used up than has come")
            }
        } catch {
            return .refused(error)
        }
        return decoder.isComplete ? .body(body, used: used) : .incomplete(body)
    }
}
