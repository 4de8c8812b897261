import Glibc
import Reactor
import TestSupport
import Testing

@Suite struct `A file reader` {
    @Test func `reads a file in pieces up to its end`() throws {
        let path = TestPaths.makeTemporaryDirectory() + "/file"
        let file = try #require(fopen(path, "w"))
        fputs("hello", file)
        fclose(file)

        var reader = try FileReader(path: path)
        var buffer = ReadBuffer(capacity: 2)
        var counts: [Int] = []
        repeat { counts.append(try reader.read(into: &buffer, atMost: 2)) } while counts.last != 0

        #expect(counts == [2, 2, 1, 0])
        #expect(Array(buffer.bytes[buffer.readable]) == Array("hello".utf8))
        #expect(try reader.isReadable(by: .now()))
        var again = try FileReader(path: path)
        #expect(try again.readAll(bytesMax: 5) == Array("hello".utf8))
    }

    @Test func `refuses what is too long, a folder, and what is not there`() {
        #expect(throws: SystemError(call: "read", code: EFBIG)) {
            var reader = try FileReader(path: "/proc/self/maps")
            _ = try reader.readAll(bytesMax: 3)
        }
        #expect(throws: SystemError(call: "open", code: EISDIR)) { _ = try FileReader(path: "/") }
        #expect(throws: SystemError(call: "open", code: ENOENT)) { _ = try FileReader(path: "/nonexistent") }
    }

    @Test func `says when a pipe has nothing yet`() throws {
        let pipe = try Pipe()
        var reader = try FileReader(path: "/proc/self/fd/\(pipe.read.raw)")
        #expect(try !reader.isReadable(by: .now()))

        _ = Glibc.write(pipe.write.raw, [7], 1)

        #expect(try reader.isReadable(by: .never))
        var buffer = ReadBuffer(capacity: 8)
        #expect(try reader.read(into: &buffer, atMost: 8) == 1)
    }
}
