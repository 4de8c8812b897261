import CoreMetrics
import Synchronization

/// A backend of swift-metrics that keeps the last value of each series, for a test to look at.
final class RecordingMetrics: MetricsFactory {
    private let values = Mutex<[String: Double]>([:])

    /// The value of a series, written as `name` or `name{label}`; 0 before anything was recorded.
    func value(_ series: String) -> Double { values.withLock { $0[series] ?? 0 } }

    /// How often that limit was reached.
    func reached(_ limit: String) -> Int { Int(value("millrace_http_limit_reached_total{\(limit)}")) }

    /// All series that there are.
    var series: Set<String> { values.withLock { Set($0.keys) } }

    private func cell(_ label: String, _ dimensions: [(String, String)]) -> Cell {
        let labels = dimensions.map(\.1).joined(separator: ",")
        let name = labels.isEmpty ? label : "\(label){\(labels)}"
        values.withLock { $0[name] = $0[name] ?? 0 }
        return Cell { change in self.values.withLock { $0[name] = change($0[name] ?? 0) } }
    }

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        cell(label, dimensions)
    }

    func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { cell(label, dimensions) }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        cell(label, dimensions)
    }

    func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler { cell(label, dimensions) }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        cell(label, dimensions)
    }

    // Nothing is kept but the values.
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    func destroyMeter(_ handler: any MeterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}
}

/// One series of any kind.
private final class Cell: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler,
    TimerHandler
{
    private let update: @Sendable ((Double) -> Double) -> Void

    init(_ update: @escaping @Sendable ((Double) -> Double) -> Void) { self.update = update }

    func increment(by amount: Int64) { update { $0 + Double(amount) } }
    func increment(by amount: Double) { update { $0 + amount } }
    func decrement(by amount: Double) { update { $0 - amount } }
    func set(_ value: Int64) { update { _ in Double(value) } }
    func set(_ value: Double) { update { _ in value } }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }
    func recordNanoseconds(_ duration: Int64) { set(duration) }
    func reset() { update { _ in 0 } }
}
