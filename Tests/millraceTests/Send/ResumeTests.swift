import Glibc
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import millrace

private func write(_ text: String, to path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    #expect(fputs(text, file) >= 0)
}

/// What a source gives of one file, and says.
private struct Given: Equatable, Sendable {
    var lines: [String] = []
    var numbers: [Int] = []
    /// Where each chunk ends, and how many of the lines come up to there.
    var ends: [LinePosition] = []
    var counts: [Int] = []
    var reports: [String] = []
}

/// Reads the file at `path` behind `position`.
private func read(_ path: String, behind position: LinePosition?, lines: Int = 2) async throws -> Given {
    let reports = Mutex<[String]>([])
    return try await withLoop { loop in
        let source = ChunkSource(
            [SendInput(path)],
            linesMax: lines,
            bytesMax: 1 << 20,
            resuming: position.map { [0: $0] } ?? [:],
            report: { line in reports.withLock { $0.append(line) } },
            on: loop
        )
        var given = Given()
        while let chunk = try await source.next() {
            #expect(chunk.number == given.ends.count)
            let text = String(decoding: chunk.bytes, as: UTF8.self)
            given.lines += text.split(separator: "\n").map(String.init)
            given.numbers += chunk.lineNumbers
            given.ends.append(try #require(chunk.end))
            given.counts.append(given.lines.count)
        }
        given.reports = reports.withLock { $0 }
        return given
    }
}

@Suite(.timeLimit(.minutes(2))) struct `A file gone on with` {
    private let path = TestPaths.makeTemporaryDirectory() + "/events"
    private static let texts = [
        "a\nbb\n\nccc\nd\n", "a\r\n\n\nbb\nc\nd", "a\nb\nc\nd\n\n\n", "\n \na\nb\nc\n  ", "a", "a\n", "é\n",
    ]

    @Test func `gives exactly the lines behind each place where a chunk has ended, with their numbers`()
        async throws
    {
        for text in Self.texts {
            try write(text, to: path)
            for size in 1...3 {
                let whole = try await read(path, behind: nil, lines: size)
                #expect(whole.reports.isEmpty)
                for (index, end) in whole.ends.enumerated() {
                    let rest = try await read(path, behind: end, lines: size)
                    let count = whole.counts[index]
                    #expect(rest.lines == Array(whole.lines[count...]), "\(text.debugDescription), \(end)")
                    #expect(
                        rest.numbers == Array(whole.numbers[count...]),
                        "\(text.debugDescription), \(end)"
                    )
                    #expect(rest.ends.last ?? end == whole.ends.last)
                    #expect(
                        rest.reports
                            == ["\(path): goes on behind line \(end.lines), the last acknowledged one"]
                    )
                }
            }
        }
    }

    @Test func `gives all lines, and says so, when a byte of what was acknowledged has changed or is gone`()
        async throws
    {
        let text = Self.texts[0]
        try write(text, to: path)
        let whole = try await read(path, behind: nil)
        for end in whole.ends {
            for offset in 0..<end.bytes {
                for change in ["x", "\n", ""] {
                    var bytes = Array(text.utf8)
                    bytes.replaceSubrange(offset...offset, with: Array(change.utf8))
                    let changed = String(decoding: bytes, as: UTF8.self)
                    // A byte less may leave the same beginning, where the next is the same.
                    if bytes.starts(with: Array(text.utf8)[..<end.bytes]) { continue }
                    try write(changed, to: path)
                    let rest = try await read(path, behind: end)
                    let anew = try await read(path, behind: nil)
                    #expect(rest.lines == anew.lines, "\(changed.debugDescription)")
                    #expect(rest.numbers == anew.numbers && rest.ends == anew.ends)
                    #expect(
                        rest.reports
                            == ["\(path): has changed since lines of it were acknowledged; all are sent"]
                    )
                }
            }
        }
    }

    /// What was appended, and which lines that makes new.
    @Test(arguments: [
        ("a\nb\n", "c\nd\n", ["c", "d"], [3, 4]), ("a\nb\n", "c", ["c"], [3]),
        ("a\nb\n", "\n\nc\n", ["c"], [5]),
        ("a\nb", "\nc\n", ["c"], [3]), ("a\nb", "\n", [], []), ("a\nb", "", [], []),
        // The last line was not written to its end: it is another event now.
        ("a\nb", "b\nc\n", ["bb", "c"], [2, 3]), ("a\nb", "b", ["bb"], [2]), ("a\nb", "\r\n", ["b"], [2]),
    ]) func `gives what has grown`(
        before: String,
        added: String,
        lines: [String],
        numbers: [Int]
    ) async throws {
        try write(before, to: path)
        let end = try #require(try await read(path, behind: nil).ends.last)
        try write(before + added, to: path)

        let rest = try await read(path, behind: end)

        #expect(rest.lines == lines)
        #expect(rest.numbers == numbers)
        #expect(try await read(path, behind: rest.ends.last ?? end).lines.isEmpty)
    }

    @Test func `may be compressed otherwise, or not at all, as long as its text is the same`() async throws {
        let text = (0..<20_000).map { "line \($0)\n" }.joined()
        try write(text, to: path)
        let whole = try await read(path, behind: nil, lines: 7_000)
        let end = try #require(whole.ends.first)
        for level in [1, 9] {
            #expect(system("gzip -\(level) -c '\(path)' >'\(path).gz'") == 0)
            let rest = try await read(path + ".gz", behind: end, lines: 7_000)
            #expect(rest.lines == Array(whole.lines[7_000...]))
            #expect(rest.ends == Array(whole.ends[1...]))
        }
        #expect(end.lines == 7_000)
        let sum = "test $(head -c \(end.bytes) '\(path)' | sha256sum | cut -d' ' -f1) = \(end.digest)"
        #expect(system(sum) == 0)
    }
}

