import CoreMetrics

/// What the pool counts; each made once.
struct WorkerMetrics {
    let restarts = Counter(label: "millrace_workers_restarts_total")
    let crashes = Counter(label: "millrace_workers_crashes_total")
    let timeouts = Counter(label: "millrace_workers_timeouts_total")
    let bootFailures = Counter(label: "millrace_workers_boot_failures_total")
    let recycled = Counter(label: "millrace_workers_recycled_total")
    let unreapable = Counter(label: "millrace_workers_unreapable_total")
    let jobs = Counter(label: "millrace_workers_jobs_total")
    let framesDropped = Counter(label: "millrace_workers_frames_dropped_total")
    let logBytesDropped = Counter(label: "millrace_workers_log_bytes_dropped_total")
    let logFramesDropped = Counter(label: "millrace_workers_log_frames_dropped_total")
    let breakerOpen = Meter(label: "millrace_workers_breaker_open")
    let jobSeconds = Timer(label: "millrace_workers_job_seconds")
}
