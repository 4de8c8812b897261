import Reactor

@testable import Ingest

/// A sender that keeps its events until they are acknowledged, and sometimes longer.
final class SimulatedClient: @unchecked Sendable {
    private let world: World
    private let loop: EventLoop
    private let nodes: [SimulatedNode]
    private let book: Book
    private let patience: Duration
    /// Deliveries of new events that it still begins.
    private var plans: Int
    /// Events to be sent (again); those that must be sent as they were, together.
    private var backlog: [[Item]] = []
    /// The faults are over: it makes nothing new, and ends when all is acknowledged.
    private let isQuiet: () -> Bool
    private(set) var isDone = false

    init(
        _ world: World,
        on loop: EventLoop,
        nodes: [SimulatedNode],
        book: Book,
        deliveries: Int,
        isQuiet: @escaping () -> Bool
    ) {
        self.world = world
        self.loop = loop
        self.nodes = nodes
        self.book = book
        self.isQuiet = isQuiet
        plans = deliveries
        patience = world.duration(milliseconds: 500...40_000)
    }

    func run() async {
        while true {
            await loop.sleep(for: world.duration(milliseconds: 0...(world.chance(oneIn: 3) ? 3_000 : 30)))
            if isQuiet() { plans = 0 }
            if plans == 0, backlog.isEmpty { break }
            if let (items, isAtomic) = next() { await deliver(items, isAtomic: isAtomic) }
        }
        isDone = true
    }

    private func next() -> (items: [Item], isAtomic: Bool)? {
        if !backlog.isEmpty, plans == 0 || world.chance(oneIn: 2) {
            let items = backlog.remove(at: world.number(in: 0..<backlog.count))
            return (items, book.isAtomic(items))
        }
        if plans == 0 { return nil }
        plans -= 1
        let isAtomic = world.chance(oneIn: 8)
        let count = world.chance(oneIn: 6) ? world.number(in: 6..<10) : world.number(in: 1..<5)
        var items = (0..<count).map { _ in
            let kind = pickKind()
            // Without an id it could not be told whether all of it was stored.
            return book.newItem(of: isAtomic && kind == .fresh ? .dated : kind)
        }
        if isAtomic {
            book.noteAtomic(items)
        } else if world.chance(oneIn: 4), let known = book.anyItem() {
            // Out of the blue, perhaps acknowledged long ago, perhaps by another node, perhaps twice.
            items.append(known)
            if world.chance(oneIn: 4) { items.append(known) }
        }
        return (items, isAtomic)
    }

    private func pickKind() -> Item.Kind {
        switch world.number(in: 0..<40) {
        case 0..<20: .dated
        case 20..<30: .undated
        case 30..<36: .fresh
        case 36: .refused(type: "unreadable")
        case 37: .refused(type: "forbidden")
        case 38: .invalid
        default: .dated
        }
    }

    private func deliver(_ items: [Item], isAtomic: Bool) async {
        if world.chance(oneIn: 8) {
            // The same over another connection, at the same time. Ends with its answer.
            Task(executorPreference: loop) { _ = await self.send(items, isAtomic: isAtomic) }
        }
        if await send(items, isAtomic: isAtomic) { return }
        let again = items.filter { $0.kind != .fresh }
        if !again.isEmpty { backlog.append(isAtomic ? items : again) }
    }

    /// Whether all of it has been acknowledged, for good.
    private func send(_ items: [Item], isAtomic: Bool) async -> Bool {
        let node = nodes[world.number(in: 0..<nodes.count)]
        let acknowledgement: IngestOptions.Acknowledgement =
            switch world.number(in: 0..<12) {
            case 0 where !isQuiet(): .none
            case 1: .spooled
            default: .committed
            }
        let delivery = Delivery(
            number: book.nextDelivery(),
            items: items,
            isAtomic: isAtomic,
            acknowledgement: acknowledgement,
            waits: world.chance(oneIn: 4),
            receivedAt: node.wallClock,
            seed: world.random.next()
        )
        book.began(delivery)
        world.note("delivery \(delivery.number): \(items.count) events to node \(node.number)")
        let answer = await node.send(delivery, patience: patience)
        return book.ended(delivery, answer)
    }
}
