import Analytics
import Events

/// Why a job's body cannot be worked on; no other attempt would fare better.
package struct JobBodyError: Error, Equatable, Sendable, CustomStringConvertible {
    package let line: Int
    package let offset: Int
    package let reason: String

    package var description: String { "line \(line), byte \(offset) of the body: \(reason)" }
}

/// The work of kind "rollup": events in, one line of JSON each, and rollups out.
package struct RollupKind: Sendable {
    package static let name = "rollup"
    package static let encoding = "rollup1"

    private let numbers = NumericFields()

    package init() {}

    /// Returns ``RollupCodec`` bytes for the events of `body`.
    package func run(_ body: Span<UInt8>) throws(JobBodyError) -> [UInt8] {
        var accumulator = RollupAccumulator()
        var reader = EventLineReader()
        while let line = try reader.next(body) {
            add(line, of: body, to: &accumulator)
        }
        return RollupCodec.encode(accumulator.rollups)
    }

    private func add(_ line: EventLine, of body: Span<UInt8>, to accumulator: inout RollupAccumulator) {
        if line.hasEscapes {
            let (type, source) = (line.type.unescaped(in: body), line.source.unescaped(in: body))
            if let subject = line.subject?.unescaped(in: body) {
                accumulator.add(time: line.time, type: type.span, source: source.span, subject: subject.span)
            } else {
                accumulator.add(time: line.time, type: type.span, source: source.span, subject: nil)
            }
        } else if let subject = line.subject {
            accumulator.add(
                time: line.time,
                type: body.extracting(line.type.range),
                source: body.extracting(line.source.range),
                subject: body.extracting(subject.range)
            )
        } else {
            accumulator.add(
                time: line.time,
                type: body.extracting(line.type.range),
                source: body.extracting(line.source.range),
                subject: nil
            )
        }
        if let data = line.data {
            numbers.forEach(in: body.extracting(data)) { field, value in
                accumulator.add(field: field, value: value)
            }
        }
    }
}
