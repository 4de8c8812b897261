import Postgres
import Reactor

/// Reads any number of rows a few at a time, all of one moment of the database.
struct RowCursor {
    let reader: PostgresPool
    /// Rows that are in memory at once.
    let rowsMax: Int

    /// Calls `take` with each row of a SELECT.
    func read(
        _ sql: String,
        _ parameters: [String?],
        _ deadline: Deadline,
        _ take: ([String?]) throws(ReadError) -> Void
    ) async throws(ReadError) {
        var failure: ReadError?
        do throws(PostgresError) {
            try await reader.withConnection(deadline: deadline) { connection throws(PostgresError) in
                _ = try await connection.simple("BEGIN READ ONLY", deadline: deadline)
                _ = try await connection.query(
                    "DECLARE rows NO SCROLL CURSOR FOR \(sql)",
                    parameters,
                    deadline: deadline
                )
                while failure == nil {
                    let page = try await connection.query("FETCH \(rowsMax) FROM rows", deadline: deadline)
                    do throws(ReadError) {
                        for row in page.rows { try take(row) }
                    } catch {
                        failure = error
                    }
                    if page.rows.count < rowsMax { break }
                }
                _ = try await connection.simple("COMMIT", deadline: deadline)
            }
        } catch {
            throw .database(error)
        }
        if let failure { throw failure }
    }
}
