/// What an analysis holds at most, whatever the number of events; each kind says what it does at the bound.
package struct AnalysisLimits: Sendable {
    /// Bytes of the states of subjects: 1.4 million sessions, some 380,000 funnels.
    ///
    /// Beyond, a random half of the subjects is left out, as often as needed, and the result says so.
    /// Arrays grow by doubling, so that a process may hold two and a half times as much for a moment.
    package var subjectBytesMax = 64 << 20
    /// Counters of the most frequent values: a count is too high by at most the events divided by this.
    package var countersMax = 16_384
    /// Groups of quantiles and segments of a funnel; what comes later is summed up as the others.
    package var groupsMax = 1_000
    /// Different types on paths; what comes later is one type, the other.
    package var namesMax = 10_000
    /// Types that are correlated when none are named: the first.
    package var correlatedTypesMax = 64
    /// Bytes of a value in a result; what is longer is counted whole and shown cut.
    package var valueBytesMax = 256

    /// Steps of a funnel; the state of a subject has room for so many.
    package static let stepsMax = 16
    /// Buckets of a series.
    package static let bucketsMax = 10_000
    /// Rows of a cohort table.
    package static let cohortsMax = 400
    /// Columns of a cohort table: one bit each.
    package static let periodsMax = 64
    /// Types on one path: sixteen bits each.
    package static let pathLengthMax = 8
    /// Rows of a list in a result.
    package static let rowsMax = 1_000
    /// Buckets by which one type may follow another.
    package static let lagsMax = 24

    package init() {}
}
