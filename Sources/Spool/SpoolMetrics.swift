import CoreMetrics

/// What a spool counts.
struct SpoolMetrics: Sendable {
    let refused = Counter(label: "millrace_spool_refused_total")
    let failed = Counter(label: "millrace_spool_disk_errors_total")
    let damages = Counter(label: "millrace_spool_damages_total")
    let withheld = Counter(label: "millrace_spool_withheld_records_total")
    private let recordsLost = Counter(label: "millrace_spool_records_lost_total")
    private let events = Counter(label: "millrace_spool_events_total")
    private let bytes = Counter(label: "millrace_spool_bytes_written_total")
    private let syncs = Counter(label: "millrace_spool_syncs_total")

    /// Counts a group that became durable.
    func wrote(_ entries: [SpoolEntry], bytes count: Int) {
        events.increment(by: entries.reduce(0) { $0 + $1.events })
        bytes.increment(by: count)
        syncs.increment()
    }

    func found(_ report: SpoolReport) {
        damages.increment(by: report.damages)
        recordsLost.increment(by: report.recordsLost)
    }
}
