import HTTP
import Reactor

/// The Date field's bytes for all connections of a loop: the clock is read once a turn at most, and the text
/// made anew once a second.
final class DateCache {
    private let loop: EventLoop
    private var turn = Deadline.never
    private var second = Int64.min
    private var cached: [UInt8] = []

    init(loop: EventLoop) {
        self.loop = loop
    }

    var bytes: [UInt8] {
        let began = loop.turnBegan
        if began != turn {
            turn = began
            let now = WallClock.microseconds() / 1_000_000
            if now != second {
                second = now
                cached = HTTPDate(secondsSince1970: now).bytes
            }
        }
        return cached
    }
}
