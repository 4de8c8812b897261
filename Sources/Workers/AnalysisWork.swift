package import Analytics
package import Events

/// An analysis on its way through a worker: events in as they come, in pieces cut anywhere, and one result
/// at the end.
///
/// Holds the analysis' own bounded state and at most one line that is not complete yet.
struct AnalysisWork: Sendable {
    /// Why an analysis cannot go on; no other attempt would fare better.
    enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case parameters(ParameterError)
        case body(JobBodyError)
        case order(Analysis.OrderError)
        case lineTooLong(limit: Int)

        var description: String {
            switch self {
            case .parameters(let error): "invalid parameters: \(error)"
            case .body(let error): error.description
            case .order(.outsideOfRange(let time)): "an event of the time \(time) is not of the range"
            case .order(.beforeTheLast(let time, let last)):
                "an event of the time \(time) comes after one of \(last)"
            case .lineTooLong(let limit): "a line of more than \(limit) bytes"
            }
        }
    }

    /// An event is at most 256 KiB, and what is asked of it is a part.
    private static let lineBytesMax = 4 << 20

    private var analysis: Analysis
    private var rest: [UInt8] = []

    /// Begins one; `nil` where there is no such kind.
    init?(kind: String, parameters: [String: JSONValue]) throws(Failure) {
        do throws(ParameterError) {
            let parameters = AnalysisValue(.object(parameters))
            let analysis = try Analysis(kind: kind, parameters: parameters) { Timestamp.parse($0.utf8.span) }
            guard let analysis else { return nil }
            self.analysis = analysis
        } catch {
            throw .parameters(error)
        }
    }

    /// Takes the next piece of the events.
    mutating func add(_ piece: [UInt8]) throws(Failure) {
        guard let end = piece.lastIndex(of: UInt8(ascii: "\n")) else {
            rest.append(contentsOf: piece)
            if rest.count > Self.lineBytesMax { throw .lineTooLong(limit: Self.lineBytesMax) }
            return
        }
        if rest.isEmpty {
            try addLines(piece.span.extracting(0..<end + 1))
        } else {
            rest.append(contentsOf: piece[...end])
            let lines = rest
            rest = []
            try addLines(lines.span)
        }
        rest.append(contentsOf: piece[(end + 1)...])
    }

    private mutating func addLines(_ lines: Span<UInt8>) throws(Failure) {
        var reader = EventLineReader()
        while let event = try Self.next(&reader, lines) {
            do throws(Analysis.OrderError) { try analysis.add(event) } catch { throw .order(error) }
        }
    }

    private static func next(
        _ reader: inout EventLineReader,
        _ lines: Span<UInt8>
    ) throws(Failure) -> AnalysisEvent? {
        do throws(JobBodyError) {
            guard let line = try reader.next(lines) else { return nil }
            return try line.event(in: lines)
        } catch {
            throw .body(error)
        }
    }

    /// How much of the range lies behind, in microseconds, and how long it is.
    var progress: (done: Int64, total: Int64) {
        let range = analysis.needs.range
        let (total, isOverflown) = range.upperBound.subtractingReportingOverflow(range.lowerBound)
        let whole = isOverflown ? Int64.max : total
        return (Int64(analysis.progress * Double(whole) * 0.999_999), whole)
    }

    /// The end of the events: the result as JSON.
    mutating func finish() throws(Failure) -> [UInt8] {
        if !rest.isEmpty { try add([UInt8(ascii: "\n")]) }
        return JSONValue(analysis.result()).bytes
    }
}

extension EventLine {
    /// The event as an analysis takes it.
    fileprivate func event(in body: Span<UInt8>) throws(JobBodyError) -> AnalysisEvent {
        AnalysisEvent(
            time: time,
            type: String(decoding: type.unescaped(in: body), as: UTF8.self),
            source: String(decoding: source.unescaped(in: body), as: UTF8.self),
            subject: subject.map { String(decoding: $0.unescaped(in: body), as: UTF8.self) },
            fields: try fieldValues(in: body)
        )
    }

    private func fieldValues(in body: Span<UInt8>) throws(JobBodyError) -> [FieldValue?] {
        guard let fields, fields.count > 2 else { return [] }
        var text: [UInt8] = []
        text.append(copying: body.extracting(fields))
        let values: [JSONValue]
        do throws(JSONReadError) {
            values = try JSONReader.array(text)
        } catch {
            throw JobBodyError(line: 0, offset: fields.lowerBound, reason: error.detail)
        }
        return values.map { value in
            switch value {
            case .bool(let flag): .flag(flag)
            case .integer(let number): .number(Double(number))
            case .number(let number): .number(number)
            case .string(let text): .text(text)
            case .null, .array, .object: nil
            }
        }
    }
}

extension AnalysisValue {
    /// The same value, as Analytics knows it.
    package init(_ value: JSONValue) {
        self =
            switch value {
            case .null: .null
            case .bool(let flag): .flag(flag)
            case .integer(let number): .integer(number)
            case .number(let number): .number(number)
            case .string(let text): .text(text)
            case .array(let elements): .list(elements.map { AnalysisValue($0) })
            case .object(let members): .object(members.mapValues { AnalysisValue($0) })
            }
    }
}

extension JSONValue {
    /// The same value, as JSON.
    package init(_ value: AnalysisValue) {
        self =
            switch value {
            case .null: .null
            case .flag(let flag): .bool(flag)
            case .integer(let number): .integer(number)
            case .number(let number): .number(number)
            case .text(let text): .string(text)
            case .list(let elements): .array(elements.map { JSONValue($0) })
            case .object(let members): .object(members.mapValues { JSONValue($0) })
            }
    }
}
