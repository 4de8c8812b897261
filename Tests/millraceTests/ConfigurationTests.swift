import ArgumentParser
import HTTP
import Ingest
import Logging
import Server
import Testing

@testable import millrace

private let machine = Machine(cores: 8, hostName: "rover", logsToTerminal: false)

private func service(
    _ arguments: [String] = [],
    environment: [String: String] = [:],
    file: String? = nil
) throws -> ServiceConfiguration {
    let command = try #require(try MillraceCommand.parseAsRoot(["serve"] + arguments) as? ServeCommand)
    let configuration = try Configuration(
        flags: command.flags,
        environment: environment,
        file: file.map { try ConfigurationFile(path: "millrace.conf", text: $0) },
        machine: machine
    )
    return try ServiceConfiguration(configuration)
}

private func message(_ body: () throws -> ServiceConfiguration) -> String? {
    do {
        _ = try body()
        return nil
    } catch {
        return "\(error)"
    }
}

@Suite struct `The configuration` {
    @Test func `is the defaults when nothing is given`() throws {
        let configuration = try service()

        #expect(configuration.listen == [.tcp(ListenAddress(host: "127.0.0.1", port: 8080))])
        #expect(configuration.database == nil)
        #expect(configuration.data == "./millrace-data")
        #expect(configuration.workers == 7)
        #expect(configuration.loops == 4)
        #expect(configuration.writers == 2)
        #expect(!configuration.isOpen)
        #expect(configuration.migrates)
        #expect(configuration.logFormat == .json)
        #expect(configuration.logLevel == .info)
        #expect(configuration.bodyBytesMax == 16 << 20)
        #expect(configuration.accessLogEvery == 0)
        #expect(configuration.connectionsMax == 10_000)
        #expect(configuration.connectionsPerAddressMax == 0)
        #expect(configuration.drainDelay == .zero)
        #expect(configuration.drainTimeout == .seconds(30))
        #expect(configuration.rejectsDaysMax == 30)
        #expect(configuration.rejectsBytesMax == 1 << 30)
        #expect(configuration.name == "rover")
        #expect(configuration.maskedDatabase == "embedded")
    }

    @Test func `prefers a flag to a variable, that to the file, and that to the default`() throws {
        let file = "max-body = 1k\r\nworkers=3\n# a remark\n\n name = from file \n"
        let environment = ["MILLRACE_MAX_BODY": "2k", "MILLRACE_WORKERS": "4", "MILLRACE_LOG_LEVEL": "debug"]

        let all = try service(["--max-body", "3k"], environment: environment, file: file)
        #expect(all.bodyBytesMax == 3 << 10)
        #expect(all.workers == 4)
        #expect(all.name == "from file")
        #expect(all.logLevel == .debug)
        #expect(all.writers == 2)
    }

