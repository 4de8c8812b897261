import Reactor
import Synchronization

/// A key in use: what it may do, and how much of its rate is left on this node.
package final class Principal: Sendable {
    package let key: APIKey
    private let bucket: SharedBucket?

    init(_ key: APIKey, _ bucket: SharedBucket?) {
        self.key = key
        self.bucket = bucket
    }

    /// Whether its rate lets another batch in.
    package var isAdmitted: Bool { bucket?.tokens.withLock { $0.admits(now: .now()) } ?? true }

    /// Counts events against its rate; returns how long the next batch will have to wait.
    @discardableResult
    package func charge(_ events: Int) -> Duration {
        guard let bucket else { return .zero }
        return bucket.tokens.withLock { tokens in
            tokens.take(events, now: .now())
            return tokens.wait
        }
    }

    /// The `RateLimit-*` fields of an answer; none for a key without a rate.
    package var rateFields: [(String, String)] {
        guard let bucket else { return [] }
        let tokens = bucket.tokens.withLock { $0 }
        return [
            ("RateLimit-Limit", "\(tokens.limit)"), ("RateLimit-Remaining", "\(tokens.remaining)"),
            ("RateLimit-Reset", "\(wholeSeconds)"),
        ]
    }

    /// Whole seconds until the next batch may come in, rounded up.
    package var wholeSeconds: Int64 {
        let wait = bucket?.tokens.withLock { $0.wait } ?? .zero
        let (seconds, attoseconds) = wait.components
        return seconds + (attoseconds > 0 ? 1 : 0)
    }
}

/// One key's bucket, which survives changes of the key and is common to all loops.
final class SharedBucket: Sendable {
    let tokens: Mutex<TokenBucket>

    init(_ tokens: TokenBucket) { self.tokens = Mutex(tokens) }
}

/// The keys of the installation as this node knows them; replaced as a whole when they change.
package final class KeyRing: Sendable {
    private struct State {
        var principals: [KeyDigest: Principal] = [:]
        var buckets: [Int64: SharedBucket] = [:]
        var origins: Set<String> = []
    }

    private let state = Mutex(State())
    private let isInUse = Atomic<Bool>(false)

    package init() {}

    /// Whether there has ever been a key: from then on nobody gets in without one.
    package var hasKeys: Bool { isInUse.load(ordering: .acquiring) }

    /// Takes over the keys that are valid now.
    ///
    /// A key that stays keeps what it has used of its rate. `hasKeys` is true once a first key was made, even
    /// if all have been revoked since.
    package func replace(with keys: [(digest: KeyDigest, key: APIKey)], hasKeys: Bool) {
        let now = Deadline.now()
        state.withLock { state in
            var next = State()
            for (digest, key) in keys {
                var bucket: SharedBucket?
                if let rate = key.rate {
                    let kept =
                        state.buckets[key.id]
                        ?? SharedBucket(TokenBucket(rate: rate, burst: key.burst, now: now))
                    kept.tokens.withLock { $0.change(rate: rate, burst: key.burst, now: now) }
                    next.buckets[key.id] = kept
                    bucket = kept
                }
                next.principals[digest] = Principal(key, bucket)
                next.origins.formUnion(key.origins)
            }
            state = next
        }
        // Afterwards: whoever sees that there are keys finds them.
        isInUse.store(hasKeys, ordering: .releasing)
    }

    func principal(of digest: KeyDigest) -> Principal? { state.withLock { $0.principals[digest] } }

    /// Whether any key may be used from pages of this origin: all that is known before the key is.
    func expects(origin: String) -> Bool {
        state.withLock { $0.origins.contains(origin) || $0.origins.contains("*") }
    }
}
