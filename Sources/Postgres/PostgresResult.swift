/// What one statement returned, in text format.
package struct PostgresResult: Equatable, Sendable {
    package let columns: [String]
    package let rows: [[String?]]
    /// Rows inserted, updated, deleted, selected or copied; 0 for statements without a count.
    package let affected: Int

    /// Makes a result of its parts.
    package init(columns: [String], rows: [[String?]], affected: Int) {
        self.columns = columns
        self.rows = rows
        self.affected = affected
    }

    /// The first column of the first row; `nil` when there is no row or the value is null.
    package var value: String? {
        guard let row = rows.first, let value = row.first else { return nil }
        return value
    }
}
