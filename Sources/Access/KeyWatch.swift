package import Logging
package import Reactor
package import Server

/// Keeps this node's copy of the keys up to date.
///
/// It asks every two seconds: a change made anywhere is in force everywhere within that. While PostgreSQL is
/// away the keys that were known stay valid.
package struct KeyWatch: Sendable {
    private let store: KeyStore
    private let ring: KeyRing
    private let loop: EventLoop
    private let logger: Logger

    private static let interval = Duration.seconds(2)

    package init(_ store: KeyStore, ring: KeyRing, loop: EventLoop, logger: Logger) {
        self.store = store
        self.ring = ring
        self.loop = loop
        self.logger = logger
    }

    /// Asks at once, and says what came of it.
    package func readNow() async {
        do throws(KeyError) {
            try await store.load(into: ring)
            logger.notice("the keys were read again")
        } catch {
            logger.warning("cannot read the keys", metadata: ["reason": "\(error)"])
        }
    }

    /// Asks again and again, until the task is cancelled.
    package func run() async {
        var hasFailed = false
        while !Task.isCancelled {
            await loop.sleep(for: Self.interval)
            if Task.isCancelled { return }
            do throws(KeyError) {
                try await store.load(into: ring)
                hasFailed = false
            } catch {
                if !hasFailed { logger.warning("cannot read the keys", metadata: ["reason": "\(error)"]) }
                hasFailed = true
            }
        }
    }
}
