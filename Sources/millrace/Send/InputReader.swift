import Reactor
import Server

/// One input's text, inflated when it is a gzip file; its calls wait.
struct InputReader: ~Copyable {
    let name: String
    private var bytesRead = 0
    private var file: FileReader
    /// What has been read of a gzip file and not inflated yet.
    private var compressed = ReadBuffer(capacity: 0)
    private var inflater: Inflater?
    private var hasBegun = false

    static let readBytes = 256 << 10
    /// Deflate cannot reach it; nothing is kept, so the length of the text does not matter either.
    private static let ratioMax = 2_000

    init(_ input: SendInput) throws(SendInputError) {
        name = input.name
        file = try input.open()
    }

    /// Bytes of the file, as they lie on the disk, whose text has been given away.
    var bytesUsed: Int { bytesRead - compressed.count }

    /// Waits until a read would not wait, or until `deadline`.
    borrowing func isReadable(by deadline: Deadline) throws(SendInputError) -> Bool {
        if !compressed.isEmpty { return true }
        do throws(SystemError) { return try file.isReadable(by: deadline) } catch {
            throw .unreadable(name, error)
        }
    }

    /// Appends some text to `buffer`; `false` at the end of the input.
    mutating func read(into buffer: inout ReadBuffer) throws(SendInputError) -> Bool {
        let before = buffer.count
        if !hasBegun {
            try begin(&buffer)
            if buffer.count > before { return true }
        }
        if inflater == nil { return try readPlain(into: &buffer) }
        while buffer.count == before {
            if compressed.isEmpty, inflater?.hasPendingOutput == false, try !readCompressed() {
                try finish()
                return false
            }
            try inflate(into: &buffer)
        }
        return true
    }

    /// RFC 1952 2.3.1: a gzip file begins with 1F 8B; no JSON text does.
    private mutating func begin(_ buffer: inout ReadBuffer) throws(SendInputError) {
        hasBegun = true
        while compressed.count < 2, try readCompressed() {}
        let start = Array(compressed.bytes[compressed.readable])
        if start.starts(with: [0x1F, 0x8B]) {
            var limits = InflateLimits()
            limits.ratioMax = Self.ratioMax
            inflater = Inflater(.gzip, limits: limits)
        } else {
            buffer.append(start)
            compressed.removeAll()
        }
    }

    /// Reads more of a gzip file; `false` at its end.
    private mutating func readCompressed() throws(SendInputError) -> Bool {
        do throws(SystemError) {
            let count = try file.read(into: &compressed, atMost: Self.readBytes)
            bytesRead += count
            return count > 0
        } catch {
            throw .unreadable(name, error)
        }
    }

    private mutating func readPlain(into buffer: inout ReadBuffer) throws(SendInputError) -> Bool {
        do throws(SystemError) {
            let count = try file.read(into: &buffer, atMost: Self.readBytes)
            bytesRead += count
            return count > 0
        } catch {
            throw .unreadable(name, error)
        }
    }

    private mutating func inflate(into buffer: inout ReadBuffer) throws(SendInputError) {
        var text: [UInt8] = []
        do throws(InflateError) {
            compressed.consume(try inflateStep(into: &text))
        } catch {
            throw .damaged(name)
        }
        buffer.append(text)
    }

    private mutating func inflateStep(into text: inout [UInt8]) throws(InflateError) -> Int {
        let bytes = compressed.bytes
        return try inflater?.inflate(bytes.span.extracting(compressed.readable), into: &text) ?? 0
    }

    private borrowing func finish() throws(SendInputError) {
        do throws(InflateError) { try inflater?.finish() } catch { throw .damaged(name) }
    }
}
