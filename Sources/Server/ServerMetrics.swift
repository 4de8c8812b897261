import CoreMetrics
import HTTP
import Reactor

/// What the server counts.
///
/// One value for all loops; swift-metrics makes the counting safe.
struct ServerMetrics: Sendable {
    private let answers: [Counter]
    private let reached: [Counter]
    private let duration: Timer
    private let accepted: Counter
    private let refused: Counter
    private let unauthorized: Counter
    private let forbidden: Counter
    private let open: Meter

    init(_ factory: any MetricsFactory, _ limits: HTTPLimits) {
        answers = (1...5).map {
            Counter(
                label: "millrace_http_responses_total",
                dimensions: [("class", "\($0)xx")],
                factory: factory
            )
        }
        reached = ServerLimit.allCases.map {
            Counter(
                label: "millrace_http_limit_reached_total",
                dimensions: [("limit", $0.name)],
                factory: factory
            )
        }
        duration = Timer(label: "millrace_http_request_duration_seconds", factory: factory)
        accepted = Counter(label: "millrace_http_connections_accepted_total", factory: factory)
        refused = Counter(label: "millrace_http_connections_refused_total", factory: factory)
        func accessRefused(_ status: String) -> Counter {
            Counter(
                label: "millrace_http_access_refused_total",
                dimensions: [("status", status)],
                factory: factory
            )
        }
        unauthorized = accessRefused("401")
        forbidden = accessRefused("403")
        open = Meter(label: "millrace_http_connections_open", factory: factory)
        for (label, bound) in [
            ("millrace_http_connections_max", limits.connectionsMax),
            ("millrace_http_connections_per_address_max", limits.connectionsPerAddressMax),
            ("millrace_http_buffered_bytes_max", limits.bufferedBytesMax),
        ] {
            Meter(label: label, factory: factory).set(bound)
        }
    }

    func answered(status: Int, after duration: Duration) {
        answers[min(max(status / 100, 1), 5) - 1].increment()
        let (seconds, attoseconds) = duration.components
        self.duration.recordNanoseconds(seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
    }

    func accessRefused(_ status: Int) { (status == 401 ? unauthorized : forbidden).increment() }

    func connectionOpened() {
        accepted.increment()
        open.increment()
    }

    func connectionClosed() { open.decrement() }

    func connectionRefused() { refused.increment() }

    /// Counts that a request or a connection has met a bound.
    func reached(_ limit: ServerLimit) { reached[limit.rawValue].increment() }
}
