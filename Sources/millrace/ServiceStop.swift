import Glibc
import Logging
import Reactor
import Server
import Synchronization

/// Whether the service has been told to stop, for those who ask whether it is ready.
final class StopNotice: Sendable {
    private let given = Atomic<Bool>(false)

    var isGiven: Bool { given.load(ordering: .relaxed) }

    func give() { given.store(true, ordering: .relaxed) }
}

/// Waits for a reason to end, and ends in order.
///
///     a signal → notice → delay → no new requests → answers to all that run → the queue's work done or back
///                           │                          │
///        the next signal:   └ ends the delay           └ hastens
struct ServiceStop: Sendable {
    private let configuration: ServiceConfiguration
    private let events: ServiceEvents
    private let notice: StopNotice
    private let servers: [HTTPServer]
    private let node: ServiceNode
    private let loop: EventLoop
    private let logger: Logger

    /// What a stop still waits for once it is hastened.
    private static let hastenedDrain = Duration.seconds(2)

    init(
        _ configuration: ServiceConfiguration,
        events: ServiceEvents,
        notice: StopNotice,
        servers: [HTTPServer],
        node: ServiceNode,
        loop: EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration
        self.events = events
        self.notice = notice
        self.servers = servers
        self.node = node
        self.loop = loop
        self.logger = logger
    }

    /// Returns the program's exit code once the service has ended.
    func run() async -> Int32 {
        var reason = await events.next()
        notice.give()
        if case .signal(let signal) = reason {
            logger.notice("stopping", metadata: ["signal": "\(signal)"])
            if configuration.drainDelay > .zero, case .fenced = await delay() { reason = .fenced }
        }
        if case .fenced = reason {
            logger.error("the other nodes have declared this one dead; it ends")
        }
        await drain()
        if case .fenced = reason { return Exit.failure }
        return Exit.success
    }

    /// Goes on as before, so that load balancers have the time to ask whether the node is ready and to leave;
    /// returns what has ended that.
    private func delay() async -> ServiceEvents.End {
        logger.notice(
            "no longer ready; requests are answered for a while",
            metadata: ["seconds": "\(configuration.drainDelay.components.seconds)"]
        )
        // Cancelled below.
        let pause = Task(executorPreference: loop) {
            await loop.sleep(for: configuration.drainDelay)
            if !Task.isCancelled { events.send(.delayOver) }
        }
        let end = await events.next()
        pause.cancel()
        return end
    }

    private func drain() async {
        let deadline = Deadline.after(configuration.drainTimeout)
        // Ended below: nobody sends events any more then.
        let hastening = Task {
            // The delay may have ended just when a signal ended it.
            while case .delayOver = await events.next() {}
            if Task.isCancelled { return }
            for server in servers { await server.drain(deadline: .after(Self.hastenedDrain)) }
            await node.hasten()
        }
        await withTaskGroup { group in
            for server in servers { group.addTask { await server.drain(deadline: deadline) } }
        }
        await node.stop(deadline: deadline)
        hastening.cancel()
        events.close()
    }
}
