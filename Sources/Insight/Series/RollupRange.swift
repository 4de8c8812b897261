import Events

/// A range of time, cut into pieces that are each read from the coarsest level of rollups that fits.
///
/// Pure: at most five pieces, in the order of time; days in the middle, hours and minutes at either end.
struct RollupRange: Equatable, Sendable {
    enum Level: CaseIterable, Sendable {
        case minute
        case hour
        case day

        /// Microseconds.
        var length: Int64 {
            switch self {
            case .minute: 60_000_000
            case .hour: 3_600_000_000
            case .day: 86_400_000_000
            }
        }

        /// The function of the schema that gives the rollups of this level, or of finer ones in their place.
        fileprivate var function: String {
            switch self {
            case .minute: "minute_rollups"
            case .hour: "hour_rollups"
            case .day: "day_rollups"
            }
        }
    }

    struct Piece: Equatable, Sendable {
        let level: Level
        /// Microseconds since 1970.
        let from: Int64
        /// Exclusive.
        let to: Int64
    }

    let pieces: [Piece]

    /// Cuts what lies between two whole minutes; no rollup reaches over the border of two steps.
    init(from: Int64, to: Int64, step: Int64 = Level.day.length) {
        let fitting = Level.allCases.filter { step % $0.length == 0 }
        pieces = Self.pieces(from, to, by: fitting[...])
    }

    private static func pieces(_ from: Int64, _ to: Int64, by levels: ArraySlice<Level>) -> [Piece] {
        guard from < to, let level = levels.last else { return [] }
        let finer = levels.dropLast()
        if finer.isEmpty { return [Piece(level: level, from: from, to: to)] }
        let first = SeriesQuery.ceiling(from, level.length)
        let end = SeriesQuery.floor(to, level.length)
        if first >= end { return pieces(from, to, by: finer) }
        return pieces(from, first, by: finer) + [Piece(level: level, from: first, to: end)]
            + pieces(end, to, by: finer)
    }

    /// For a FROM clause: `start`, `type`, `source`, `events`, `subjects`, `fields` of all rollups in it.
    ///
    /// Made of numbers and fixed words only.
    var table: String {
        if pieces.isEmpty { return "minute_rollups('epoch', 'epoch') AS r" }
        let selects = pieces.map { piece in
            let (from, to) = (Timestamp.text(piece.from), Timestamp.text(piece.to))
            return "SELECT * FROM \(piece.level.function)('\(from)', '\(to)')"
        }
        return "(\(selects.joined(separator: " UNION ALL "))) AS r"
    }
}
