/// An error of the server's, which undoes the transaction.
struct Refusal: Error {
    let sqlState: String
    let message: String
}

/// The tables of the write path and the SQL functions that change them, as `migrations` has them.
///
/// A value: a transaction works on a copy, which takes the original's place when it commits.
struct ModelTables {
    struct EventID: Hashable {
        let ts: Int64
        let key: UInt128
    }

    struct Counts: Equatable {
        var received: Int64 = 0
        var stored: Int64 = 0
        var duplicates: Int64 = 0
        var rejected: Int64 = 0
        var bytes: Int64 = 0

        static func += (sum: inout Counts, more: Counts) {
            sum.received += more.received
            sum.stored += more.stored
            sum.duplicates += more.duplicates
            sum.rejected += more.rejected
            sum.bytes += more.bytes
        }
    }

    struct Stream {
        let epoch: Int
        var flush: Int64 = 0
        var cut: Int64
        var written: Int64
        var tsMin: Int64?
        var tsMax: Int64?
        var counts = Counts()
    }

    struct Account: Hashable {
        let minute: Int64
        let stream: Int64
        let route: String
        let key: Int64
    }

    struct Job: Equatable {
        let stream: Int64
        let lo: Int64
        let hi: Int64
        let tsMin: Int64
        let tsMax: Int64
    }

    struct FlushName: Hashable {
        let stream: Int64
        let flush: Int64
    }

    /// Each event's seq.
    var events: [EventID: Int64] = [:]
    /// Each event's content.
    var contents: [EventID: [UInt8]] = [:]
    var eventKeys: Set<UInt128> = []
    /// How many, by request.
    var rejects: [String: Int] = [:]
    /// Days for which `rejects` has a partition.
    var rejectDays: Set<Int64> = []
    var streams: [Int64: Stream] = [:]
    var endedStreams: [Int64: Int64] = [:]
    var lostFlushes: [FlushName: Bool] = [:]
    var spools: [String: Int64] = [:]
    var accounts: [Account: Counts] = [:]
    /// Of streams that have ended.
    var totals = Counts()
    var jobs: [Job] = []
    private var lastStream: Int64 = 0

    static let dayLength: Int64 = 86_400_000_000

    // MARK: Nodes

    mutating func registerNode(epoch: Int, writers: Int) -> [Int64] {
        (0..<writers).map { _ in
            lastStream += 1
            streams[lastStream] = Stream(epoch: epoch, cut: lastStream << 40, written: lastStream << 40)
            return lastStream
        }
    }

    mutating func buryNode(epoch: Int) throws(Refusal) {
        for number in streams.keys.sorted() where streams[number]?.epoch == epoch {
            try cutStream(number)
            guard let gone = streams.removeValue(forKey: number) else { continue }
            endedStreams[number] = gone.flush
            totals += gone.counts
        }
    }

    // MARK: Flushes

    /// `end_flush`: fences, counts and cuts.
    ///
    /// Returns `false` for a flush that was committed before.
    mutating func endFlush(_ call: EndFlushCall) throws(Refusal) -> Bool {
        guard var stream = streams[call.stream] else { throw Self.fenced(call.stream) }
        guard stream.flush < call.flush else {
            if call.isFirst || call.stored > 0 {
                throw Refusal(sqlState: "MR002", message: "flush \(call.flush) comes too late")
            }
            return false
        }
        stream.flush = call.flush
        stream.written = call.hi
        if let first = call.first { stream.tsMin = min(stream.tsMin ?? first, first) }
        if let last = call.last { stream.tsMax = max(stream.tsMax ?? last, last) }
        stream.counts += call.counts
        streams[call.stream] = stream
        for share in call.accounts {
            let account = Account(
                minute: share.minute,
                stream: call.stream,
                route: share.route,
                key: share.key
            )
            accounts[account, default: Counts()] += share.counts
        }
        if call.cuts { try cutStream(call.stream) }
        return true
    }

    mutating func cutStream(_ number: Int64) throws(Refusal) {
        guard var stream = streams[number] else { throw Self.fenced(number) }
        if let tsMin = stream.tsMin, let tsMax = stream.tsMax {
            jobs.append(Job(stream: number, lo: stream.cut, hi: stream.written, tsMin: tsMin, tsMax: tsMax))
        }
        stream.cut = stream.written
        stream.tsMin = nil
        stream.tsMax = nil
        streams[number] = stream
    }

    private static func fenced(_ stream: Int64) -> Refusal {
        Refusal(sqlState: "MR001", message: "stream \(stream) is gone: this node was declared dead")
    }

    /// `find_flush`: whether it was committed; if not, it never will be.
    mutating func findFlush(_ name: FlushName) -> Bool {
        if let answer = lostFlushes[name] { return answer }
        var answer = false
        if let stream = streams[name.stream] {
            answer = stream.flush >= name.flush
            if !answer { streams[name.stream]?.flush = name.flush }
        } else if let ended = endedStreams[name.stream] {
            answer = ended >= name.flush
        }
        lostFlushes[name] = answer
        return answer
    }

    // MARK: Spools

    mutating func openSpool(_ spool: String, drained: Int64) -> Int64 {
        let position = max(spools[spool] ?? drained, drained)
        spools[spool] = position
        return position
    }

    mutating func advanceSpool(_ call: AdvanceSpoolCall) throws(Refusal) {
        if spools[call.spool] == call.from {
            spools[call.spool] = call.to
            return
        }
        if let stream = streams[call.stream], stream.flush >= call.flush { return }
        throw Refusal(sqlState: "MR005", message: "the spool is not drained to \(call.from)")
    }

    // MARK: What holds at every moment

    /// Of all streams, those that have ended included.
    var counted: Counts { streams.values.reduce(into: totals) { $0 += $1.counts } }

    /// What does not add up, if anything.
    var imbalance: String? {
        let counted = counted
        let accounted = accounts.values.reduce(into: Counts()) { $0 += $1 }
        if counted != accounted { return "the accounts \(accounted) are not the totals \(counted)" }
        if counted.received != counted.stored + counted.duplicates + counted.rejected {
            return "received is not stored, duplicates and rejected: \(counted)"
        }
        if counted.stored != Int64(events.count) {
            return "\(events.count) rows, and \(counted.stored) are counted as stored"
        }
        return nil
    }
}
