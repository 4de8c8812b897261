/// A whole binary COPY payload: header, rows, trailer.
package struct CopyStream: Equatable, Sendable {
    package let bytes: [UInt8]

    /// Wraps a payload that is complete.
    package init(bytes: [UInt8]) { self.bytes = bytes }
}

/// A type of PostgreSQL, by its number in pg_type, which is fixed for those that are built in.
package enum PostgresType: UInt32, Sendable {
    case bytea = 17
    case int8 = 20
    case int2 = 21
    case text = 25
    case timestamptz = 1184
    case uuid = 2950
    case jsonb = 3802
}

/// A parameter in PostgreSQL's binary format; `nil` bytes are a null.
package struct BinaryValue: Equatable, Sendable {
    package let bytes: [UInt8]?

    /// Wraps bytes as the type's receive function takes them.
    package init(bytes: [UInt8]?) { self.bytes = bytes }

    package init(int64 value: Int64) {
        bytes = (0..<8).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    package init(bool value: Bool) { bytes = [value ? 1 : 0] }

    /// A timestamptz, given in microseconds since 1970 UTC.
    package init(timestamp microseconds: Int64) {
        self.init(int64: RowEncoder.timestamp(microseconds))
    }
}

/// Writes rows in PostgreSQL's binary format, a COPY payload (its manual, COPY, "Binary Format") or one array
/// for each column (array_recv), for a statement that unnests them.
///
/// The order and the types of the fields must be those of the columns: the server converts nothing.
package struct RowEncoder: Sendable {
    /// One payload, or an array a column.
    private var buffers: [[UInt8]]
    /// The buffer that the field under way goes to.
    private var current = 0
    /// The arrays' element types; empty for a COPY.
    private let types: [PostgresType]
    private let columns: Int
    private let capacity: Int
    private var fieldsMissing = 0
    /// Rows begun since the last ``finish()``.
    package private(set) var rows = 0

    private static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [0, 0, 0, 0] + [0, 0, 0, 0]
    /// An array's dimensions, flags, element type, length and lower bound, four bytes each.
    private static let arrayHeaderBytes = 20
    /// 2000-01-01, the zero of timestamptz, in microseconds since 1970.
    private static let timestampZero: Int64 = 946_684_800_000_000

    /// Prepares for a COPY of rows of `columns` fields, with room for `capacity` bytes.
    package init(columns: Int, capacity: Int) {
        self.columns = columns
        self.capacity = capacity
        types = []
        buffers = []
        begin()
    }

    /// Prepares for an array of each of `types`, with room for `capacity` bytes in all.
    package init(arraysOf types: [PostgresType], capacity: Int) {
        self.types = types
        self.capacity = capacity
        columns = types.count
        buffers = []
        begin()
    }

    /// Bytes so far, headers included.
    package var byteCount: Int { buffers.reduce(0) { $0 + $1.count } }

    private mutating func begin() {
        rows = 0
        current = 0
        if types.isEmpty {
            var payload: [UInt8] = []
            payload.reserveCapacity(capacity)
            payload += Self.header
            buffers = [payload]
            return
        }
        var array: [UInt8] = []
        array.reserveCapacity(capacity / columns)
        array += [UInt8](repeating: 0, count: Self.arrayHeaderBytes)
        buffers = [[UInt8]](repeating: array, count: columns)
    }

    /// Begins a row; the one before it must be whole.
    package mutating func beginRow() {
        precondition(fieldsMissing == 0, "a row has as many fields as columns")
        fieldsMissing = columns
        rows += 1
        if types.isEmpty { put16(UInt16(columns)) }
    }

    /// Ends the payload, hands it over and begins an empty one.
    package mutating func finish() -> CopyStream {
        precondition(types.isEmpty && fieldsMissing == 0, "a row has as many fields as columns")
        put16(UInt16.max)
        let stream = CopyStream(bytes: buffers[0])
        begin()
        return stream
    }

    /// Ends the arrays, hands them over in the order of the columns and begins empty ones.
    package mutating func finishArrays() -> [BinaryValue] {
        precondition(!types.isEmpty && fieldsMissing == 0, "a row has as many fields as columns")
        for (column, type) in types.enumerated() {
            // One dimension, which may hold nulls, counted from 1 (array_recv).
            set(1, at: 0, of: column)
            set(1, at: 4, of: column)
            set(type.rawValue, at: 8, of: column)
            set(UInt32(rows), at: 12, of: column)
            set(1, at: 16, of: column)
        }
        let arrays = buffers.map { BinaryValue(bytes: $0) }
        begin()
        return arrays
    }

    // MARK: Fields

    /// Appends a null of any type.
    package mutating func appendNull() {
        nextField()
        put32(UInt32.max)
    }

    /// Appends a boolean.
    package mutating func append(bool value: Bool) {
        beginField(byteCount: 1)
        buffers[current].append(value ? 1 : 0)
    }

    /// Appends a smallint.
    package mutating func append(int16 value: Int16) {
        beginField(byteCount: 2)
        put16(UInt16(bitPattern: value))
    }

    /// Appends an int.
    package mutating func append(int32 value: Int32) {
        beginField(byteCount: 4)
        put32(UInt32(bitPattern: value))
    }

    /// Appends a bigint.
    package mutating func append(int64 value: Int64) {
        beginField(byteCount: 8)
        put64(UInt64(bitPattern: value))
    }

    /// Appends a double precision.
    package mutating func append(double value: Double) {
        beginField(byteCount: 8)
        put64(value.bitPattern)
    }

    /// Appends a timestamptz, given in microseconds since 1970 UTC.
    package mutating func append(timestamp microseconds: Int64) {
        beginField(byteCount: 8)
        put64(UInt64(bitPattern: Self.timestamp(microseconds)))
    }

    /// Microseconds since 1970 as timestamptz counts them.
    static func timestamp(_ microseconds: Int64) -> Int64 {
        let (value, overflows) = microseconds.subtractingReportingOverflow(timestampZero)
        // The lowest number means -infinity; the one above it is a year that PostgreSQL refuses with 22008.
        return overflows ? .min + 1 : max(value, .min + 1)
    }

    /// Appends a uuid.
    package mutating func append(uuid value: UInt128) {
        beginField(byteCount: 16)
        put64(UInt64(truncatingIfNeeded: value >> 64))
        put64(UInt64(truncatingIfNeeded: value))
    }

    /// Appends a text, which must be UTF-8 without U+0000.
    package mutating func append(text: Span<UInt8>) {
        beginField(byteCount: text.count)
        put(text)
    }

    /// Appends a text.
    package mutating func append(text: String) {
        beginField(byteCount: text.utf8.count)
        buffers[current].append(contentsOf: text.utf8)
    }

    /// Appends a jsonb, given as its text.
    package mutating func append(jsonb text: Span<UInt8>) {
        // Its wire form is a version, 1 so far, and the text (jsonb_recv).
        beginField(byteCount: text.count + 1)
        buffers[current].append(1)
        put(text)
    }

    /// Appends a bytea.
    package mutating func append(bytea value: Span<UInt8>) {
        append(text: value)
    }

    // MARK: Bytes

    private mutating func nextField() {
        if !types.isEmpty { current = columns - fieldsMissing }
        fieldsMissing -= 1
    }

    private mutating func beginField(byteCount: Int) {
        nextField()
        put32(UInt32(Int32(byteCount)))
    }

    private mutating func set(_ value: UInt32, at offset: Int, of column: Int) {
        for byte in 0..<4 {
            buffers[column][offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(24 - byte * 8))
        }
    }

    private mutating func put16(_ value: UInt16) {
        buffers[current].append(addingCapacity: 2) { room in
            room.append(UInt8(truncatingIfNeeded: value >> 8))
            room.append(UInt8(truncatingIfNeeded: value))
        }
    }

    private mutating func put32(_ value: UInt32) {
        buffers[current].append(addingCapacity: 4) { room in
            for shift in stride(from: 24, through: 0, by: -8) {
                room.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
            }
        }
    }

    private mutating func put64(_ value: UInt64) {
        buffers[current].append(addingCapacity: 8) { room in
            for shift in stride(from: 56, through: 0, by: -8) {
                room.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
            }
        }
    }

    /// The loop becomes wide moves: measured as fast as Array.append(contentsOf:), which takes no span.
    private mutating func put(_ span: Span<UInt8>) {
        buffers[current].append(addingCapacity: span.count) { room in
            for index in span.indices { room.append(span[index]) }
        }
    }
}
