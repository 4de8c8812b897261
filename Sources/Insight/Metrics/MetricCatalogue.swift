/// What the HELP lines say.
enum MetricCatalogue {
    /// A sentence for that family; for one that is not listed, its name in words.
    static func help(_ name: String) -> String {
        if let sentence = sentences[name] { return sentence }
        let words = name.split(separator: "_").drop { $0 == "millrace" }
        return words.joined(separator: " ") + "."
    }

    private static let sentences: [String: String] = [
        "millrace_build_info": "Always 1; the labels say which program this is.",
        "millrace_metrics_omitted": "Metrics that were not taken: too many, or a name that another kind has.",
        "millrace_uptime_seconds": "Seconds since this node started.",
        "millrace_database_up": "Whether the last look at the database succeeded.",
        "millrace_analytics_lag_events": "Events that are stored and not yet in the rollups.",
        "millrace_analytics_lag_seconds": "Age of the oldest analytics job that is not done.",
        "millrace_jobs": "Analytics jobs by state.",
        "millrace_events_received_total": "Events that came in.",
        "millrace_events_stored_total": "Events that were stored.",
        "millrace_events_duplicates_total": "Events that had been stored before.",
        "millrace_duplicates_remembered_total":
            "Duplicates that were recognised from memory, without PostgreSQL.",
        "millrace_events_rejected_total": "Events that were refused and kept as rejects.",
        "millrace_accounts_events_total":
            "Events by their way in, received and what they became; a replay receives none.",
        "millrace_accounts_mismatch_events":
            "By how many events the accounts do not add up; not 0 when something is wrong.",
        "millrace_accounts_mismatch_bytes": "The same for bytes.",
        "millrace_accounts_checked_timestamp_seconds": "When the accounts were last checked, in Unix time.",
        "millrace_ingest_queue_seconds": "How long the oldest request of a flush has waited for it.",
        "millrace_rejects_replayed_total":
            "Rejects that were replayed; they have become stored events or duplicates.",
        "millrace_rejects_dropped_total":
            "Rejects that were dropped for their age or for the room they took.",
        "millrace_rejects_dropped_bytes_total": "Bytes of rejects that were dropped for their age or size.",
        "millrace_spool_events": "Events in this node's spool that are not in the database yet.",
        "millrace_spool_bytes": "What the spool takes on the disk.",
        "millrace_spool_full": "Whether the spool takes no more.",
        "millrace_breaker_open": "Whether events go to the spool because the database cannot take them.",
        "millrace_spool_events_total": "Events that were appended to the spool.",
        "millrace_spool_drained_events_total": "Events that were moved from the spool to the database.",
        "millrace_spool_refused_total": "Appends that found no room in the spool.",
        "millrace_spool_disk_errors_total": "Errors of the spool's disk.",
        "millrace_spool_damages_total": "Damaged places that were found in the spool.",
        "millrace_spool_records_lost_total": "Records of the spool that damage has taken.",
        "millrace_http_request_duration_seconds": "Time from a request's head to its answer.",
        "millrace_http_responses_total": "Answers by class of their status.",
        "millrace_http_connections_accepted_total": "Connections that were accepted.",
        "millrace_http_connections_refused_total": "Connections that were refused.",
        "millrace_http_connections_open": "Connections that are open.",
        "millrace_http_limit_reached_total": "Requests and connections that met a limit of the server.",
        "millrace_http_connections_max": "Connections that may be open at once.",
        "millrace_http_connections_per_address_max": "Connections that one address may have; 0 for no limit.",
        "millrace_http_buffered_bytes": "Memory that buffers and whole bodies of requests take.",
        "millrace_http_buffered_bytes_max": "Memory that buffers and whole bodies of requests may take.",
        "millrace_loop_turn_seconds": "Time from the kernel's answer to the end of an event loop's turn.",
        "millrace_postgres_connects_total": "Connections made to PostgreSQL.",
        "millrace_postgres_connect_failures_total": "Attempts to connect to PostgreSQL that failed.",
        "millrace_postgres_connections_lost_total": "Connections to PostgreSQL that broke.",
        "millrace_postgres_timeouts_total": "Queries that PostgreSQL did not answer in time.",
        "millrace_workers_restarts_total": "Worker processes that were started again.",
        "millrace_workers_crashes_total": "Worker processes that died at work.",
        "millrace_workers_timeouts_total": "Jobs that took too long and were stopped.",
        "millrace_workers_jobs_total": "Jobs that workers have answered.",
        "millrace_workers_job_seconds": "Time that workers took for a job.",
        "process_cpu_seconds_total": "CPU time of this process, user and system.",
        "process_resident_memory_bytes": "Resident memory of this process.",
        "process_open_fds": "Open file descriptors of this process.",
        "process_start_time_seconds": "Start of this process, in seconds since 1970.",
    ]
}
