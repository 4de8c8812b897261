import Glibc
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import millrace

private func position(_ lines: Int) -> LinePosition {
    LinePosition(lines: lines, bytes: lines * 10, digest: "ab\(lines)")
}

@Suite struct `What was acknowledged` {
    @Test func `is the same after it was written and read, file by file`() throws {
        var state = SendState(server: "http://a:1")
        #expect(try SendState(state.text) == state)
        state.acknowledge(position(1), of: "/ä \"quoted\"\\\n")
        state.acknowledge(position(2), of: "/b")
        state.acknowledge(position(3), of: "/ä \"quoted\"\\\n")
        let read = try SendState(state.text)
        #expect(read == state)
        #expect(read.files.map(\.path) == ["/b", "/ä \"quoted\"\\\n"])
        #expect(read["/b"] == position(2))
        #expect(read["/ä \"quoted\"\\\n"] == position(3))
        #expect(read["/c"] == nil)
    }

    @Test func `is never read from a text that was cut, changed or added to`() {
        var state = SendState(server: "http://a:1")
        state.acknowledge(position(12_345), of: "/a")
        let text = state.text
        for count in 0..<text.count {
            #expect(throws: SendState.Malformation.damaged) { try SendState(Array(text[..<count])) }
        }
        for offset in text.indices {
            for flip: UInt8 in [1, 0x20, 0x80] {
                var changed = text
                changed[offset] ^= flip
                #expect(throws: SendState.Malformation.damaged) { try SendState(changed) }
            }
        }
        #expect(throws: SendState.Malformation.damaged) { try SendState(text + [10]) }
        #expect(throws: SendState.Malformation.damaged) { try SendState(Array("{}\n".utf8)) }
    }

    @Test func `forgets the files that were sent the longest time ago`() {
        var state = SendState(server: "s")
        for number in 0...SendState.filesMax { state.acknowledge(position(number), of: "/\(number)") }
        #expect(state.files.count == SendState.filesMax)
        #expect(state["/0"] == nil)
        #expect(state["/1"] == position(1))
    }
}

@Suite(.timeLimit(.minutes(1))) struct `The file of what was acknowledged` {
    private let folder = TestPaths.makeTemporaryDirectory() + "/folder"
    private var path: String { folder + "/state" }

    init() { mkdir(folder, 0o755) }

    private func with(
        server: String = "s",
        _ body: @escaping @Sendable (SendStateFile) async throws -> Void
    ) async throws -> [String] {
        let reports = Mutex<[String]>([])
        let path = path
        try await withLoop { loop in
            let file = try SendStateFile(
                path: path,
                server: server,
                report: { line in reports.withLock { $0.append(line) } },
                on: loop
            )
            try await body(file)
        }
        return reports.withLock { $0 }
    }

    @Test func `has everything when it is finished, and leaves nothing else but its lock`() async throws {
        let reports = try await with { file in
            for number in 1...100 { file.note(position(number), of: "/a") }
            #expect(await file.finish())
        }
        #expect(reports.isEmpty)
        _ = try await with { #expect($0.state["/a"] == position(100)) }
        #expect(system("test \"$(ls '\(folder)' | tr '\\n' ' ')\" = 'state state.lock '") == 0)
    }

    @Test func `is refused when another server wrote it, another run uses it, or it is damaged`() async throws
    {
        _ = try await with { _ in }
        await #expect(
            throws: CommandFailure(2, "send: \(path): it is about s, which is not t; name another file")
        ) {
            _ = try await with(server: "t") { _ in }
        }
        _ = try await with { _ in
            await #expect(throws: CommandFailure("send: \(path): another run uses it")) {
                _ = try await with { _ in }
            }
        }
        #expect(system("printf x >>'\(path)'") == 0)
        await #expect(throws: CommandFailure.self) { _ = try await with { _ in } }
        #expect(system("rm -r '\(folder)'") == 0)
        await #expect(throws: CommandFailure("send: \(path): open: No such file or directory")) {
            _ = try await with { _ in }
        }
    }

    @Test func `says once that it cannot be written, and has everything when it can be again`() async throws {
        let folder = folder
        let reports = try await with { file in
            #expect(system("mv '\(folder)' '\(folder).away'") == 0)
            for number in 1...3 {
                file.note(position(number), of: "/a")
                #expect(await !file.finish())
            }
            #expect(system("mv '\(folder).away' '\(folder)'") == 0)
            #expect(await file.finish())
        }
        #expect(
            reports == ["\(path): open: No such file or directory; what is acknowledged is not remembered"]
        )
        _ = try await with { #expect($0.state["/a"] == position(3)) }
    }

    @Test func `is replaced as a whole: who has the old one open reads the old one`() async throws {
        let path = path
        _ = try await with { file in
            file.note(position(1), of: "/a")
            #expect(await file.finish())
            var old = try FileReader(path: path)
            file.note(position(2), of: "/a")
            #expect(await file.finish())
            #expect(try SendState(old.readAll(bytesMax: 1_000))["/a"] == position(1))
            var new = try FileReader(path: path)
            #expect(try SendState(new.readAll(bytesMax: 1_000))["/a"] == position(2))
        }
    }

    @Test func `is replaced where a symbolic link points to`() async throws {
        let folder = folder
        _ = try await with { _ in }
        #expect(system("mv '\(path)' '\(folder)/real' && ln -s real '\(path)'") == 0)
        _ = try await with { file in
            file.note(position(5), of: "/a")
            #expect(await file.finish())
        }
        #expect(system("test -L '\(path)' && grep -q ab5 '\(folder)/real'") == 0)
    }
}
