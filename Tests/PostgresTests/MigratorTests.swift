import Glibc
import Reactor
import TestSupport
import Testing

@testable import Postgres

@Suite(.timeLimit(.minutes(2))) struct Migrations {
    static let one = Migration(
        version: 1,
        name: "one",
        sql: "CREATE TABLE one (a int); -- no semicolon after this"
    )
    static let two = Migration(
        version: 2,
        name: "two",
        sql: "CREATE TABLE two (a int);\nINSERT INTO two VALUES (1)"
    )
    static let three = Migration(version: 3, name: "three", sql: "CREATE TABLE three (a int)")

    @Test func `run in order, once`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let migrator = Migrator([Self.one, Self.two])

            let first = try await migrator.migrate(on: connection, deadline: TestCluster.deadline)
            let second = try await migrator.migrate(on: connection, deadline: TestCluster.deadline)

            #expect(first == [Self.one, Self.two])
            #expect(second.isEmpty)
            #expect(try await count("two", connection) == "1")
        }
    }

    @Test func `stop at the version asked for and go on later`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let migrator = Migrator([Self.one, Self.two, Self.three])

            let upToTwo = try await migrator.migrate(on: connection, to: 2, deadline: TestCluster.deadline)
            let status = try await migrator.status(on: connection, deadline: TestCluster.deadline)
            let rest = try await migrator.migrate(on: connection, deadline: TestCluster.deadline)

            #expect(upToTwo == [Self.one, Self.two])
            #expect(status.map { $0.appliedAt != nil } == [true, true, false])
            #expect(rest == [Self.three])
        }
    }

    @Test func `change nothing on a dry run or a look at the status`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let migrator = Migrator([Self.one, Self.two])

            let would = try await migrator.migrate(
                on: connection,
                isDryRun: true,
                deadline: TestCluster.deadline
            )
            let status = try await migrator.status(on: connection, deadline: TestCluster.deadline)

            #expect(would == [Self.one, Self.two])
            #expect(status.allSatisfy { $0.appliedAt == nil })
            #expect(try await count("pg_class WHERE relname = 'schema_migrations'", connection) == "0")
        }
    }

    @Test func `leave nothing of one that fails, keep those before it and release the lock`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let broken = Migration(version: 2, name: "broken", sql: "CREATE TABLE half (a int); SELECT 1/0")

            let error = await #expect(throws: MigrationError.self) {
                try await Migrator([Self.one, broken]).migrate(on: connection, deadline: TestCluster.deadline)
            }

            guard case .refused(version: 2, name: "broken", let reason) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(reason.sqlState == "22012")
            #expect(try await count("pg_class WHERE relname = 'half'", connection) == "0")
            let other = try await database.connect(name: "other")
            let applied = try await Migrator([Self.one, Self.two]).migrate(
                on: other,
                deadline: TestCluster.deadline
            )
            #expect(applied == [Self.two])
        }
    }

    @Test func `are refused when one that ran was edited, is missing, or is newer than the binary`()
        async throws
    {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            _ = try await Migrator([Self.one, Self.three]).migrate(
                on: connection,
                deadline: TestCluster.deadline
            )
            let edited = Migration(version: 1, name: "one", sql: Self.one.sql + " ")
            let cases: [([Migration], MigrationError)] = [
                ([edited, Self.three], .checksumChanged(version: 1, name: "one")),
                ([Self.one], .newerDatabase(version: 3, known: 1)),
                ([Self.one, Self.two, Self.three], .outOfOrder(version: 2, name: "two")),
            ]

            for (migrations, expected) in cases {
                #expect(expected.isForeignSchema)
                await #expect(throws: expected) {
                    try await Migrator(migrations).migrate(on: connection, deadline: TestCluster.deadline)
                }
            }
        }
    }

    @Test func `have no way back and none to a version that does not exist`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()
            let migrator = Migrator([Self.one, Self.two])
            _ = try await migrator.migrate(on: connection, deadline: TestCluster.deadline)

            for target in [1, 9] {
                await #expect(throws: MigrationError.noSuchTarget(target)) {
                    try await migrator.migrate(on: connection, to: target, deadline: TestCluster.deadline)
                }
            }
        }
    }

    @Test func `run once although many nodes start together`() async throws {
        try await TestCluster.withDatabase { database in
            let ran = try await withThrowingTaskGroup(of: Int.self) { group in
                for node in 0..<6 {
                    group.addTask {
                        let connection = try await database.connect(name: "node \(node)")
                        let migrator = Migrator([Self.one, Self.two, Self.three])
                        defer { Task { await connection.close() } }
                        return try await migrator.migrate(on: connection, deadline: TestCluster.deadline)
                            .count
                    }
                }
                return try await group.reduce(0, +)
            }

            #expect(ran == 3)
        }
    }

    @Test func `are embedded as the files of the folder, all of them`() throws {
        // Not shortened here: the tests may stand behind a symbolic link.
        let tests = "\(#filePath)".split(separator: "/").dropLast().joined(separator: "/")
        let folder = "/\(tests)/../../migrations"
        let listing = TestPaths.makeTemporaryDirectory() + "/listing"
        #expect(system("ls '\(folder)' > '\(listing)'") == 0)
        let files = try #require(ClusterFiles.read(listing)).split(separator: "\n").map(String.init)

        let names = Migration.all.map { "\("\(10_000 + $0.version)".dropFirst())_\($0.name).sql" }

        #expect(names == files)
        for (migration, name) in zip(Migration.all, names) {
            #expect(ClusterFiles.read("\(folder)/\(name)") == migration.sql, "\(name)")
        }
    }

    @Test func `of the product run on an empty database, and its partitions can be kept`() async throws {
        try await TestCluster.withDatabase { database in
            let connection = try await database.connect()

            let ran = try await Migrator().migrate(on: connection, deadline: TestCluster.deadline)

            #expect(ran == Migration.all)
            for keeper in [PartitionKeeper.events, .rejects, .jobOutcomes] {
                let names = try await keeper.ensure(on: connection, deadline: TestCluster.deadline)
                #expect(names.count == (keeper.hasHistory ? 41 : 10), "\(keeper.table)")
            }
            _ = try await connection.query(
                """
                INSERT INTO rejects (received_at, code, pointer, detail, raw, request_id)
                VALUES (now(), 'a', '', '', '', 'r')
                """,
                deadline: TestCluster.deadline
            )
            #expect(try await count("rejects WHERE n = 1", connection) == "1")
        }
    }
}
