import Events

@testable import Ingest

/// What clients have sent and been told, and whether the database agrees with it in the end.
final class Book: @unchecked Sendable {
    private struct Knowledge {
        /// Deliveries that have begun.
        var attempts = 0
        /// Answers that called it stored.
        var storedAnswers = 0
        /// It is said to be in the table.
        var isStored = false
        /// It is said to be in the table, or to come to it.
        var isPromised = false
    }

    private struct Record {
        let delivery: Delivery
        /// Items that were said to be in the table when it began.
        let known: Set<Item>
        var answer: Answer?
    }

    private enum Answer {
        case kept(Kept)
        case failed(IngestError)
    }

    private let world: World
    private var knowledge: [Item: Knowledge] = [:]
    private var items: [Item] = []
    private var records: [Record] = []
    private var atomics: [[Item]] = []
    /// What is wrong so far.
    private(set) var findings: [String] = []
    /// Deliveries that are under way.
    private(set) var open = 0
    private(set) var acknowledged = 0
    private(set) var spooled = 0
    private(set) var failed = 0

    init(_ world: World) { self.world = world }

    private func find(_ finding: String) {
        findings.append(finding)
        world.note("FOUND: \(finding)")
    }

    // MARK: Sending

    func newItem(of kind: Item.Kind) -> Item {
        let item = Item(kind: kind, number: items.count)
        items.append(item)
        return item
    }

    /// Any item that can be recognised, and that may come in any company.
    func anyItem() -> Item? {
        if items.isEmpty { return nil }
        let item = items[world.number(in: 0..<items.count)]
        if !item.isStorable || item.kind == .fresh || atomics.contains(where: { $0.contains(item) }) {
            return nil
        }
        return item
    }

    func noteAtomic(_ items: [Item]) { atomics.append(items) }

    func isAtomic(_ items: [Item]) -> Bool { atomics.contains(items) }

    func nextDelivery() -> Int { records.count + 1 }

    func began(_ delivery: Delivery) {
        let known = delivery.items.filter { knowledge[$0]?.isStored == true }
        records.append(Record(delivery: delivery, known: Set(known)))
        for item in delivery.items { knowledge[item, default: Knowledge()].attempts += 1 }
        open += 1
    }

    /// Whether all of it is acknowledged for good.
    func ended(_ delivery: Delivery, _ answer: Result<Kept, IngestError>?) -> Bool {
        open -= 1
        switch answer {
        case nil:
            failed += 1
            world.note("delivery \(delivery.number): no answer")
            return false
        case .failure(let error):
            failed += 1
            world.note("delivery \(delivery.number): \(error)")
            records[delivery.number - 1].answer = .failed(error)
            return false
        case .success(let kept):
            let verdicts = kept.verdicts.map { "\($0)" }.joined(separator: " ")
            world.note("delivery \(delivery.number): \(kept.durability), \(verdicts)")
            records[delivery.number - 1].answer = .kept(kept)
            note(kept, of: delivery)
            return kept.durability != .none
        }
    }

    private func note(_ kept: Kept, of delivery: Delivery) {
        if kept.verdicts.count != delivery.arena.records.count {
            find("delivery \(delivery.number) has \(kept.verdicts.count) verdicts")
            return
        }
        if kept.durability == .none { return }
        acknowledged += 1
        if kept.durability == .spooled { spooled += 1 }
        for (position, verdict) in kept.verdicts.enumerated() {
            note(verdict, of: delivery.item(position), in: delivery)
        }
    }

    private func note(_ verdict: Verdict, of item: Item, in delivery: Delivery) {
        var known = knowledge[item] ?? Knowledge()
        defer { knowledge[item] = known }
        let name = "\(item) in delivery \(delivery.number)"
        switch verdict {
        case .stored:
            if !item.isStorable { find("\(name) cannot be stored, and is said to be") }
            if records[delivery.number - 1].known.contains(item) { find("\(name) is stored, and was before") }
            known.storedAnswers += 1
            if known.storedAnswers > 1, item.kind != .fresh { find("\(name) is stored for the second time") }
            known.isStored = true
            known.isPromised = true
        case .duplicate:
            if known.attempts < 2 { find("\(name) is a duplicate, and was never sent before") }
            known.isStored = true
            known.isPromised = true
        case .spooled:
            // Of an atomic delivery all is refused with the one that is.
            if !delivery.isAtomic || delivery.items.allSatisfy(\.isStorable) { known.isPromised = true }
        case .refused: if item.isStorable { find("\(name) is refused") }
        case .aborted: if !delivery.isAtomic { find("\(name) is aborted") }
        }
    }

    // MARK: The end

    /// Compares with the tables, when nothing is under way any more.
    func compare(with tables: ModelTables, handedOn: [SimulatedNode.HandedOn]) {
        compareItems(with: tables)
        compareAtomics(with: tables)
        for record in records { compare(record, with: tables) }
        compareJobs(with: tables, handedOn)
    }

