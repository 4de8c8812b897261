import Reactor

/// Allows `rate` events a second and `burst` more at once; large batches go into debt.
///
/// A batch is let in while anything is left, whatever its size, and the next ones wait until its debt is
/// paid: a client need not know how large the bucket is to send a large batch. Time comes in with each call.
struct TokenBucket: Equatable, Sendable {
    private var rate: Double
    private var capacity: Double
    private var tokens: Double
    private var filledAt: Deadline

    /// A full bucket; it holds the burst, and a second's worth at least.
    init(rate: Double, burst: Int, now: Deadline) {
        self.rate = rate
        capacity = max(Double(burst), rate, 1)
        tokens = capacity
        filledAt = now
    }

    /// Takes over a new rate; what has been used up stays used up.
    mutating func change(rate: Double, burst: Int, now: Deadline) {
        fill(now)
        self.rate = rate
        capacity = max(Double(burst), rate, 1)
        tokens = min(tokens, capacity)
    }

    /// Whether a batch may come in; takes nothing.
    mutating func admits(now: Deadline) -> Bool {
        fill(now)
        return tokens >= 1
    }

    /// Takes what a batch has used, into debt if need be.
    mutating func take(_ events: Int, now: Deadline) {
        fill(now)
        tokens -= Double(events)
    }

    /// Events that may be sent at once; none while there is debt.
    var remaining: Int { max(0, Int(tokens)) }

    var limit: Int { Int(capacity) }

    /// How long until the next batch may come in.
    var wait: Duration { tokens >= 1 ? .zero : .seconds((1 - tokens) / rate) }

    private mutating func fill(_ now: Deadline) {
        let elapsed = now.duration(since: filledAt)
        guard elapsed > .zero else { return }
        let (seconds, attoseconds) = elapsed.components
        tokens = min(capacity, tokens + rate * (Double(seconds) + Double(attoseconds) / 1e18))
        filledAt = now
    }
}
