import Postgres
import Reactor
import TestSupport

// What several suites ask of a database.

func count(_ table: String, _ connection: PostgresConnection) async throws -> String? {
    try await connection.query("SELECT count(*) FROM \(table)", deadline: TestCluster.deadline).value
}

func integers(_ range: ClosedRange<Int32>) -> CopyStream {
    var encoder = RowEncoder(columns: 1, capacity: range.count * 10)
    for number in range {
        encoder.beginRow()
        encoder.append(int32: number)
    }
    return encoder.finish()
}

func pid(of connection: PostgresConnection) async throws -> String {
    try await connection.query("SELECT pg_backend_pid()", deadline: TestCluster.deadline).value ?? ""
}

/// Asks the server until the backend waits for `event`.
func until(_ pid: String, isAt event: String, _ database: TestDatabase) async throws {
    let witness = try await database.connect(name: "witness")
    let sql = "SELECT 1 FROM pg_stat_activity WHERE pid = $1::int AND wait_event = $2"
    while try await witness.query(sql, [pid, event], deadline: TestCluster.deadline).rows.isEmpty {}
    await witness.close()
}

/// Ends the backend once it waits for `event`; returns when it has left.
func terminate(_ pid: String, whenAt event: String, _ database: TestDatabase) async throws {
    try await until(pid, isAt: event, database)
    let witness = try await database.connect(name: "witness")
    _ = try await witness.query(
        "SELECT pg_terminate_backend($1::int, 60000)",
        [pid],
        deadline: TestCluster.deadline
    )
    await witness.close()
}
