// Analytics: what turns events into numbers that can be added up.
//
// Here live the mergeable sketches (HyperLogLog, QuantileSketch), the Rollup of one minute, type and source
// made of them, the RollupAccumulator that a worker feeds with events, and the RollupCodec that carries its
// result. No JSON, no SQL, no pipes: bytes and numbers come in, values and bytes go out, and nothing is
// imported.
//
//  events → RollupAccumulator → [RollupKey: Rollup] → RollupCodec.encode → pipe → RollupCodec.decode → merge
//
// Everything merges in any order to the same state (but for the last bits of a sum), because jobs are
// retried, split and applied in whatever order they finish. Whatever is decoded is untrusted: a worker may be
// anybody's program.

/// The events of one minute, type and source, summed up.
package struct Rollup: Equatable, Sendable {
    package var count: Int64
    /// The different subjects of the events that had one.
    package var subjects: HyperLogLog
    package var fields: FieldSketches

    package init(
        count: Int64 = 0,
        subjects: HyperLogLog = HyperLogLog(),
        fields: FieldSketches = FieldSketches()
    ) {
        self.count = count
        self.subjects = subjects
        self.fields = fields
    }

    /// Makes this the rollup of the events of both.
    package mutating func merge(_ other: Rollup) {
        count = count.addingSaturated(other.count)
        subjects.merge(other.subjects)
        fields.merge(other.fields)
    }
}
