import CoreMetrics
import Reactor

/// What the server counts.
///
/// One value for all loops; swift-metrics makes the counting safe.
struct ServerMetrics: Sendable {
    private let answers: [Counter]
    private let duration = Timer(label: "millrace_http_request_duration_seconds")
    private let accepted = Counter(label: "millrace_http_connections_accepted_total")
    private let refused = Counter(label: "millrace_http_connections_refused_total")
    private let unauthorized = Counter(
        label: "millrace_http_access_refused_total",
        dimensions: [("status", "401")]
    )
    private let forbidden = Counter(
        label: "millrace_http_access_refused_total",
        dimensions: [("status", "403")]
    )
    private let open = Meter(label: "millrace_http_connections_open")

    init() {
        answers = (1...5).map {
            Counter(label: "millrace_http_responses_total", dimensions: [("class", "\($0)xx")])
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
}
