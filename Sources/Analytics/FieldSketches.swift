/// The sketches of a rollup's numeric fields, by the field's name (a JSON pointer into `data`).
///
/// There are at most ``RollupLimits/fieldsMax``: the shortest names, and among equally long ones those that
/// sort first by bytes. So a data set with millions of names, which are long as a rule, does not push out the
/// few plain ones; and since a name that is kept in the end was never left out on the way, neither the
/// fields, nor their sketches, nor ``omitted`` depend on the order in which values came and rollups were
/// merged.
package struct FieldSketches: Equatable, Sendable {
    /// One field of a rollup.
    package struct Field: Equatable, Sendable {
        package let name: String
        package fileprivate(set) var sketch: QuantileSketch
    }

    /// In ascending order: shorter names first, then by bytes.
    private var fields: [Field] = []

    /// How many values were left out because of their field's name.
    package private(set) var omitted: Int64 = 0

    package init() {}

    init(omitted: Int64) { self.omitted = omitted }

    package subscript(name: String) -> QuantileSketch? {
        let position = lowerBound(name)
        return isField(name, at: position) ? fields[position].sketch : nil
    }

    /// Adds the values of `sketch` to the field.
    package mutating func merge(_ sketch: QuantileSketch, into name: String) {
        let position = lowerBound(name)
        if isField(name, at: position) {
            fields[position].sketch.merge(sketch)
        } else if position == RollupLimits.fieldsMax || name.utf8.count > RollupLimits.fieldNameBytesMax {
            omit(sketch)
        } else {
            fields.insert(Field(name: name, sketch: sketch), at: position)
            if fields.count > RollupLimits.fieldsMax { omit(fields.removeLast().sketch) }
        }
    }

    /// Adds the values of all fields of `other`.
    package mutating func merge(_ other: FieldSketches) {
        omitted = omitted.addingSaturated(other.omitted)
        for field in other.fields { merge(field.sketch, into: field.name) }
    }

    private mutating func omit(_ sketch: QuantileSketch) {
        omitted = omitted.addingSaturated(sketch.count).addingSaturated(sketch.ignored)
    }

    private func isField(_ name: String, at position: Int) -> Bool {
        position < fields.count && !Self.precedes(name, fields[position].name)
    }

    private func lowerBound(_ name: String) -> Int {
        var (low, high) = (0, fields.count)
        while low < high {
            let middle = (low + high) / 2
            if Self.precedes(fields[middle].name, name) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// By bytes and not by `String`'s own order, for which composed and decomposed letters are the same.
    static func precedes(_ left: String, _ right: String) -> Bool {
        let (leftCount, rightCount) = (left.utf8.count, right.utf8.count)
        if leftCount != rightCount { return leftCount < rightCount }
        return left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}

extension FieldSketches: RandomAccessCollection {
    package var startIndex: Int { fields.startIndex }
    package var endIndex: Int { fields.endIndex }
    package subscript(position: Int) -> Field { fields[position] }
}

// Layout: version 1, then the body. Body: varints `omitted` and the number of fields; then for each field, in
// ascending order, the name (length, UTF-8) and the body of its sketch.

extension FieldSketches {
    private static var version: UInt8 { 1 }

    /// Bytes for ``decode(_:)``.
    package func encode() -> [UInt8] {
        var output = [Self.version]
        encodeBody(into: &output)
        return output
    }

    /// Reads exactly what ``encode()`` has written.
    package static func decode(_ bytes: Span<UInt8>) throws(CodecError) -> FieldSketches {
        var reader = ByteReader()
        try reader.version(version, bytes)
        let value = try FieldSketches(body: bytes, &reader)
        try reader.end(bytes)
        return value
    }

    func encodeBody(into output: inout [UInt8]) {
        output.append(varint: UInt64(omitted))
        output.append(varint: UInt64(fields.count))
        for field in fields {
            output.append(text: field.name)
            field.sketch.encodeBody(into: &output)
        }
    }

    init(body bytes: Span<UInt8>, _ reader: inout ByteReader) throws(CodecError) {
        omitted = try reader.tally(bytes)
        let count = try reader.count(bytes, max: RollupLimits.fieldsMax, entryBytesMin: 3)
        for _ in 0..<count {
            let name = try reader.text(bytes, max: RollupLimits.fieldNameBytesMax)
            if let last = fields.last, !Self.precedes(last.name, name) { throw reader.error(.order) }
            fields.append(Field(name: name, sketch: try QuantileSketch(body: bytes, &reader)))
        }
    }
}
