/// How fast it goes, judged by the last seconds, and how long the rest takes at that pace.
struct SendPace: Sendable {
    private struct Sample: Sendable {
        let at: Duration
        let bytes: Int
        let events: Int

        static let start = Sample(at: .zero, bytes: 0, events: 0)
    }

    /// What is judged: long enough to even out chunks, short enough to notice that a server has become slow.
    static let window = Duration.seconds(15)
    /// Before that nothing is said about the time left.
    static let judgedMin = Duration.seconds(1)
    private static let sampleInterval = Duration.milliseconds(500)

    /// From the window's beginning on, one an interval.
    private var samples = [Sample.start]
    private var latest = Sample.start

    /// Notes what has been done until `moment`, counted from the start.
    mutating func note(bytes: Int, events: Int, at moment: Duration) {
        latest = Sample(at: moment, bytes: bytes, events: events)
        if let last = samples.last, moment - last.at < Self.sampleInterval { return }
        samples.append(latest)
        while samples.count > 1, moment - samples[0].at > Self.window { samples.removeFirst() }
    }

    /// Forgets what was done in another way, such as skipping.
    mutating func restart() { samples = [latest] }

    var eventsPerSecond: Int { Int(perSecond(\.events).rounded()) }

    /// The time that the rest of `bytesTotal` takes; `nil` when it cannot be told.
    func timeLeft(of bytesTotal: Int) -> Duration? {
        let speed = perSecond(\.bytes)
        if span < Self.judgedMin || speed <= 0 { return nil }
        return .seconds(Double(max(0, bytesTotal - latest.bytes)) / speed)
    }

    private var span: Duration { latest.at - (samples.first ?? latest).at }

    private func perSecond(_ count: KeyPath<Sample, Int>) -> Double {
        guard let first = samples.first, span > .zero else { return 0 }
        return Double(latest[keyPath: count] - first[keyPath: count]) / (span / .seconds(1))
    }
}
