import ArgumentParser
import Postgres
import TestSupport
import Testing

@testable import millrace

@Suite(.timeLimit(.minutes(5))) struct `The migrate command` {
    private static func run(_ database: TestDatabase, _ arguments: String...) async throws -> Int32 {
        let command = try #require(
            try MillraceCommand.parseAsRoot(["migrate"] + arguments) as? any ProgramCommand
        )
        let machine = Machine(cores: 1, hostName: "", logsToTerminal: false)
        let surroundings = Surroundings(
            environment: ["DATABASE_URL": database.configuration.conninfo],
            machine: machine
        )
        do throws(CommandFailure) {
            return try await command.execute(surroundings)
        } catch {
            return error.code
        }
    }

    private static func value(_ sql: String, of database: TestDatabase) async throws -> String? {
        let connection = try await database.connect()
        let result = try await connection.query(sql, deadline: TestCluster.deadline)
        await connection.close()
        return result.value
    }

    @Test func `leaves a database that has partitions for today, and changes nothing the second time`()
        async throws
    {
        try await TestCluster.withDatabase { database in
            let tables = "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'"

            #expect(try await Self.run(database, "--dry-run") == Exit.success)
            #expect(try await Self.value("SELECT to_regclass('events')", of: database) == nil)
            #expect(try await Self.run(database) == Exit.success)
            let first = try await Self.value(tables, of: database)
            #expect(try await Self.run(database) == Exit.success)
            #expect(try await Self.value(tables, of: database) == first)
            #expect(try await Self.run(database, "--status") == Exit.success)

            for keeper in MigrateCommand.keepers {
                let sql = """
                    SELECT count(*) FROM pg_class
                    WHERE relname = '\(keeper.table)_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
                    """
                #expect(try await Self.value(sql, of: database) == "1", "\(keeper.table)")
            }
        }
    }

    @Test func `stops after the version it is given, and refuses one that does not exist`() async throws {
        try await TestCluster.withDatabase { database in
            let code = try await Self.run(database, "--to", "1")
            #expect(code == Exit.success)
            let version = try await Self.value("SELECT max(version) FROM schema_migrations", of: database)
            #expect(version == "1")
            #expect(try await Self.run(database, "--to", "999") == Exit.usage)
        }
    }

    @Test func `leaves the database of a newer version alone`() async throws {
        try await TestCluster.withDatabase { database in
            #expect(try await Self.run(database) == Exit.success)
            let connection = try await database.connect()
            _ = try await connection.query(
                "INSERT INTO schema_migrations VALUES (999, 'future', '0')",
                deadline: TestCluster.deadline
            )
            await connection.close()

            #expect(try await Self.run(database) == Exit.foreignDatabase)
            #expect(try await Self.run(database, "--status") == Exit.foreignDatabase)
        }
    }

    @Test func `wants to know which database`() async {
        #expect(await Program.run(["migrate", "--database", ""]) == Exit.usage)
    }
}
