import CoreMetrics
package import Logging
package import Postgres
package import Reactor

/// Looks at the installation's totals once a second and knows their rates.
///
/// One task calls ``run()`` for as long as the node reads statistics; it outlives an absent database.
package actor TotalsSampler {
    /// What the last looks have shown.
    package struct View: Sendable {
        /// `nil` until the first look succeeded.
        package var snapshot: StatsSnapshot?
        /// Why the last look failed; `nil` when it did not.
        package var failure: String?
        /// Age of the snapshot.
        package var age: Duration
        package var ring: RateRing
    }

    private let reader: PostgresPool
    private let metrics: PrometheusMetrics
    private let latencyTimer: String
    private let limits: InsightLimits
    private let loop: EventLoop
    private let logger: Logger
    private var ring: RateRing
    private var last: (snapshot: StatsSnapshot, at: Deadline)?
    private var failure: String?
    private let gauges = SampleGauges()

    nonisolated package var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// A sampler that has not looked yet; `latencyTimer` is the timer that Ingest records its requests with.
    package init(
        reader: PostgresPool,
        metrics: PrometheusMetrics,
        latencyTimer: String,
        limits: InsightLimits = InsightLimits(),
        loop: EventLoop,
        logger: Logger
    ) {
        self.reader = reader
        self.metrics = metrics
        self.latencyTimer = latencyTimer
        self.limits = limits
        self.loop = loop
        self.logger = logger
        ring = RateRing(countMax: limits.samplesMax)
    }

    /// Looks once a second until the task is cancelled, and calls `afterEach` each time.
    package func run(afterEach: @Sendable () async -> Void) async {
        var next = Deadline.now()
        while !Task.isCancelled {
            await look()
            await afterEach()
            // A look that took long is followed by the next whole second, not by a burst.
            repeat { next = next.advanced(by: .seconds(1)) } while next <= .now()
            await loop.sleep(until: next)
        }
    }

    /// Looks once, whatever comes of it.
    package func look() async {
        do throws(ReadError) {
            take(try await StatsSnapshot.read(over: reader, limits: limits), at: .now())
        } catch {
            let reason = "\(error)"
            if failure == nil {
                logger.warning("statistics cannot be read", metadata: ["reason": "\(reason)"])
            }
            failure = reason
            gauges.away()
        }
    }

    /// Takes what somebody has read at that moment.
    package func take(_ snapshot: StatsSnapshot, at time: Deadline) {
        if failure != nil { logger.notice("statistics can be read again") }
        failure = nil
        last = (snapshot, time)
        ring.add(snapshot.totals.received, at: time, latency: metrics.histogram(latencyTimer))
        gauges.set(snapshot)
    }

    /// What is known now.
    package func view(at now: Deadline = .now()) -> View {
        View(
            snapshot: last?.snapshot,
            failure: failure,
            age: last.map { now.duration(since: $0.at) } ?? .zero,
            ring: ring
        )
    }
}

/// The gauges that a look sets.
private struct SampleGauges: Sendable {
    private let up = Meter(label: "millrace_database_up")
    private let lagEvents = Meter(label: "millrace_analytics_lag_events")
    private let lagSeconds = Meter(label: "millrace_analytics_lag_seconds")
    private let scheduled = Self.jobs("scheduled")
    private let ready = Self.jobs("ready")
    private let leased = Self.jobs("leased")
    private let dead = Self.jobs("dead")

    private static func jobs(_ state: String) -> Meter {
        Meter(label: "millrace_jobs", dimensions: [("state", state)])
    }

    func set(_ snapshot: StatsSnapshot) {
        up.set(1)
        lagEvents.set(snapshot.lagEvents)
        lagSeconds.set(snapshot.queue.lagSeconds)
        scheduled.set(snapshot.queue.scheduled)
        ready.set(snapshot.queue.ready)
        leased.set(snapshot.queue.leased)
        dead.set(snapshot.queue.dead)
    }

    func away() { up.set(0) }
}