    @Test func `takes every option from its variable and from the file as from its flag`() throws {
        let texts: [Setting: String] = [
            .listen: "[::1]:1,host:2", .database: "postgresql://u@h/d", .data: "/d", .workers: "1",
            .loops: "1",
            .writers: "5", .open: "yes", .noMigrate: "true", .log: "text", .logLevel: "error",
            .retention: "90", .maxBody: "5MiB", .accessLog: "9", .maxConnections: "50",
            .maxConnectionsPerAddress: "7", .proxyProtocol: "on", .trustedProxy: "10.0.0.0/8,unix",
            .drainDelay: "10s", .drainTimeout: "5m", .rejectsMaxAge: "7", .rejectsMaxSize: "64MiB",
            .dedup: "strict", .spoolMax: "1GiB", .spoolSegment: "128MiB", .name: "n",
        ]
        let flags = Setting.allCases.flatMap { setting -> [String] in
            if setting.isSwitch { return [setting.flag] }
            let text = texts[setting] ?? ""
            let values = setting.isList ? text.split(separator: ",").map(String.init) : [text]
            return values.flatMap { [setting.flag, $0] }
        }

        let fromFlags = try service(flags)
        let variables = texts.map { ($0.key.variable, $0.value) }
        let fromVariables = try service(environment: Dictionary(uniqueKeysWithValues: variables))
        let file = texts.map { "\($0.key.key) = \($0.value)" }.joined(separator: "\n")
        let fromFile = try service(file: file)

        #expect(fromFlags == fromVariables)
        #expect(fromFlags == fromFile)
        #expect(
            fromFlags.listen == [
                .tcp(ListenAddress(host: "[::1]", port: 1)), .tcp(ListenAddress(host: "host", port: 2)),
            ]
        )
        #expect(fromFlags.isOpen)
        #expect(!fromFlags.migrates)
        #expect(fromFlags.accessLogEvery == 9)
        #expect(fromFlags.retentionDays == 90)
        #expect(fromFlags.dedup == .strict)
        #expect(fromFlags.spoolBytesMax == 1 << 30 && fromFlags.spoolSegmentBytes == 128 << 20)
        #expect(fromFlags.connectionsMax == 50)
        #expect(fromFlags.connectionsPerAddressMax == 7)
        #expect(fromFlags.expectsProxyHeader)
        let network = try #require(IPNetwork("10.0.0.0/8"))
        #expect(fromFlags.proxies == TrustedProxies(networks: [network], unixSockets: true))
        #expect(fromFlags.drainDelay == .seconds(10))
        #expect(fromFlags.drainTimeout == .seconds(300))
        #expect(fromFlags.rejectsDaysMax == 7)
        #expect(fromFlags.rejectsBytesMax == 64 << 20)
    }

    @Test func `takes the database from DATABASE_URL, unless MILLRACE_DATABASE says another`() throws {
        #expect(try service(environment: ["DATABASE_URL": "a"]).database == "a")
        #expect(try service(environment: ["DATABASE_URL": "a", "MILLRACE_DATABASE": "b"]).database == "b")
        #expect(try service(["--database", "c"], environment: ["DATABASE_URL": "a"]).database == "c")
        #expect(try service(environment: ["DATABASE_URL": ""]).database == nil)
    }

    @Test func `names an unknown variable with its prefix, and lets the rest of the environment be`() throws {
        #expect(
            message { try service(environment: ["MILLRACE_MAXBODY": "1", "PATH": "/bin"]) }
                == "the variable MILLRACE_MAXBODY is unknown"
        )
        let others = [
            "MILLRACE_BINARY": "/x", "MILLRACE_WORKER_FAULTS": "1", "MILLRACE_SERVICE_HOST": "10.0.0.1",
            "MILLRACE_PORT_8080_TCP_ADDR": "10.0.0.1", "MILLRACED": "1", "PATH": "/bin",
        ]
        #expect(message { try service(environment: others) } == nil)
    }

    @Test func `names the place of what is wrong in the file`() {
        #expect(message { try service(file: "\nworker = 3") } == "millrace.conf:2: 'worker' is unknown")
        #expect(message { try service(file: "open") } == "millrace.conf:1: not of the form 'name = value'")
        #expect(
            message { try service(file: "log=json\nlog=text") } == "millrace.conf:2: 'log' is given twice"
        )
        #expect(
            message { try service(file: "workers = many") }
                == "millrace.conf:1: workers: 'many' is not a number from 1 to 256"
        )
    }

    @Test func `names the option or the variable whose value is wrong`() {
        #expect(
            message { try service(["--listen", "8080"]) }
                == "--listen: '8080' is not an address like 127.0.0.1:8080, or unix: and a path up to "
                + "107 bytes"
        )
        #expect(
            message { try service(environment: ["MILLRACE_OPEN": "perhaps"]) }
                == "MILLRACE_OPEN: 'perhaps' is not yes or no"
        )
        for (flag, value) in [
            ("--workers", "0"), ("--workers", "+1"), ("--loops", "1000"), ("--max-body", "0"),
            ("--log", "xml"),
            ("--max-body", "9999999999G"), ("--log-level", "loud"), ("--drain-timeout", "2d"), ("--name", ""),
            ("--data", ""), ("--listen", "127.0.0.1:65536"), ("--listen", "unix:"),
            ("--listen", "unix:" + String(repeating: "x", count: 108)), ("--max-connections", "0"),
            ("--max-connections-per-address", "+1"), ("--trusted-proxy", "10.0.0.1/8"),
            ("--trusted-proxy", "proxy.example"), ("--drain-delay", "soon"), ("--rejects-max-age", "0"),
            ("--rejects-max-size", "15MiB"),
        ] {
            let text = message { try service([flag, value]) }
            #expect(
                text?.hasPrefix("\(flag): '\(value)' is not ") == true,
                "\(flag) \(value): \(text ?? "taken")"
            )
        }
        #expect(
            message { try service(["--database", ""]) }
                == "--database: its value is not a URI or connection string"
        )
    }

    @Test func `is printed with the origin of each value and without passwords`() throws {
        let file = try ConfigurationFile(path: "f", text: "name = north")
        let configuration = try Configuration(
            flags: [.listen: ["a:1", "b:2"]],
            environment: ["DATABASE_URL": "postgresql://u:secret@h/d", "MILLRACE_WORKERS": "3"],
            file: file,
            machine: machine
        )

        let lines = configuration.lines
        #expect(lines.count == Setting.allCases.count)
        #expect(lines.contains("listen                      = a:1, b:2  (command line)"))
        #expect(lines.contains("database                    = postgresql://u:***@h/d  (DATABASE_URL)"))
        #expect(lines.contains("workers                     = 3  (MILLRACE_WORKERS)"))
        #expect(lines.contains("name                        = north  (f:1)"))
        #expect(lines.contains("max-body                    = 16MiB  (default)"))
    }
}

