import ArgumentParser
import Logging
import Postgres
import Reactor

/// `millrace doctor`: whether the service would work well here, and what to do where it would not.
struct DoctorCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check this machine and the database, and say what to do.",
        discussion: """
            Takes the settings of 'serve' from the same places. Changes nothing, but makes the folder of \
            --data. The exit code is 1 when something has to be mended before the service can be relied on.
            """
    )

    @Option(help: Setting.database.help) var database: String?
    @Option(help: Setting.data.help) var data: String?
    @Option(help: ArgumentHelp("A file with settings. (MILLRACE_CONFIG)", valueName: "file"))
    var config: String?

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        var flags: [Setting: [String]] = [:]
        if let database { flags[.database] = [database] }
        if let data { flags[.data] = [data] }
        let texts = try surroundings.configuration(flags: flags, file: config)
        let configuration: ServiceConfiguration
        do throws(ConfigurationError) { configuration = try ServiceConfiguration(texts) } catch {
            throw CommandFailure(Exit.usage, error.description)
        }
        let program: String
        do throws(SystemError) { program = try Machine.programPath() } catch {
            throw CommandFailure("doctor: \(error)")
        }
        let path = surroundings.variable("PATH")
        let findings = try await onLoop { loop in
            await Self.findings(configuration, program: program, searchPath: path, on: loop)
        }
        for finding in findings {
            for line in finding.lines { Output.say(line) }
        }
        return findings.contains { $0.grade == .failure } ? Exit.failure : Exit.success
    }

    private static func findings(
        _ configuration: ServiceConfiguration,
        program: String,
        searchPath: String?,
        on loop: EventLoop
    ) async -> [Finding] {
        let descriptors = MachineCheck.descriptors(
            ProcessSetup.raiseDescriptorLimit(),
            connectionsMax: configuration.connectionsMax
        )
        var findings = [descriptors] + MachineCheck.data(configuration.data)
        if let conninfo = configuration.database {
            findings += await DatabaseCheck.check(conninfo, writers: configuration.writers, on: loop)
        } else {
            findings.append(embedded(data: configuration.data, program: program, searchPath: searchPath))
        }
        findings.append(await worker(program, on: loop))
        return findings
    }

    /// Whether there is a server to run an embedded cluster with.
    private static func embedded(data: String, program: String, searchPath: String?) -> Finding {
        var settings = EmbeddedClusterConfiguration(data: data, trampoline: program)
        settings.searchPath = searchPath
        do throws(EmbeddedClusterError) {
            return .fine(
                "database",
                "embedded, with the programs in \(try EmbeddedCluster.programs(for: settings))"
            )
        } catch {
            return .failure(
                "database",
                error.description,
                "Install the package postgresql, or name a --database."
            )
        }
    }

    /// Starts one worker and gives it a job.
    private static func worker(_ program: String, on loop: EventLoop) async -> Finding {
        await EchoWorker.with(program, logging: .critical, on: loop) { worker in
            let began = Deadline.now()
            if let outcome = await worker.echo([1, 2, 3], id: 1) {
                return .failure(
                    "workers",
                    "\(outcome)",
                    "Statistics would stand still: look for limits on processes or memory."
                )
            }
            let took = Deadline.now().duration(since: began)
            return .fine("workers", "one started and did a job within \(took.milliseconds) ms")
        }
    }
}