@Suite struct `The acknowledged beginning` {
    private static func end(_ number: Int) -> LinePosition {
        LinePosition(lines: number + 1, bytes: 2 * number + 2, digest: "\(number)")
    }

    @Test func `ends before the first chunk that is not acknowledged, in whatever order the others are`() {
        for seed in UInt64(1)...200 {
            var random = SplitMix(seed: seed)
            var prefix = AcknowledgedPrefix()
            let order = (0..<30).shuffled(using: &random)
            var acknowledged: Set<Int> = []
            var reached = -1
            for number in order {
                acknowledged.insert(number)
                let position = prefix.acknowledge(number, endingAt: Self.end(number))
                let expected = (0..<30).first { !acknowledged.contains($0) } ?? 30
                let last = expected - 1
                #expect(position == (last > reached ? Self.end(last) : nil), "seed \(seed)")
                reached = last
            }
            #expect(reached == 29)
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct `Sending and going on` {
    /// One run against a server that misbehaves; it is broken off by giving up early.
    private struct Run: Sendable {
        var kept: Set<String>
        var position: LinePosition?
        var totals: SendTotals
    }

    private static func run(
        _ path: String,
        behind position: LinePosition?,
        seed: UInt64,
        trouble: Bool
    ) async throws -> Run {
        let lines = try String(decoding: bytes(path), as: UTF8.self).split(separator: "\n").map(String.init)
        let reading = try EventLoop(name: "test-read")
        defer { reading.stop() }
        return try await withLoop { loop in
            let server = try ScriptedServer(on: loop) { request in
                var generator = SplitMix(seed: seed &* 1_000 &+ UInt64(request))
                switch generator.next() % 8 {
                case 0 where trouble: return .refuse(status: 503)
                case 1 where trouble: return .storeAndBreak
                case 2 where trouble: return .vanish
                case 3 where trouble && request > 6: return .refuse(status: 403)
                default: return .store
                }
            }
            await server.start()
            var options = SendOptions(server: server.url)
            (options.concurrency, options.retriesMax) = (4, 1_000)
            let source = ChunkSource(
                [SendInput(path)],
                linesMax: 7,
                bytesMax: 1 << 20,
                resuming: position.map { [0: $0] } ?? [:],
                on: reading
            )
            let reached = Mutex<[LinePosition]>([])
            let sender = Sender(
                options,
                source: source,
                on: loop,
                report: { _ in },
                advance: { _, position in reached.withLock { $0.append(position) } },
                pause: { loop, _ in await loop.nextTurn() }
            )
            let totals = await sender.run()
            await server.close()
            let (kept, positions) = (await server.kept, reached.withLock { $0 })
            let before = position?.lines ?? 0
            for position in positions {
                #expect(kept.isSuperset(of: lines[before..<position.lines]), "seed \(seed)")
            }
            #expect(positions.map(\.lines) == positions.map(\.lines).sorted(), "seed \(seed)")
            return Run(kept: kept, position: positions.last ?? position, totals: totals)
        }
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
        var reader = try FileReader(path: path)
        return try reader.readAll(bytesMax: 1 << 20)
    }

    @Test func `loses no line over any number of runs, each broken off somewhere`() async throws {
        let path = TestPaths.makeTemporaryDirectory() + "/events"
        let lines = (0..<300).map { #"{"id":"\#($0)"}"# }
        try write(lines.map { $0 + "\n" }.joined(), to: path)
        var partial = 0
        for seed in UInt64(1)...12 {
            var kept: Set<String> = []
            var position: LinePosition?
            for round in UInt64(0)..<4 {
                let last = position
                let run = try await Self.run(
                    path,
                    behind: last,
                    seed: seed &* 10 &+ round,
                    trouble: round < 3
                )
                #expect(run.totals.isComplete)
                kept.formUnion(run.kept)
                position = run.position
                if let position, position.lines < 300 { partial += 1 }
            }
            #expect(kept == Set(lines), "seed \(seed)")
            #expect(position?.lines == 300, "seed \(seed)")
        }
        // Otherwise nothing was broken off, and nothing gone on with.
        #expect(partial > 6)
    }
}
