/// Compressed bodies: bounded output, the same in pieces, and no way past the limits.
enum Fuzzer {
    private enum Outcome: Equatable {
        case plain([UInt8])
        case refused(InflateError)
    }

    static func run(_ bytes: [UInt8]) {
        for format in [Inflater.Format.gzip, .deflate] {
            let whole = inflate(bytes, format) { $0 }
            var cuts = Cuts(bytes)
            let cut = inflate(bytes, format) { cuts.next(of: $0) }
            if case .plain = whole { check(whole == cut, "other bytes in pieces") }
            if case .plain = cut { check(whole == cut, "other bytes as a whole") }
        }
    }

    private static func inflate(_ bytes: [UInt8], _ format: Inflater.Format, _ next: (Int) -> Int) -> Outcome
    {
        var limits = InflateLimits()
        limits.bytesMax = 1 << 20
        var inflater = Inflater(format, limits: limits)
        var output: [UInt8] = []
        var used = 0
        do throws(InflateError) {
            while used < bytes.count {
                let end = used + next(bytes.count - used)
                while used < end || inflater.hasPendingOutput {
                    let before = output.count
                    used += try inflater.inflate(bytes.span.extracting(used..<end), into: &output)
                    check(output.count - before <= Inflater.stepBytesMax, "a step is bounded")
                }
            }
            try inflater.finish()
            return .plain(output)
        } catch {
            return .refused(error)
        }
    }
}
