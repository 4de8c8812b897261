import CSystem
import Glibc
import TestSupport
import Testing

@testable import Reactor

@Suite(.timeLimit(.minutes(1))) struct `Child process` {
    private static func launch(_ script: String) -> ChildProcess.Launch {
        ChildProcess.Launch(
            command: ["/bin/sh", "-c", script],
            environment: ["PATH": "/usr/bin:/bin"],
            trampoline: MillraceBinary.path
        )
    }

    @Test(arguments: [0, 1, 77] as [CInt]) func `reports its exit code`(code: CInt) async throws {
        try await withLoop { loop in
            let child = try ChildProcess.spawn(Self.launch("exit \(code)"), inherited: [:], on: loop)
            #expect(await child.waitForExit() == .exited(code))
            #expect(await child.waitForExit() == .exited(code))
        }
    }

    @Test func `reports the signal that ended it`() async throws {
        try await withLoop { loop in
            let child = try ChildProcess.spawn(Self.launch("exec sleep 1000"), inherited: [:], on: loop)
            child.signal(SIGKILL)
            #expect(await child.waitForExit() == .signaled(SIGKILL))
        }
    }

    @Test func `says 127 for a program that is not there`() async throws {
        try await withLoop { loop in
            var launch = Self.launch("")
            launch.command = ["/nowhere/at/all"]
            let quiet = try Reactor.Pipe()
            let child = try ChildProcess.spawn(launch, inherited: [2: quiet.write.raw], on: loop)
            #expect(await child.waitForExit() == .exited(127))
        }
    }

    @Test func `has the descriptors it was given and no others, in its own process group`() async throws {
        let text = try await Self.output(
            of: "echo here >&4; ls /proc/self/fd; ps -o pgid= -p $$; echo $$",
            at: [1, 4]
        )
        let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
        #expect(words.first == "here")
        // `ls` itself opens 3 to list the folder; 4 was given.
        #expect(Set(words.dropFirst().dropLast(2)).isSubset(of: ["0", "1", "2", "3", "4"]))
        #expect(words.suffix(2).first == words.last)
    }

    @Test func `ends with its whole group`() async throws {
        try await withLoop { loop in
            let pipe = try Reactor.Pipe()
            let script = "sleep 1000 & echo started; wait"
            let child = try ChildProcess.spawn(Self.launch(script), inherited: [1: pipe.write.raw], on: loop)
            let (reader, writer) = try streams(of: pipe, on: loop)
            writer.close()
            defer { reader.close() }
            var buffer = ReadBuffer(capacity: 64)
            _ = try await reader.read(into: &buffer, atMost: 64, deadline: .never)

            child.signalGroup(SIGKILL)

            // The end of the stream is the fact that the grandchild, which holds the pipe too, is gone.
            buffer.removeAll()
            #expect(try await reader.read(into: &buffer, atMost: 64, deadline: .never) == 0)
            #expect(await child.waitForExit() == .signaled(SIGKILL))
        }
    }

    @Test func `gets through the trampoline what was asked of it`() throws {
        let options = Trampoline.Options(
            parent: 42,
            user: UserIdentity(named: "root"),
            newSession: true,
            highestInherited: 7,
            workingDirectory: "/tmp"
        )
        let parsed = try #require(Trampoline.parse(options.arguments + ["--", "/bin/true", "--keep"]))
        #expect(parsed.0 == options)
        #expect(parsed.command == ["/bin/true", "--keep"])
        #expect(Trampoline.parse(["--nonsense", "--", "/bin/true"]) == nil)
        #expect(Trampoline.parse(["--keep", "3"]) == nil)
    }

    private static func output(of script: String, at numbers: [CInt]) async throws -> String {
        try await withLoop { loop in
            let pipe = try Reactor.Pipe()
            var inherited: [CInt: CInt] = [:]
            for number in numbers { inherited[number] = pipe.write.raw }
            let child = try ChildProcess.spawn(launch(script), inherited: inherited, on: loop)
            let (reader, writer) = try streams(of: pipe, on: loop)
            writer.close()
            defer { reader.close() }
            var buffer = ReadBuffer(capacity: 4096)
            while try await reader.read(into: &buffer, atMost: 4096, deadline: .never) > 0 {}
            _ = await child.waitForExit()
            return String(decoding: buffer.bytes[buffer.readable], as: UTF8.self)
        }
    }
}
