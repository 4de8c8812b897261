import Glibc
import TestSupport
import Testing

@testable import Reactor

@Suite(.timeLimit(.minutes(1))) struct `A Unix socket` {
    private static func path() -> String { TestPaths.makeTemporaryDirectory() + "/socket" }

    private static func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    private static func refusal(_ path: String) -> CInt? {
        do throws(SystemError) { _ = try ListeningSocket(path: path, backlog: 1) } catch { return error.code }
        return nil
    }

    @Test func `is for its user and group, takes connections, and is gone when its listener closes`()
        async throws
    {
        try await withLoop { loop in
            let path = Self.path()
            let listener = try Listener(ListeningSocket(path: path, backlog: 16), on: loop)
            #expect(Self.mode(path) == 0o660)
            #expect(listener.address == .local)
            let client = try await ByteStream.connect(path: path, on: loop, deadline: .after(.seconds(30)))
            let accepted = try await listener.accept()
            #expect(accepted.peer == .local && accepted.peer.isLoopback)
            _ = try client.tryWrite([1, 2])
            var buffer = ReadBuffer(capacity: 8)
            #expect(try await accepted.stream.read(into: &buffer, atMost: 8, deadline: .never) == 2)

            listener.close()
            #expect(Self.mode(path) == nil)
            client.close()
            accepted.stream.close()
        }
    }

    @Test func `is replaced when nobody answers on it any more, and only then`() async throws {
        try await withLoop { loop in
            let path = Self.path()
            // A process that was killed: its socket is closed, the name stays.
            let dead = try ListeningSocket(path: path, backlog: 1)
            _ = consume dead
            #expect(Self.mode(path) == 0o660)

            let listener = try Listener(ListeningSocket(path: path, backlog: 1), on: loop)
            #expect(Self.refusal(path) == EADDRINUSE)
            // Also while its queue is full.
            var waiting: [ByteStream] = []
            while let next = try? await ByteStream.connect(
                path: path,
                on: loop,
                deadline: .after(.seconds(30))
            ) {
                waiting.append(next)
            }
            #expect(!waiting.isEmpty && Self.refusal(path) == EADDRINUSE)
            for stream in waiting { stream.close() }
            listener.close()
        }
    }

    @Test func `does not take the place of anything else, nor remove it`() async throws {
        try await withLoop { loop in
            let path = Self.path()
            let raw = creat(path, 0o600)
            close(raw)
            #expect(Self.refusal(path) == EADDRINUSE && Self.mode(path) == 0o600)
            unlink(path)

            let listener = try Listener(ListeningSocket(path: path, backlog: 1), on: loop)
            unlink(path)
            close(creat(path, 0o600))
            listener.close()
            #expect(Self.mode(path) == 0o600)
        }
    }

    @Test func `has a path that fits`() {
        let folder = TestPaths.makeTemporaryDirectory() + "/"
        let longest = folder + String(repeating: "x", count: SocketAddress.pathBytesMax - folder.utf8.count)
        #expect(Self.refusal(longest) == nil)
        #expect(Self.mode(longest) == 0o660)
        #expect(Self.refusal(longest + "x") == ENAMETOOLONG)
        #expect(Self.refusal("") == EINVAL)
        #expect(Self.refusal(folder + "a\u{0}b") == EINVAL)
        #expect(Self.refusal(folder + "missing/socket") == ENOENT)
    }
}
