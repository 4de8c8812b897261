/// Decides when the queue is asked for how many jobs.
///
/// Holds no clock, task or connection; `now` is the time since any fixed start. With jobs to be had the next
/// claim follows at once, with none the pauses double: those are for jobs of other nodes, as a node's own
/// come with a wake-up. Pauses have jitter, so that the nodes of an installation do not ask in step.
struct DispatchState: Sendable {
    /// One claim to be made.
    struct Claim: Equatable, Sendable {
        var count: Int
        var ignoresPriority: Bool
    }

    /// Every so many claims the oldest jobs come first, whatever their priority.
    static let fairClaimInterval = 8

    private let limits: DispatchLimits
    private var random: SystemRandomNumberGenerator
    private var claims = 0
    private var delay: Duration
    /// No claims before, as the workers or the database were not able to take any.
    private var notBefore = Duration.zero
    private var nextPromotion = Duration.zero
    private var nextReconciliation: Duration
    private(set) var isFailing = false

    init(limits: DispatchLimits) {
        self.limits = limits
        random = SystemRandomNumberGenerator()
        delay = limits.pollMin
        nextReconciliation = limits.reconcile
    }

    /// The next claim: one job for each worker that is up and one more that waits for it, less what is under
    /// way.
    mutating func nextClaim(workersUp: Int, underWay: Int, isBacklogged: Bool, now: Duration) -> Claim? {
        let count = 2 * workersUp - underWay
        if isBacklogged || count <= 0 || now < notBefore { return nil }
        claims += 1
        return Claim(count: count, ignoresPriority: claims.isMultiple(of: Self.fairClaimInterval))
    }

    /// A claim brought `count` jobs.
    mutating func claimed(_ count: Int) {
        isFailing = false
        delay = count > 0 ? limits.pollMin : min(delay * 2, limits.pollMax)
    }

    /// The database did not answer; returns whether that is news.
    mutating func databaseFailed(isOutcomeUnknown: Bool, now: Duration) -> Bool {
        // Jobs may have been leased to this node without its knowing.
        if isOutcomeUnknown { nextReconciliation = now }
        notBefore = now + limits.pollMax * Double.random(in: 0.5...1, using: &random)
        defer { isFailing = true }
        return !isFailing
    }

    /// The workers gave a job back: they cannot take any for the moment.
    mutating func pushedBack(now: Duration) {
        notBefore = now + limits.pollMax * Double.random(in: 0.5...1, using: &random)
    }

    /// Something has come to the queue, as far as this node knows.
    mutating func woken() { delay = limits.pollMin }

    mutating func promotionIsDue(now: Duration) -> Bool {
        if now < nextPromotion { return false }
        nextPromotion = now + limits.promote
        return true
    }

    mutating func reconciliationIsDue(now: Duration) -> Bool {
        if now < nextReconciliation { return false }
        nextReconciliation = now + limits.reconcile
        return true
    }

    /// How long to wait for a wake-up.
    mutating func pause() -> Duration {
        let jittered = delay * Double.random(in: 0.75...1.25, using: &random)
        return min(jittered, limits.pollMax)
    }
}
