import Events
import Glibc
import Logging
import Reactor
import TestSupport
import Testing
import Workers

/// A pool of real processes that offer the kinds "fault" and "echo".
private func withPool<Value: Sendable>(
    size: Int = 1,
    command: [String]? = nil,
    change: @Sendable (inout WorkerPoolConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable (WorkerPool) async throws -> Value
) async throws -> Value {
    let loop = try EventLoop(name: "test-workers")
    defer { loop.stop() }
    var configuration = WorkerPoolConfiguration.builtIn(size: size, millrace: MillraceBinary.path)
    if let command { configuration.command = command }
    configuration.environment = [
        "MILLRACE_WORKER_FAULTS": "1", "PATH": "/usr/local/bin:/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no",
    ]
    configuration.limits.terminationGrace = .milliseconds(100)
    configuration.limits.boot = .seconds(30)
    change(&configuration)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let pool = WorkerPool(configuration, loop: loop, logger: logger)
    await pool.start()
    let value: Result<Value, any Error>
    do {
        value = .success(try await body(pool))
    } catch {
        value = .failure(error)
    }
    await pool.drain(deadline: .now())
    return try value.get()
}

private func echo(_ text: String = "hello") -> WorkerJob {
    WorkerJob(id: 1, token: 11, kind: "echo", timeout: .seconds(60), body: Array(text.utf8))
}

private func breaking(_ mode: String, timeout: Duration = .seconds(60)) -> WorkerJob {
    WorkerJob(
        id: 2,
        token: 22,
        kind: "fault",
        timeout: timeout,
        body: [7],
        parameters: ["mode": .string(mode)]
    )
}

private let echoed = WorkerOutcome.result(encoding: "raw", body: Array("hello".utf8))
private let survived = WorkerOutcome.result(encoding: "raw", body: [7])

@Suite struct `A pool of real workers` {
    struct Fault: CustomTestStringConvertible {
        let mode: String
        /// `nil` when the job gives its result all the same.
        let cause: FailureCause?
        /// Part of what the failure says.
        let says: String
        let timeout: Duration
        var testDescription: String { mode }

        init(_ mode: String, _ cause: FailureCause?, _ says: String = "", timeout: Duration = .seconds(60)) {
            (self.mode, self.cause, self.says, self.timeout) = (mode, cause, says, timeout)
        }
    }

    static let matrix = [
        Fault("exit0", .crash, "exit code 0"), Fault("exit1", .crash, "exit code 1"),
        Fault("segv", .crash, "SIGSEGV"), Fault("kill", .crash, "SIGKILL"),
        Fault("stop", .timeout, "SIGKILL", timeout: .milliseconds(200)),
        Fault("hang", .timeout, "SIGTERM", timeout: .milliseconds(200)),
        Fault("deaf-to-term", .timeout, "SIGKILL", timeout: .milliseconds(200)),
        Fault("closes-stdout", nil), Fault("closes-replies", .crash, "SIGKILL"), Fault("stderr-flood", nil),
        Fault("stdout-line", nil), Fault("grandchild", .crash, "exit code 1"),
        Fault("grandchild-session", .crash, "exit code 1"), Fault("second-result", nil),
        Fault("wrong-token", nil), Fault("garbage", .crash, "protocol error"),
        Fault("oversized", .crash, "frame body of"), Fault("partial-frame", .crash, "exit code 0"),
        Fault("critical-frame", .crash, "unknown critical type"), Fault("unknown-frame", nil),
        Fault("slow", nil), Fault("leaves", .drained, "left"), Fault("no-such-mode", .permanent, "mode"),
    ]

    /// After each fault the same slot runs a good job, and a neighbour has never noticed.
    @Test(arguments: matrix) func `survives a worker that does`(_ fault: Fault) async throws {
        // The ends of the pipes must come by themselves, but for a grandchild that holds them and a worker
        // that closes one and lives on.
        let needsGrace = ["grandchild-session", "closes-replies"].contains(fault.mode)
        let pipeGrace = needsGrace ? Duration.milliseconds(100) : .seconds(3600)
        try await withPool(size: 2, change: { $0.limits.pipeGrace = pipeGrace }) { pool in
            // Both are up before anything is broken.
            async let one = pool.run(echo())
            async let two = pool.run(echo())
            #expect(await [one, two] == [echoed, echoed])
            let before = await pool.snapshot()

            async let broken = pool.run(breaking(fault.mode, timeout: fault.timeout))
            let neighbour = await pool.run(echo())
            let outcome = await broken

            #expect(neighbour == echoed)
            if let cause = fault.cause {
                guard case .failed(cause, let message) = outcome else {
                    Issue.record("\(fault.mode) gave \(outcome)")
                    return
                }
                #expect(message.contains(fault.says), "\(message)")
            } else {
                #expect(outcome == survived)
            }
            async let third = pool.run(echo())
            async let fourth = pool.run(echo())
            #expect(await [third, fourth] == [echoed, echoed])
            let after = await pool.snapshot()
            let pidsKept = Set(before.compactMap(\.pid)).intersection(after.compactMap(\.pid))
            #expect(pidsKept.count >= 1, "the neighbour is still the same process")
        }
    }

    @Test func `turns events into rollups, and says why not`() async throws {
        try await withPool { pool in
            let line = #"{"ts":60000001,"type":"t","source":"s","subject":"u","data":{"a":1}}"#
            var job = WorkerJob(
                id: 1,
                token: 2,
                kind: "rollup",
                timeout: .seconds(60),
                body: Array(line.utf8)
            )
            let body = try RollupKind().run(job.body.span)
            #expect(await pool.run(job) == .result(encoding: "rollup1", body: body))
            job.body = Array("nonsense".utf8)
            guard case .failed(.permanent, let message) = await pool.run(job) else {
                Issue.record("nonsense was taken")
                return
            }
            #expect(message.contains("line 1"))
            job.kind = "unknown"
            guard case .failed(.permanent, _) = await pool.run(job) else {
                Issue.record("an unknown kind was taken")
                return
            }
            #expect(await pool.kinds.contains("rollup"))
        }
    }

    @Test func `carries bodies larger than the pipes, both ways at once`() async throws {
        try await withPool(size: 2) { pool in
            let text = String(repeating: "0123456789abcdef", count: 500_000)
            let wanted = WorkerOutcome.result(encoding: "raw", body: Array(text.utf8))
            async let one = pool.run(echo(text))
            async let two = pool.run(echo(text))
            for outcome in await [one, two] {
                // Not compared by #expect, which would print 8 MB.
                if outcome == wanted { continue }
                guard case .failed(let cause, let message) = outcome else {
                    Issue.record("another result")
                    continue
                }
                Issue.record("\(cause): \(message)")
            }
        }
    }

    @Test func `gives every job an outcome while workers crash all the time`() async throws {
        try await withPool(size: 3) { pool in
            let modes = ["good", "exit1", "kill", "second-result", "garbage", "leaves", "good", "good"]
            let causes = await withTaskGroup(of: WorkerOutcome.self) { group in
                for number in 0..<48 {
                    group.addTask { await pool.run(breaking(modes[number % modes.count])) }
                }
                return await group.reduce(into: [WorkerOutcome]()) { $0.append($1) }
            }
            #expect(causes.count == 48)
            #expect(await pool.run(echo()) == echoed)
        }
    }

    @Test func `attaches what a crashed worker printed last`() async throws {
        let script = ["/bin/sh", "-c", "echo boot >&2; \(MillraceBinary.path) worker; echo its last words"]
        try await withPool(command: script) { pool in
            guard case .failed(.crash, let message) = await pool.run(breaking("kill")) else {
                Issue.record("survived")
                return
            }
            #expect(message.contains("its last words"), "\(message)")
        }
    }

    @Test func `stops a job that is cancelled`() async throws {
        try await withPool { pool in
            async let outcome = pool.run(breaking("hang"))
            while await pool.snapshot()[0].state != .busy { await Task.yield() }
            await pool.cancel(jobID: 2)
            guard case .failed(.cancelled, _) = await outcome else {
                Issue.record("not cancelled")
                return
            }
        }
    }

    @Test func `gives running jobs back when all workers are killed, and starts others`() async throws {
        try await withPool { pool in
            async let outcome = pool.run(breaking("hang"))
            while await pool.snapshot()[0].state != .busy { await Task.yield() }
            await pool.killAll()
            guard case .failed(.drained, _) = await outcome else {
                Issue.record("not drained")
                return
            }
            #expect(await pool.run(echo()) == echoed)
            #expect(await pool.snapshot()[0].restarts == 1)
        }
    }

    @Test func `opens its breaker for a command that never starts, and gives jobs back`() async throws {
        try await withPool(
            command: ["/bin/sh", "-c", "echo Traceback >&4; exit 3"],
            change: { $0.limits.respawnDelayMin = .milliseconds(1) }
        ) { pool in
            guard case .failed(.drained, let message) = await pool.run(echo()) else {
                Issue.record("ran")
                return
            }
            #expect(message.contains("no worker can be started"))
            #expect(await pool.isBreakerOpen)
            #expect(await pool.freeSlots == 0)
        }
    }

    @Test func `says when a worker is free`() async throws {
        try await withPool { pool in
            await pool.freed()
            #expect(await pool.freeSlots == 1)
            async let outcome = pool.run(echo())
            await pool.freed()
            #expect(await outcome == echoed)
            let waiter = Task {
                _ = await pool.run(breaking("hang", timeout: .milliseconds(300)))
            }
            while await pool.freeSlots == 1 { await Task.yield() }
            let freed = Task { await pool.freed() }
            freed.cancel()
            await freed.value
            await waiter.value
        }
    }

    @Test func `replaces workers after their share of jobs`() async throws {
        try await withPool(change: { $0.limits.jobsPerWorker = 5 }) { pool in
            for _ in 0..<30 { #expect(await pool.run(echo()) == echoed) }
            #expect(await pool.snapshot()[0].restarts >= 4)
        }
    }

    @Test func `runs a worker written in Python`() async throws {
        let candidates: [String] = ["/usr/bin/python3", "/usr/local/bin/python3"]
        let python = candidates.first { access($0, X_OK) == 0 }
        guard let python else {
            try Test.cancel("python3 is not installed, so a worker in another language is not tested")
        }
        let script = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
        try await withPool(command: [python, "/\(script)/examples/count_worker.py"]) { pool in
            let job = WorkerJob(
                id: 1,
                token: 2,
                kind: "count",
                timeout: .seconds(60),
                body: Array("a\nb\nc\n".utf8)
            )
            let counted = await pool.run(job)
            #expect(counted == .result(encoding: "json", body: Array(#"{"n": 3}"#.utf8)))
            var unknown = job
            unknown.kind = "other"
            guard case .failed(.permanent, _) = await pool.run(unknown) else {
                Issue.record("an unknown kind was taken")
                return
            }
        }
    }
}
