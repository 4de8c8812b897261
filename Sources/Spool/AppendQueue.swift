/// Appends that wait for the disk, and how they are put together to groups.
struct AppendQueue {
    typealias Answer = UnsafeContinuation<Result<Void, SpoolError>, Never>

    private struct Waiting {
        var entries: ArraySlice<SpoolEntry>
        let answer: Answer
    }

    /// Entries that are made durable at once.
    struct Group {
        fileprivate(set) var entries: [SpoolEntry] = []
        fileprivate(set) var bytes = 0
        /// Appends that it completes, and entries of the one behind them.
        fileprivate var whole = 0
        fileprivate var ofNext = 0
    }

    private var waiting: [Waiting] = []
    /// Of the records that wait.
    private(set) var bytes = 0

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ entries: [SpoolEntry], bytes count: Int, _ answer: Answer) {
        waiting.append(Waiting(entries: entries[...], answer: answer))
        bytes += count
    }

    /// As much as is written at once; an append that is larger goes in parts.
    func nextGroup(bytesMax: Int) -> Group {
        var group = Group()
        for append in waiting {
            for entry in append.entries {
                let bytes = Self.bytes(of: entry)
                if !group.entries.isEmpty, group.bytes + bytes > bytesMax { return group }
                group.entries.append(entry)
                group.bytes += bytes
                group.ofNext += 1
            }
            group.whole += 1
            group.ofNext = 0
        }
        return group
    }

    /// Answers the appends that end with this group; after a failure the one that it was a part of, too.
    mutating func finish(_ group: Group, _ result: Result<Void, SpoolError>) {
        bytes -= group.bytes
        for append in waiting.prefix(group.whole) { append.answer.resume(returning: result) }
        waiting.removeFirst(group.whole)
        guard group.ofNext > 0 else { return }
        guard case .failure = result else {
            waiting[0].entries = waiting[0].entries.dropFirst(group.ofNext)
            return
        }
        let failed = waiting.removeFirst()
        bytes -= failed.entries.dropFirst(group.ofNext).reduce(0) { $0 + Self.bytes(of: $1) }
        failed.answer.resume(returning: result)
    }

    /// Tells all that wait that nothing comes of it.
    mutating func dismissAll() {
        let left = waiting
        waiting = []
        bytes = 0
        for append in left { append.answer.resume(returning: .failure(.closed)) }
    }

    static func bytes(of entry: SpoolEntry) -> Int { RecordHeader.recordBytes(payload: entry.payload.count) }
}
