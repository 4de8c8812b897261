import ArgumentParser

/// `millrace serve`: the service, until a signal ends it.
struct ServeCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the service.",
        discussion: """
            Prints 'listening on http://…' on standard output once it takes events, and logs on standard \
            error. SIGTERM and SIGINT stop it after the requests under way; a second one ends the time of \
            --drain-delay, or hastens the rest. SIGHUP reads the keys again at once.

            An option wins over its environment variable, that over the file of --config, and that over the \
            default. The file has one setting a line, such as 'max-body = 16MiB'.
            """
    )

    @Option(help: Setting.listen.help) var listen: [String] = []
    @Option(help: Setting.database.help) var database: String?
    @Option(help: Setting.data.help) var data: String?
    @Option(help: Setting.workers.help) var workers: String?
    @Option(help: Setting.loops.help) var loops: String?
    @Option(help: Setting.writers.help) var writers: String?
    @Flag(help: Setting.open.help) var open = false
    @Flag(help: Setting.noMigrate.help) var noMigrate = false
    @Option(help: Setting.log.help) var log: String?
    @Option(help: Setting.logLevel.help) var logLevel: String?
    @Option(help: Setting.accessLog.help) var accessLog: String?
    @Option(help: Setting.spoolMax.help) var spoolMax: String?
    @Option(help: Setting.spoolSegment.help) var spoolSegment: String?
    @Option(help: Setting.retention.help) var retention: String?
    @Option(help: Setting.dedup.help) var dedup: String?
    @Option(help: Setting.maxBody.help) var maxBody: String?
    @Option(help: Setting.maxConnections.help) var maxConnections: String?
    @Option(help: Setting.maxConnectionsPerAddress.help) var maxConnectionsPerAddress: String?
    @Flag(help: Setting.proxyProtocol.help) var proxyProtocol = false
    @Option(help: Setting.trustedProxy.help) var trustedProxy: [String] = []
    @Option(help: Setting.drainDelay.help) var drainDelay: String?
    @Option(help: Setting.drainTimeout.help) var drainTimeout: String?
    @Option(help: Setting.rejectsMaxAge.help) var rejectsMaxAge: String?
    @Option(help: Setting.rejectsMaxSize.help) var rejectsMaxSize: String?
    @Option(help: Setting.name.help) var name: String?

    @Option(help: ArgumentHelp("A file with settings. (MILLRACE_CONFIG)", valueName: "file"))
    var config: String?

    @Flag(help: "Print the settings in force, each with where it came from, and stop.")
    var printConfig = false

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let texts = try surroundings.configuration(flags: flags, file: config)
        let configuration: ServiceConfiguration
        do throws(ConfigurationError) { configuration = try ServiceConfiguration(texts) } catch {
            throw CommandFailure(Exit.usage, error.description)
        }
        if printConfig {
            for line in texts.lines { Output.say(line) }
            return Exit.success
        }
        LineLogHandler.bootstrap(format: configuration.logFormat, level: configuration.logLevel)
        return await Service.run(configuration)
    }

    /// What was given on the command line.
    var flags: [Setting: [String]] {
        var flags: [Setting: [String]] = [:]
        for setting in Setting.allCases {
            let texts = given(setting)
            if !texts.isEmpty { flags[setting] = texts }
        }
        return flags
    }

    private func given(_ setting: Setting) -> [String] {
        switch setting {
        case .listen: listen
        case .database: Self.list(database)
        case .data: Self.list(data)
        case .workers: Self.list(workers)
        case .loops: Self.list(loops)
        case .writers: Self.list(writers)
        case .open: open ? ["yes"] : []
        case .noMigrate: noMigrate ? ["yes"] : []
        case .log: Self.list(log)
        case .logLevel: Self.list(logLevel)
        case .accessLog: Self.list(accessLog)
        case .retention: Self.list(retention)
        case .dedup: Self.list(dedup)
        case .spoolMax: Self.list(spoolMax)
        case .spoolSegment: Self.list(spoolSegment)
        case .maxBody: Self.list(maxBody)
        case .maxConnections: Self.list(maxConnections)
        case .maxConnectionsPerAddress: Self.list(maxConnectionsPerAddress)
        case .proxyProtocol: proxyProtocol ? ["yes"] : []
        case .trustedProxy: trustedProxy
        case .drainDelay: Self.list(drainDelay)
        case .drainTimeout: Self.list(drainTimeout)
        case .rejectsMaxAge: Self.list(rejectsMaxAge)
        case .rejectsMaxSize: Self.list(rejectsMaxSize)
        case .name: Self.list(name)
        }
    }

    private static func list(_ text: String?) -> [String] { text.map { [$0] } ?? [] }
}

extension Setting {
    /// The sentence of the table, with the default and the variable.
    var help: ArgumentHelp {
        let names = variables.joined(separator: " or ")
        let standard = isSwitch ? "" : "default: \(defaultSummary); "
        return ArgumentHelp("\(summary) (\(standard)\(names))", valueName: placeholder)
    }
}
