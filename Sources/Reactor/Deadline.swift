import Glibc

/// A moment of the monotonic clock, made once and passed down to everything that must be over by then.
///
/// CLOCK_MONOTONIC, so that a wall clock that jumps moves no deadline.
package struct Deadline: Comparable, Hashable, Sendable {
    /// Nanoseconds since an unspecified start, the machine's boot as a rule.
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// Later than every other moment.
    package static let never = Deadline(nanoseconds: .max)

    /// This moment.
    package static func now() -> Deadline {
        if let time = SimulatedWorld.time { return time }
        var time = timespec()
        _ = clock_gettime(CLOCK_MONOTONIC, &time)
        return Deadline(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    /// The moment `duration` from now; a negative duration gives now.
    package static func after(_ duration: Duration) -> Deadline { now().advanced(by: duration) }

    /// The moment `duration` later, ``never`` at the most; a negative duration gives the same moment.
    package func advanced(by duration: Duration) -> Deadline {
        let (seconds, attoseconds) = duration.components
        if seconds < 0 || attoseconds < 0 { return self }
        let (scaled, tooLong) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, tooLate) = nanoseconds.addingReportingOverflow(
            scaled &+ UInt64(attoseconds / 1_000_000_000)
        )
        return tooLong || tooLate ? .never : Deadline(nanoseconds: sum)
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    package func duration(since earlier: Deadline) -> Duration {
        if self == .never { return .seconds(Int64.max / 2_000_000_000) }
        return nanoseconds > earlier.nanoseconds ? .nanoseconds(nanoseconds - earlier.nanoseconds) : .zero
    }

    package static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// The wall clock.
package enum WallClock {
    /// Microseconds since 1970-01-01 00:00 UTC.
    package static func microseconds() -> Int64 {
        var time = timespec()
        _ = clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}
