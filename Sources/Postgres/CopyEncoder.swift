/// A whole binary COPY payload: header, rows, trailer.
package struct CopyStream: Equatable, Sendable {
    package let bytes: [UInt8]

    /// Wraps a payload that is complete.
    package init(bytes: [UInt8]) { self.bytes = bytes }
}

/// Writes rows in PostgreSQL's binary COPY format (its manual, COPY, "Binary Format") into one array.
///
/// The order and the types of the fields must be those of the COPY's columns: the server converts nothing.
package struct CopyEncoder: Sendable {
    private var bytes: [UInt8] = []
    private let columns: Int
    private let capacity: Int
    private var fieldsMissing = 0
    /// Rows begun since the last ``finish()``.
    package private(set) var rows = 0

    private static let header: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [0, 0, 0, 0] + [0, 0, 0, 0]
    /// 2000-01-01, the zero of timestamptz, in microseconds since 1970.
    private static let timestampZero: Int64 = 946_684_800_000_000

    /// Prepares for rows of `columns` fields, with room for `capacity` bytes.
    package init(columns: Int, capacity: Int) {
        self.columns = columns
        self.capacity = capacity
        begin()
    }

    /// Bytes so far, header included.
    package var byteCount: Int { bytes.count }

    private mutating func begin() {
        bytes = []
        bytes.reserveCapacity(capacity)
        bytes += Self.header
        rows = 0
    }

    /// Begins a row; the one before it must be whole.
    package mutating func beginRow() {
        precondition(fieldsMissing == 0, "a row has as many fields as columns")
        fieldsMissing = columns
        rows += 1
        put16(UInt16(columns))
    }

    /// Ends the payload, hands it over and begins an empty one.
    package mutating func finish() -> CopyStream {
        precondition(fieldsMissing == 0, "a row has as many fields as columns")
        put16(UInt16.max)
        let stream = CopyStream(bytes: bytes)
        begin()
        return stream
    }

    // MARK: Fields

    /// Appends a null of any type.
    package mutating func appendNull() {
        fieldsMissing -= 1
        put32(UInt32.max)
    }

    /// Appends a boolean.
    package mutating func append(bool value: Bool) {
        beginField(byteCount: 1)
        bytes.append(value ? 1 : 0)
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
        let (value, overflows) = microseconds.subtractingReportingOverflow(Self.timestampZero)
        // The lowest number means -infinity; the one above it is a year that PostgreSQL refuses with 22008.
        put64(UInt64(bitPattern: overflows ? .min + 1 : max(value, .min + 1)))
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
        bytes.append(contentsOf: text.utf8)
    }

    /// Appends a jsonb, given as its text.
    package mutating func append(jsonb text: Span<UInt8>) {
        // Its wire form is a version, 1 so far, and the text (jsonb_recv).
        beginField(byteCount: text.count + 1)
        bytes.append(1)
        put(text)
    }

    /// Appends a bytea.
    package mutating func append(bytea value: Span<UInt8>) {
        append(text: value)
    }

    // MARK: Bytes

    private mutating func beginField(byteCount: Int) {
        fieldsMissing -= 1
        put32(UInt32(Int32(byteCount)))
    }

    private mutating func put16(_ value: UInt16) {
        bytes.append(addingCapacity: 2) { room in
            room.append(UInt8(truncatingIfNeeded: value >> 8))
            room.append(UInt8(truncatingIfNeeded: value))
        }
    }

    private mutating func put32(_ value: UInt32) {
        bytes.append(addingCapacity: 4) { room in
            for shift in stride(from: 24, through: 0, by: -8) {
                room.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
            }
        }
    }

    private mutating func put64(_ value: UInt64) {
        bytes.append(addingCapacity: 8) { room in
            for shift in stride(from: 56, through: 0, by: -8) {
                room.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
            }
        }
    }

    /// The loop becomes wide moves: measured as fast as Array.append(contentsOf:), which takes no span.
    private mutating func put(_ span: Span<UInt8>) {
        bytes.append(addingCapacity: span.count) { room in
            for index in span.indices { room.append(span[index]) }
        }
    }
}
