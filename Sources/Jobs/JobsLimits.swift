// Jobs: the queue of analytics work, from the cut of a writer to the rollups in the database.
//
// LeaseState and NodeLease keep this process a member of the installation, and Reaper buries the members that
// are gone. JobQueue is the SQL of the queue; Dispatcher claims jobs, gets their events (EventCache, else
// EventReader), has a worker run them and hands results to the Applier, which makes them count exactly once.
// LevelKeeper makes hours and days of minutes. Housekeeper drops what is old. JobsService is all of it for
// the program. Nothing here decodes requests, writes events or answers HTTP.

/// Every bound of the queue's side of a node.
package struct JobsLimits: Sendable {
    package var lease = LeaseLimits()
    package var cache = EventCacheLimits()
    package var dispatch = DispatchLimits()
    package var apply = ApplyLimits()
    package var levels = LevelLimits()
    package var housekeeping = HousekeepingLimits()
    /// One statement's answer, after which its connection is closed and the outcome is unknown.
    package var statement = Duration.seconds(30)

    /// The defaults.
    package init() {}
}

/// How a node shows that it is alive, and when it holds others for dead.
package struct LeaseLimits: Sendable {
    package var beat = Duration.seconds(5)
    /// After a beat that failed.
    package var retry = Duration.seconds(1)
    /// Without a beat for so long a node is dead; three beats, and the same as the column's default.
    package var ttl = Duration.seconds(15)
    /// Longer between two beats that arrived is a gap.
    ///
    /// A database that stalls for less than this has not let a node's last beat become older than the TTL.
    package var gapMax = Duration.seconds(10)
    /// One beat's answer.
    package var answer = Duration.seconds(5)
    /// What a reaper waits for a row that a flush of the dead still holds.
    package var lock = Duration.seconds(3)
    /// Jobs that one look at lost leases takes.
    package var lostPerSweepMax = 1_000

    /// The defaults.
    package init() {}
}

/// Bounds of the events that wait in memory for their job.
package struct EventCacheLimits: Sendable {
    /// Lines and what describes them; what does not fit is read from the database when its job runs.
    package var bytesMax = 64 << 20
    /// When another node took a job, its events here are of no use to anybody; older ones make room.
    package var age = Duration.seconds(60)

    /// The defaults.
    package init() {}
}

/// Bounds of what is claimed, and how often the queue is asked.
package struct DispatchLimits: Sendable {
    /// Between two looks at the queue when nothing wakes the dispatcher.
    package var pollMin = Duration.milliseconds(50)
    package var pollMax = Duration.seconds(1)
    /// Between two looks at jobs whose pause is over.
    package var promote = Duration.milliseconds(250)
    /// Jobs that one promotion takes.
    package var promotePerRoundMax = 1_000
    /// Between two comparisons of the leases in the database with those held here.
    package var reconcile = Duration.seconds(5)
    /// A lease outlives its job's own timeout by this: the wait for a worker, the kill and the applying.
    package var leaseSlack = Duration.seconds(60)
    /// Before another node may take a job from the node that has its events in memory.
    package var originGrace = Duration.seconds(1)
    /// Events of one job as lines; a job with more is split.
    package var jobBytesMax = 16 << 20
    /// Of a failure's text that is kept with the job.
    package var messageBytesMax = 8 << 10
    /// Between two attempts to report a failure to a database that is away.
    package var reportRetry = Duration.milliseconds(500)

    /// The defaults.
    package init() {}
}

/// Bounds of one transaction that applies results.
package struct ApplyLimits: Sendable {
    /// How long a result waits for others.
    package var linger = Duration.milliseconds(250)
    package var resultsMax = 64
    /// Of the results as the workers sent them.
    package var bytesMax = 4 << 20
    /// Results that wait; with more nothing is claimed.
    package var backlogMax = 512
    package var backlogBytesMax = 32 << 20
    /// Rollups that are locked, merged and written at once: sketches take some kilobytes each.
    package var rollupsPerChunkMax = 1_000
    /// Between two attempts at the same transaction.
    package var retryMin = Duration.milliseconds(50)
    package var retryMax = Duration.seconds(5)
    /// Of a key in a result; the service accepts no event beyond.
    package var typeBytesMax = 255
    package var sourceBytesMax = 1_024
    /// Longer waits for a lock count as a failed attempt.
    package var lock = Duration.seconds(10)

    /// The defaults.
    package init() {}
}

/// How the rollups of hours and days are kept.
package struct LevelLimits: Sendable {
    /// Between two looks at what is stale.
    package var interval = Duration.seconds(60)
    /// Rollups made in one transaction, each of up to 60: two milliseconds of merging in one piece.
    package var rollupsPerTransaction = 8
    /// Marking all that an installation has, once.
    package var firstMarking = Duration.seconds(600)

    /// The defaults.
    package init() {}
}

/// What is dropped when, and how often that is looked at.
package struct HousekeepingLimits: Sendable {
    package var interval = Duration.seconds(600)
    /// Outcomes are kept for so long, in whole days.
    package var outcomeDays = 7
    /// Events without a time of their own are held to be the same for at least so long.
    package var dedupWindow = Duration.seconds(7 * 86_400)
    /// Lines of the audit trail are kept for so long, in days: a year and a month to look back on it.
    package var auditDays = 400
    /// The newest lines that are kept, however young the others are: half a hundred megabytes at the most.
    package var auditLinesMax = 100_000
    /// Lines that one round deletes at the most, so that its transaction stays short.
    package var auditLinesPerRoundMax = 20_000
    /// Locks that stop writers are asked for with this patience, and given up otherwise until the next time.
    package var lock = Duration.seconds(2)

    /// The defaults.
    package init() {}
}
