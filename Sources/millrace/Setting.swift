/// Every setting of `serve`: one table for the flags, the variables, the file's keys and the help texts.
enum Setting: String, CaseIterable, Sendable {
    case listen
    case database
    case data
    case workers
    case loops
    case writers
    case open
    case noMigrate = "no-migrate"
    case log
    case logLevel = "log-level"
    case accessLog = "access-log"
    case retention
    case dedup
    case spoolMax = "spool-max"
    case spoolSegment = "spool-segment"
    case maxBody = "max-body"
    case maxConnections = "max-connections"
    case maxConnectionsPerAddress = "max-connections-per-address"
    case proxyProtocol = "proxy-protocol"
    case trustedProxy = "trusted-proxy"
    case drainDelay = "drain-delay"
    case drainTimeout = "drain-timeout"
    case rejectsMaxAge = "rejects-max-age"
    case rejectsMaxSize = "rejects-max-size"
    case name

    /// The key in the configuration file, and the flag without its dashes.
    var key: String { rawValue }

    var flag: String { "--" + key }

    var variable: String { Self.variable(ofKey: key) }

    static func variable(ofKey key: String) -> String {
        variablePrefix + key.uppercased().split(separator: "-").joined(separator: "_")
    }

    static let variablePrefix = "MILLRACE_"

    /// Variables of the environment that give this setting, the first that is set counting.
    var variables: [String] { self == .database ? [variable, "DATABASE_URL"] : [variable] }

    /// Given as a flag without a value; elsewhere as yes or no.
    var isSwitch: Bool { self == .open || self == .noMigrate || self == .proxyProtocol }

    /// Takes several values: the flag repeated, elsewhere separated by commas.
    var isList: Bool { self == .listen || self == .trustedProxy }

    /// Whether its value may hold a password.
    var isSecret: Bool { self == .database }

    /// What the help text calls the value.
    var placeholder: String {
        switch self {
        case .listen: "address"
        case .database: "url"
        case .data: "dir"
        case .workers, .loops, .writers, .maxConnections, .maxConnectionsPerAddress, .accessLog: "n"
        case .log: "format"
        case .dedup: "rule"
        case .logLevel: "level"
        case .retention, .rejectsMaxAge: "days"
        case .maxBody, .rejectsMaxSize, .spoolMax, .spoolSegment: "size"
        case .drainDelay, .drainTimeout: "time"
        case .name: "name"
        case .trustedProxy: "network"
        case .open, .noMigrate, .proxyProtocol: ""
        }
    }

    /// One sentence or two for `--help`.
    var summary: String {
        switch self {
        case .listen:
            "Where to take requests, or unix:PATH; port 0 picks a port and prints it. Repeat it for more."
        case .database:
            "The PostgreSQL to store into, as a URI or libpq connection string. Without it, an embedded one."
        case .data: "The folder for what the service keeps on disk, such as the embedded PostgreSQL."
        case .workers: "Processes that compute the statistics."
        case .loops: "Threads that serve connections."
        case .writers: "Connections that write events, each committing a batch at a time."
        case .open: "Answer every client that reaches the port, not only those on this machine."
        case .noMigrate: "Leave the database's schema as it is, and stop if it is not up to date."
        case .log: "How to write the log on standard error: json, or text for people."
        case .logLevel:
            "The least severe level to log: trace, debug, info, notice, warning, error or critical."
        case .accessLog: "Log one of each n requests, and every one that failed here; 0 for none."
        case .spoolMax:
            "What events may take on the disk while the database is away, or 0 to keep none there."
        case .spoolSegment: "The size of one file of the spool, from 64MiB to 256MiB."
        case .retention:
            "Days that events are kept, by their time; older ones are refused and dropped. 0 keeps all."
        case .dedup:
            """
            What makes an event with the id and source of another the same one: also its time, if it has \
            one, or, with strict, these alone, for seven days. To be the same on all nodes.
            """
        case .maxBody: "The largest request body, in bytes or like 16MiB. Streamed NDJSON has no limit."
        case .maxConnections: "Connections open at once; one more is answered with 503."
        case .maxConnectionsPerAddress:
            "Connections open at once from one IPv4 address or one IPv6 /64; 0 for no such limit."
        case .proxyProtocol:
            "Expect a PROXY header (version 2) at the start of every TCP connection, and believe it."
        case .trustedProxy:
            "Believe Forwarded and X-Forwarded-For from here, like 10.0.0.0/8, or unix. Repeat it for more."
        case .drainDelay:
            "How long to go on once told to stop, with /readyz at 503, so that load balancers leave."
        case .drainTimeout: "How long a stop may wait for requests and jobs under way, like 30s or 2m."
        case .rejectsMaxAge:
            "Days that refused events are kept; a day of them goes once all of it is older."
        case .rejectsMaxSize:
            "What refused events may take on disk before the oldest of them go, in bytes or like 1GiB."
        case .name: "What to call this node in logs and statistics."
        }
    }

    /// The default in words, for `--help`.
    var defaultSummary: String {
        switch self {
        case .workers: "one less than there are cores, at least one"
        case .loops: "one up to two cores, then one for each two"
        case .database, .trustedProxy: "none"
        case .spoolMax: "4GiB, or a fifth of the free disk where that is less"
        case .log: "text on a terminal, else json"
        case .name: "the host's name"
        case .listen, .data, .writers, .open, .noMigrate, .proxyProtocol, .logLevel, .accessLog, .retention,
            .dedup,
            .maxBody, .maxConnections, .maxConnectionsPerAddress, .drainDelay, .drainTimeout, .rejectsMaxAge,
            .rejectsMaxSize, .spoolSegment:
            defaultText(on: Machine(cores: 1, hostName: "", logsToTerminal: false)) ?? ""
        }
    }

    /// The value when nobody gives one; `nil` for none.
    func defaultText(on machine: Machine) -> String? {
        switch self {
        case .listen: "127.0.0.1:8080"
        case .database, .trustedProxy, .spoolMax: nil
        case .spoolSegment: "64MiB"
        case .data: "./millrace-data"
        case .workers: "\(max(1, machine.cores - 1))"
        case .loops: "\(max(1, machine.cores / 2))"
        case .writers: "2"
        case .open, .noMigrate, .proxyProtocol: "no"
        case .log: machine.logsToTerminal ? "text" : "json"
        case .logLevel: "info"
        case .dedup: "time"
        case .accessLog: "0"
        case .retention: "0"
        case .maxBody: "16MiB"
        case .maxConnections: "10000"
        case .maxConnectionsPerAddress: "0"
        case .drainDelay: "0s"
        case .drainTimeout: "30s"
        case .rejectsMaxAge: "30"
        case .rejectsMaxSize: "1GiB"
        case .name: machine.hostName
        }
    }
}
