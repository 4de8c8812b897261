import CoreMetrics
import Insight

/// The program's metrics.
enum Metrics {
    /// Makes what `/metrics` shows the backend of swift-metrics; once in a process, before anything counts.
    static func bootstrap() -> PrometheusMetrics {
        let backend = PrometheusMetrics()
        MetricsSystem.bootstrap(backend)
        return backend
    }
}
