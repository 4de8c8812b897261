import HTTP
import Reactor

/// The Date field's bytes, made anew once a second.
struct DateCache {
    private var second: Int64 = -1
    private var cached: [UInt8] = []

    mutating func bytes() -> [UInt8] {
        let now = WallClock.microseconds() / 1_000_000
        if now != second {
            second = now
            cached = HTTPDate(secondsSince1970: now).bytes
        }
        return cached
    }
}
