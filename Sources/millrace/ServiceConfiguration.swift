import HTTP
import Ingest
import Logging
import Server

/// Everything that `serve` can be told, checked.
struct ServiceConfiguration: Equatable, Sendable {
    /// Addresses to listen on; at least one.
    var listen: [ListenTarget]
    /// A libpq URI or connection string, with its password; `nil` for the embedded cluster below `data`.
    var database: String?
    /// The folder of the service; may be relative to the working directory.
    var data: String
    /// Worker processes.
    var workers: Int
    /// Event loops for connections.
    var loops: Int
    /// Connections to the database that write events.
    var writers: Int
    /// Whether clients of other machines are answered although there are no keys.
    var isOpen: Bool
    /// Whether the schema is brought up to date at the start.
    var migrates: Bool
    var logFormat: LogFormat
    var logLevel: Logger.Level
    /// One of how many requests is logged; 0 for none.
    var accessLogEvery: Int
    /// Days that events are kept, by their time; 0 for ever.
    var retentionDays: Int
    /// What makes two events the same.
    var dedup: DedupRule
    /// What the spool may take on the disk; 0 for no spool, `nil` for what the disk allows.
    var spoolBytesMax: Int?
    var spoolSegmentBytes: Int
    var bodyBytesMax: Int
    var connectionsMax: Int
    /// 0 for none.
    var connectionsPerAddressMax: Int
    /// Whether TCP connections begin with a PROXY header.
    var expectsProxyHeader: Bool
    var proxies: TrustedProxies
    /// From the signal to the end of listening.
    var drainDelay: Duration
    var drainTimeout: Duration
    /// Days that rejects are kept, by when they were received.
    var rejectsDaysMax: Int
    /// What the rejects may take on disk.
    var rejectsBytesMax: Int
    /// Of the node.
    var name: String

    static let workersMax = 256
    static let loopsMax = 64
    static let spoolSegmentBytes = 64 << 20...256 << 20
    static let retentionDaysMax = 36_500
    static let writersMax = 64
    static let connectionsMax = 1_000_000
    static let nameBytesMax = 255
    /// The partitions of the days to come take some room before there is a row in them.
    static let rejectsBytesMin = 16 << 20

    /// For logs and people: without the password.
    var maskedDatabase: String { database.map { SecretMask.mask(conninfo: $0) } ?? "embedded" }

    /// - Throws: ``ConfigurationError/invalidValue(_:value:_:expected:)`` for the first value that is none.
    init(_ configuration: Configuration) throws(ConfigurationError) {
        let reader = SettingReader(configuration: configuration)
        listen = try reader.values(
            of: .listen,
            "an address like 127.0.0.1:8080, or unix: and a path up to \(ListenTarget.pathBytesMax) bytes"
        ) { ListenTarget($0) }
        // An empty one would make libpq look for a server by itself.
        database = try reader.values(of: .database, "a URI or connection string") { $0.isEmpty ? nil : $0 }
            .last
        data = try reader.value(of: .data, "a folder") { $0.isEmpty ? nil : $0 }
        workers = try reader.count(of: .workers, max: Self.workersMax)
        loops = try reader.count(of: .loops, max: Self.loopsMax)
        writers = try reader.count(of: .writers, max: Self.writersMax)
        isOpen = try reader.yesOrNo(of: .open)
        migrates = try !reader.yesOrNo(of: .noMigrate)
        logFormat = try reader.value(of: .log, "json or text") { LogFormat(rawValue: $0) }
        let levels = Logger.Level.allCases.map(\.rawValue)
        logLevel = try reader.value(of: .logLevel, "one of \(levels.joined(separator: ", "))") {
            Logger.Level(rawValue: $0.lowercased())
        }
        accessLogEvery = try reader.count(of: .accessLog, min: 0, max: 1_000_000_000)
        let segments = Self.spoolSegmentBytes
        spoolBytesMax = try reader.values(of: .spoolMax, "0 or a size of at least 64MiB") { text in
            if text == "0" { return 0 }
            return SettingText.bytes(text).flatMap { $0 >= segments.lowerBound ? $0 : nil }
        }.last
        spoolSegmentBytes = try reader.value(of: .spoolSegment, "a size from 64MiB to 256MiB") { text in
            SettingText.bytes(text).flatMap { segments.contains($0) ? $0 : nil }
        }
        dedup = try reader.value(of: .dedup, "time or strict") { DedupRule(rawValue: $0) }
        retentionDays = try reader.count(of: .retention, min: 0, max: Self.retentionDaysMax)
        bodyBytesMax = try reader.value(of: .maxBody, "a size like 16MiB") { SettingText.bytes($0) }
        connectionsMax = try reader.count(of: .maxConnections, max: Self.connectionsMax)
        connectionsPerAddressMax = try reader.count(
            of: .maxConnectionsPerAddress,
            min: 0,
            max: Self.connectionsMax
        )
        expectsProxyHeader = try reader.yesOrNo(of: .proxyProtocol)
        let proxies = try reader.values(of: .trustedProxy, "a network like 10.0.0.0/8, an address, or unix") {
            TrustedProxy($0)
        }
        self.proxies = TrustedProxies(
            networks: proxies.compactMap(\.network),
            unixSockets: proxies.contains { $0.network == nil }
        )
        drainDelay = try reader.duration(of: .drainDelay)
        drainTimeout = try reader.duration(of: .drainTimeout)
        rejectsDaysMax = try reader.count(of: .rejectsMaxAge, max: Self.retentionDaysMax)
        rejectsBytesMax = try reader.value(of: .rejectsMaxSize, "a size like 1GiB, 16MiB at least") { text in
            SettingText.bytes(text).flatMap { $0 < Self.rejectsBytesMin ? nil : $0 }
        }
        name = try reader.value(of: .name, "a name of 1 to \(Self.nameBytesMax) bytes") {
            1...Self.nameBytesMax ~= $0.utf8.count ? $0 : nil
        }
    }
}

/// A proxy that is trusted: where it is, or `unix` for who connects to a Unix socket.
private struct TrustedProxy {
    /// `nil` for `unix`.
    let network: IPNetwork?

    init?(_ text: String) {
        network = IPNetwork(text)
        if network == nil, text != "unix" { return nil }
    }
}

/// Turns texts into values, naming the setting and its origin where that fails.
private struct SettingReader {
    let configuration: Configuration

    func values<Value>(
        of setting: Setting,
        _ expected: String,
        _ parse: (String) -> Value?
    ) throws(ConfigurationError) -> [Value] {
        let given = configuration[setting]
        var values: [Value] = []
        for text in given.texts {
            guard let value = parse(text) else {
                throw .invalidValue(setting, value: text, given.origin, expected: expected)
            }
            values.append(value)
        }
        return values
    }

    func value<Value>(
        of setting: Setting,
        _ expected: String,
        _ parse: (String) -> Value?
    ) throws(ConfigurationError) -> Value {
        guard let value = try values(of: setting, expected, parse).last else {
            throw .invalidValue(setting, value: "", configuration[setting].origin, expected: expected)
        }
        return value
    }

    func count(of setting: Setting, min: Int = 1, max: Int) throws(ConfigurationError) -> Int {
        try value(of: setting, "a number from \(min) to \(max)") { SettingText.count($0, in: min...max) }
    }

    func duration(of setting: Setting) throws(ConfigurationError) -> Duration {
        try value(of: setting, "a time like 30s, a day at most") { SettingText.duration($0) }
    }

    func yesOrNo(of setting: Setting) throws(ConfigurationError) -> Bool {
        try value(of: setting, "yes or no") { SettingText.yesOrNo($0) }
    }
}