@Suite struct `The options of serve` {
    private static let help = MillraceCommand.helpMessage(for: ServeCommand.self, columns: 10_000)
    /// Actions, and the file itself; they are no settings.
    private static let others: Set<String> = ["--config", "--print-config", "--version", "--help"]

    @Test func `have a help text that names the variable`() {
        let lines = Self.help.split(separator: "\n")
        for setting in Setting.allCases {
            // The sentence of a long option stands below it.
            let line = lines.firstIndex { $0.contains("  \(setting.flag) ") }
                .map { lines[$0..<min($0 + 2, lines.count)].joined() }
            #expect(line?.contains(setting.summary) == true, "\(setting.flag)")
            #expect(line?.contains(setting.variable) == true, "\(setting.flag)")
            #expect(setting.summary.hasSuffix("."), "\(setting.flag)")
        }
        #expect(Setting.maxBody.variable == "MILLRACE_MAX_BODY")
    }

    @Test func `are all settings`() {
        let flags = Self.help.split { " \n,".contains($0) }.filter { $0.hasPrefix("--") }.map(String.init)
        let known = Self.others.union(Setting.allCases.map(\.flag))
        #expect(Set(flags.map { $0.trimming(".") }).subtracting(known).isEmpty)
    }
}

extension String {
    fileprivate func trimming(_ end: Character) -> String { last == end ? String(dropLast()) : self }
}

@Suite struct `The command line` {
    @Test func `ends with 2 when it is wrong and with 0 after a help text`() async {
        #expect(await Program.run(["serve", "--bogus"]) == Exit.usage)
        #expect(await Program.run(["nonsense"]) == Exit.usage)
        #expect(await Program.run(["serve", "--workers", "many"]) == Exit.usage)
        #expect(await Program.run(["send"]) == Exit.usage)
        #expect(await Program.run(["send", "--chunk", "0", "-"]) == Exit.usage)
        #expect(await Program.run(["health", "https://example.com"]) == Exit.usage)
        #expect(await Program.run(["serve", "--config", "/nonexistent"]) == Exit.usage)
        #expect(await Program.run(["send", "/nonexistent"]) == Exit.failure)
        #expect(await Program.run(["serve", "--print-config"]) == Exit.success)
        #expect(await Program.run(["--version"]) == Exit.success)
        #expect(await Program.run(["help", "send"]) == Exit.success)
    }
}
