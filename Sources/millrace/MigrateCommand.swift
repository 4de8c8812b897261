import ArgumentParser
import Logging
import Postgres
import Reactor

/// `millrace migrate`: the database's schema, and the partitions that events of the next days go into.
struct MigrateCommand: ProgramCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring a database's schema up to date.",
        discussion: """
            'serve' does the same at its start unless --no-migrate is given, so this is for those who want \
            to see the steps, or do them as another user. Any number of services may run meanwhile.
            """
    )

    @Option(
        help: ArgumentHelp(
            "The database, as a URI or a libpq connection string. (MILLRACE_DATABASE or DATABASE_URL)",
            valueName: "url"
        )
    )
    var database: String?

    @Option(help: ArgumentHelp("A file with settings. (MILLRACE_CONFIG)", valueName: "file"))
    var config: String?

    @Flag(help: "Say what would be done, and do nothing.") var dryRun = false

    @Option(help: ArgumentHelp("Stop after this version of the schema.", valueName: "version"))
    var to: Int?

    @Flag(help: "List the versions of the schema and when each was reached, and do nothing.") var status =
        false

    /// What has to have partitions before events can be stored and their jobs be done.
    static let keepers: [PartitionKeeper] = [
        .events, .rejects, .jobOutcomes,
    ]

    /// Another node may be migrating; nothing takes longer than this.
    private static let deadline = Duration.seconds(3_600)

    func execute(_ surroundings: Surroundings) async throws(CommandFailure) -> Int32 {
        let flags: [Setting: [String]] = database.map { [.database: [$0]] } ?? [:]
        let texts = try surroundings.configuration(flags: flags, file: config)
        guard let conninfo = texts[.database].texts.last, !conninfo.isEmpty else {
            throw CommandFailure(
                Exit.usage,
                "migrate: which database? Give --database or DATABASE_URL (the embedded one is 'serve's own)"
            )
        }
        let result = try await onLoop { loop in await self.migrate(conninfo, on: loop) }
        let lines = try result.get()
        for line in lines { Output.say(line) }
        return Exit.success
    }

    private func migrate(_ conninfo: String, on loop: EventLoop) async -> Result<[String], CommandFailure> {
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: conninfo),
            name: "migrate",
            loop: loop,
            logger: Logger(label: "migrate") { LineLogHandler(label: $0, format: .text, level: .error) }
        )
        let result: Result<[String], CommandFailure>
        do throws(MigrationError) {
            let deadline = Deadline.after(Self.deadline)
            do throws(PostgresError) { try await connection.connect(deadline: deadline) } catch {
                throw .database(error)
            }
            result = .success(try await run(on: connection, deadline))
        } catch {
            result = .failure(Self.failure(error))
        }
        await connection.close()
        return result
    }

    /// The lines to print.
    private func run(
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(MigrationError) -> [String] {
        let migrator = Migrator()
        if status {
            return try await migrator.status(on: connection, deadline: deadline).map { entry in
                "\(Self.name(entry.migration))  \(entry.appliedAt ?? "pending")"
            }
        }
        let ran = try await migrator.migrate(on: connection, to: to, isDryRun: dryRun, deadline: deadline)
        var lines = ran.map { "\(dryRun ? "would run" : "ran") \(Self.name($0))" }
        if ran.isEmpty { lines.append("the schema is up to date") }
        if !dryRun { try await keepPartitions(on: connection, deadline) }
        return lines
    }

    private func keepPartitions(
        on connection: PostgresConnection,
        _ deadline: Deadline
    ) async throws(MigrationError) {
        do throws(PostgresError) {
            for keeper in Self.keepers {
                // With --to, a table may not be there yet.
                let sql = "SELECT to_regclass($1)"
                let table = try await connection.query(sql, [keeper.table], deadline: deadline)
                if table.value != nil { _ = try await keeper.ensure(on: connection, deadline: deadline) }
            }
        } catch {
            throw .database(error)
        }
    }

    private static func name(_ migration: Migration) -> String {
        let digits = "\(migration.version)"
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "_" + migration.name
    }

    static func failure(_ error: MigrationError) -> CommandFailure {
        let code =
            switch error {
            case .checksumChanged, .newerDatabase, .outOfOrder: Exit.foreignDatabase
            case .noSuchTarget: Exit.usage
            case .refused, .database: Exit.failure
            }
        return CommandFailure(code, "migrate: \(SecretMask.mask(error.description))")
    }
}
