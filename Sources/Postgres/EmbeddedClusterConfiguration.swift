/// Where a private PostgreSQL lives and what it is started with.
package struct EmbeddedClusterConfiguration: Sendable {
    /// The service's data directory (`--data`); the cluster is its `postgres`, the log its `postgres.log`.
    package var data: String
    /// The path of the `millrace` program, through which children are started.
    package var trampoline: String
    /// The database that is made at the first start, and the name of its owner.
    package var database = "millrace"
    /// Connections that the server takes.
    package var connectionsMax = 40
    /// Whether it dies with the process that started it and may lose everything: for tests.
    package var isTemporary = false
    /// Whether it dies with the process that started it, and loses nothing: for tests that kill it.
    package var diesWithParent = false
    /// Where programs are looked for, besides the distributions' own folders; PATH as a rule.
    package var searchPath: String?
    /// Pauses between restarts of a server that dies.
    package var backoffMin = Duration.milliseconds(100)
    package var backoffMax = Duration.seconds(5)
    /// A log larger than this is set aside at a start, as `postgres.log.1`.
    package var logBytesMax = 64 << 20

    /// Describes the cluster below `data`.
    package init(data: String, trampoline: String) {
        self.data = data
        self.trampoline = trampoline
    }

    /// The server's settings.
    func settings(socketDirectory: String, memoryBytes: Int, walCompression: String) -> [String] {
        let durable = [
            "shared_buffers=\(max(memoryBytes / 4 / 1_024 / 1_024, 16))MB", "wal_buffers=64MB",
            "max_wal_size=8GB",
            "fsync=on", "full_page_writes=on", "synchronous_commit=on",
        ]
        let temporary = [
            "shared_buffers=128MB", "max_wal_size=1GB", "fsync=off", "full_page_writes=off",
            "synchronous_commit=off",
        ]
        return (isTemporary ? temporary : durable) + [
            "listen_addresses=", "unix_socket_directories=\(socketDirectory)", "unix_socket_permissions=0700",
            "port=\(ClusterLayout.port)", "max_connections=\(connectionsMax)",
            "wal_compression=\(walCompression)",
            "checkpoint_timeout=15min", "jit=off", "random_page_cost=1.1", "autovacuum_naptime=10s",
            "log_destination=stderr", "logging_collector=off", "log_timezone=UTC",
        ]
    }
}

/// Why there is no private cluster.
package enum EmbeddedClusterError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No server programs, or not those of the cluster's version.
    case notInstalled(String)
    /// `--data` is no place for a cluster.
    case unusableData(String)
    /// initdb or the server failed; the text holds the end of its log.
    case failed(String)
    /// It did not answer before the deadline.
    case timedOut(String)
    /// It was stopped meanwhile.
    case stopped

    package var description: String {
        switch self {
        case .notInstalled(let reason), .unusableData(let reason), .failed(let reason), .timedOut(let reason):
            reason
        case .stopped: "the embedded PostgreSQL was stopped"
        }
    }
}