    /// What a record must have become.
    private static func content(_ record: Int, of arena: EventArena) -> [UInt8] {
        let event = arena.records[record]
        let id = event.idIsGenerated ? [] : arena.bytes[event.id.range]
        // The wire form of jsonb begins with its version.
        let data = event.data.isAbsent ? [] : [1] + arena.bytes[event.data.range]
        return [arena.bytes[event.type.range], arena.bytes[event.source.range], id, data[...]]
            .flatMap { $0 + [0] }
    }

    private func compareItems(with tables: ModelTables) {
        var rows: [UInt128: Int] = [:]
        for id in tables.events.keys { rows[id.key, default: 0] += 1 }
        var sent: Set<UInt128> = []
        for record in records {
            for (position, event) in record.delivery.events.enumerated() {
                sent.insert(event.key)
                let item = record.delivery.item(position)
                // An undated one has the time of the delivery that came first.
                let id = ModelTables.EventID(ts: event.ts, key: event.key)
                if let content = tables.contents[id],
                    content != Self.content(event.record, of: record.delivery.arena)
                {
                    find("\(item) is not stored as it was sent")
                }
                let count = rows[event.key] ?? 0
                if count > 1 { find("\(item) is in the table \(count) times") }
                if !item.isStorable, count > 0 { find("\(item) is in the table") }
                guard item.isStorable, count == 0, isPromised(record, position, item) else { continue }
                find("\(item) of delivery \(record.delivery.number) was acknowledged and is not in the table")
            }
        }
        let strangers = rows.keys.filter { !sent.contains($0) }.count
        if strangers > 0 { find("\(strangers) rows were never sent") }
    }

    private func isPromised(_ record: Record, _ position: Int, _ item: Item) -> Bool {
        if item.kind != .fresh { return knowledge[item]?.isPromised == true }
        guard case .kept(let kept) = record.answer, kept.durability != .none else { return false }
        return kept.verdicts[position] != .aborted
    }

    private func compareAtomics(with tables: ModelTables) {
        let keys = Set(tables.events.keys.map(\.key))
        for items in atomics {
            for record in records where record.delivery.items == items {
                let there = record.delivery.events.count { keys.contains($0.key) }
                let whole = items.allSatisfy(\.isStorable) ? items.count : 0
                if there != 0, there != whole {
                    find("\(there) of \(items.count) events of an atomic delivery are in the table")
                }
            }
        }
    }

    /// A delivery has an account of its own, so what was counted of it can be seen.
    private func compare(_ record: Record, with tables: ModelTables) {
        let delivery = record.delivery
        let name = "delivery \(delivery.number)"
        var counts = ModelTables.Counts()
        for (account, share) in tables.accounts where account.key == Int64(delivery.number) {
            counts += share
        }
        let all = Int64(delivery.items.count)
        let rejects = tables.rejects[delivery.requestID] ?? 0
        if counts.received > all { find("\(name) of \(all) events is counted more than once: \(counts)") }
        if rejects > delivery.items.count { find("\(name) has \(rejects) rejects") }
        switch record.answer {
        case nil: break
        case .failed: break
        case .kept(let kept):
            if kept.durability == .none { return }
            if counts.received != all {
                find("\(name) of \(all) events is acknowledged and counts \(counts)")
            }
            if kept.durability == .committed {
                let stored = Int64(kept.verdicts.count { $0 == .stored })
                let duplicates = Int64(kept.verdicts.count { $0 == .duplicate })
                if counts.stored != stored || counts.duplicates != duplicates {
                    find(
                        "\(name) was told \(stored) stored and \(duplicates) duplicates, and counts \(counts)"
                    )
                }
            }
            let unstorable = delivery.items.count { !$0.isStorable }
            let isAborted = delivery.isAtomic && unstorable > 0
            if counts.rejected != (isAborted ? all : Int64(unstorable)) {
                find("\(name) has \(unstorable) events that cannot be stored, and counts \(counts)")
            }
            let kinds = Set(delivery.items.filter { !$0.isStorable }.map(\.kind))
            let isCut = isAborted && (kinds != [.invalid] && unstorable > 1)
            if isCut ? rejects == 0 : rejects != unstorable {
                find("\(name) has \(unstorable) events that cannot be stored, and \(rejects) rejects")
            }
        }
    }

    /// What the analytics will see is what is stored, each event once.
    private func compareJobs(with tables: ModelTables, _ handedOn: [SimulatedNode.HandedOn]) {
        for (id, seq) in tables.events {
            let jobs = tables.jobs.filter { $0.lo <= seq && seq < $0.hi }
            if jobs.count != 1 { find("an event is in \(jobs.count) jobs") }
            if let job = jobs.first, id.ts < job.tsMin || id.ts > job.tsMax {
                find("an event's time is not in its job's")
            }
        }
        for part in handedOn {
            let stored = tables.events.values.count { part.lo <= $0 && $0 < part.hi }
            if stored != part.events {
                find("\(part.events) events were handed on, and \(stored) are stored")
            }
        }
    }
}
