package import Reactor

/// The last samples of a total that grows, and the rates between them.
///
/// A gap in the samples — the database was away — is bridged by the total's own growth: what came meanwhile
/// counts in every window that reaches over the gap.
package struct RateRing: Sendable {
    /// The total at one moment.
    package struct Sample: Equatable, Sendable {
        package let at: Deadline
        package let total: Int64
        package let latency: Histogram?
    }

    private var samples: [Sample] = []
    /// Where the oldest one is, once there are as many as there may be.
    private var oldest = 0
    private let countMax: Int

    /// A newest sample older than this says nothing about now.
    private static let staleness = Duration.seconds(5)

    /// An empty ring for `countMax` samples.
    package init(countMax: Int) {
        precondition(countMax >= 2, "a rate is between two samples")
        self.countMax = countMax
    }

    /// How many samples there are.
    package var count: Int { samples.count }

    /// Adds a sample that is newer than all others.
    ///
    /// A total that has shrunk is another one's — a database was restored — and the old samples are
    /// forgotten.
    package mutating func add(_ total: Int64, at time: Deadline, latency: Histogram? = nil) {
        if let last = newest, last.total > total || last.at >= time {
            samples = []
            oldest = 0
        }
        let sample = Sample(at: time, total: total, latency: latency)
        if samples.count < countMax {
            samples.append(sample)
        } else {
            samples[oldest] = sample
            oldest = (oldest + 1) % countMax
        }
    }

    /// The rate a second over the last `window`, or over what there is of it; `nil` when nothing tells.
    package func rate(over window: Duration, at now: Deadline) -> Double? {
        guard let newest, now.duration(since: newest.at) <= Self.staleness,
            let base = sample(before: window, newest), base.at < newest.at
        else { return nil }
        return Double(newest.total - base.total) / newest.at.duration(since: base.at).seconds
    }

    /// The sample that is `window` older than the newest one, or the oldest one there is.
    package func base(of window: Duration) -> Sample? {
        newest.flatMap { sample(before: window, $0) }
    }

    /// The rates of the last `seconds` seconds, the newest last; `nil` where no sample tells.
    package func recent(seconds: Int, at now: Deadline) -> [Double?] {
        var rates = [Double?](repeating: nil, count: seconds)
        for index in 1..<max(1, samples.count) {
            let (from, to) = (self[index - 1], self[index])
            let rate = Double(to.total - from.total) / to.at.duration(since: from.at).seconds
            // Whole seconds back from now that the interval covers: more than one after a gap.
            let first = Int(now.duration(since: to.at).seconds.rounded())
            let last = max(first, Int(now.duration(since: from.at).seconds.rounded()) - 1)
            if first >= seconds { continue }
            for age in first...min(last, seconds - 1) { rates[seconds - 1 - age] = rate }
        }
        return rates
    }

    private var newest: Sample? { samples.isEmpty ? nil : self[samples.count - 1] }

    /// By age, the oldest first.
    private subscript(index: Int) -> Sample { samples[(oldest + index) % samples.count] }

    private func sample(before window: Duration, _ newest: Sample) -> Sample? {
        // Half a second of tolerance: a sample that came late must not double a window of one second.
        let tolerance = Duration.milliseconds(500)
        var (low, high) = (0, samples.count)
        while low < high {
            let middle = (low + high) / 2
            if newest.at.duration(since: self[middle].at) + tolerance >= window {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low > 0 ? self[low - 1] : samples.isEmpty ? nil : self[0]
    }
}
