package import CoreMetrics
import Synchronization

/// Keeps what the program measures and writes it in Prometheus' text format: the backend of swift-metrics.
///
/// Counters end in `_total` and timers in `_seconds`, which are added where a label lacks them. Timers and
/// recorders that aggregate are histograms with fixed buckets.
package final class PrometheusMetrics: MetricsFactory {
    private let registry: Mutex<MetricRegistry>

    /// A backend without metrics, to be handed to `MetricsSystem.bootstrap`.
    package init(seriesMax: Int = 10_000) { registry = Mutex(MetricRegistry(seriesMax: seriesMax)) }

    /// What a timer or recorder without dimensions has recorded so far; `nil` when there is none of that
    /// name.
    package func histogram(_ label: String) -> Histogram? {
        registry.withLock { registry in
            guard case .histogram(let cell)? = registry.families[PrometheusText.name(label)]?[""] else {
                return nil
            }
            return cell.value
        }
    }

    /// What a counter without dimensions has counted so far; 0 when there is none of that name.
    package func count(_ label: String) -> Int64 {
        registry.withLock { registry in
            guard case .counter(let cell)? = registry.families[PrometheusText.name(label)]?[""] else {
                return 0
            }
            return Int64(cell.value)
        }
    }

    /// Writes all metrics, in the order of their names.
    package func write(to text: inout PrometheusText) {
        let (families, omitted) = registry.withLock { ($0.families, $0.omitted) }
        for (name, series) in families.sorted(by: { $0.key < $1.key }) {
            guard let type = series.values.first?.typeName else { continue }
            text.begin(name, type: type)
            for (labels, cell) in series.sorted(by: { $0.key < $1.key }) {
                switch cell {
                case .counter(let cell): text.sample(name, labels, cell.value)
                case .gauge(let cell): text.sample(name, labels, cell.value)
                case .histogram(let cell): text.histogram(name, labels, cell.value)
                }
            }
        }
        text.begin("millrace_metrics_omitted", type: "gauge")
        text.sample("millrace_metrics_omitted", "", Double(omitted))
    }

    private func cell(
        _ label: String,
        suffix: String = "",
        _ dimensions: [(String, String)],
        _ fresh: @autoclosure () -> MetricCell
    ) -> MetricCell {
        let name = PrometheusText.name(label.hasSuffix(suffix) ? label : label + suffix)
        let labels = PrometheusText.labels(dimensions)
        return registry.withLock { $0.cell(name, labels, or: fresh()) }
    }

    private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterCell {
        let made = cell(label, suffix: "_total", dimensions, .counter(CounterCell()))
        if case .counter(let cell) = made { return cell }
        return CounterCell()
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeCell {
        if case .gauge(let cell) = cell(label, dimensions, .gauge(GaugeCell())) { return cell }
        return GaugeCell()
    }

    private func histogram(
        _ label: String,
        suffix: String = "",
        _ dimensions: [(String, String)],
        bounds: [Double]
    ) -> HistogramCell {
        let made = cell(label, suffix: suffix, dimensions, .histogram(HistogramCell(bounds: bounds)))
        if case .histogram(let cell) = made { return cell }
        return HistogramCell(bounds: bounds)
    }

    // MARK: MetricsFactory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        counter(label, dimensions)
    }

    package func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        counter(label, dimensions)
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    package func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        if !aggregate { return gauge(label, dimensions) }
        let isTime = label.hasSuffix("_seconds")
        return histogram(
            label,
            dimensions,
            bounds: isTime ? Histogram.secondsBounds : Histogram.sizeBounds
        )
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, suffix: "_seconds", dimensions, bounds: Histogram.secondsBounds)
    }

    // Cells outlive whoever made them; see MetricRegistry.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}
}
