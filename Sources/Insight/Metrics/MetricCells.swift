import CoreMetrics
import Synchronization

// One cell holds one series' state; whoever records and whoever exports meet in its lock, for a few
// instructions.

/// A sum that only grows.
final class CounterCell: CounterHandler, FloatingPointCounterHandler {
    private let sum = Mutex(0.0)

    /// Exact up to 2^53.
    var value: Double { sum.withLock { $0 } }

    func increment(by amount: Int64) { increment(by: Double(amount)) }

    func increment(by amount: Double) {
        guard amount.isFinite, amount > 0 else { return }
        sum.withLock { $0 += amount }
    }

    func reset() { sum.withLock { $0 = 0 } }
}

/// The last value that was set.
final class GaugeCell: MeterHandler, RecorderHandler {
    private let last = Mutex(0.0)

    var value: Double { last.withLock { $0 } }

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { last.withLock { $0 = value } }
    func increment(by amount: Double) { last.withLock { $0 += amount } }
    func decrement(by amount: Double) { last.withLock { $0 -= amount } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
}

/// The values that were recorded, by bucket.
final class HistogramCell: RecorderHandler, TimerHandler {
    private let histogram: Mutex<Histogram>

    init(bounds: [Double]) { histogram = Mutex(Histogram(bounds: bounds)) }

    var value: Histogram { histogram.withLock { $0 } }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { histogram.withLock { $0.record(value) } }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}

/// A cell of any kind.
enum MetricCell {
    case counter(CounterCell)
    case gauge(GaugeCell)
    case histogram(HistogramCell)

    /// The word of a TYPE line.
    var typeName: String {
        switch self {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
    }
}
