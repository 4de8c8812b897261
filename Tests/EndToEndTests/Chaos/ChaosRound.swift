import Glibc
import Postgres
import Reactor
import TestSupport

/// One round: an installation with a PostgreSQL of its own, senders, faults, and the comparison at the end.
struct ChaosRound: Sendable {
    let plan: ChaosPlan
    private let installation: Installation
    /// The folder whose `postgres` is the cluster.
    private let clusterData: String
    private let nodes: [ChaosNode]
    private let link: ChaosLink?
    private let ledger = ChaosLedger()

    /// What came of it.
    struct Outcome: Sendable {
        var summary: String
        var findings: [String] = []
    }

    /// Runs the round of this seed, on `loop`.
    static func run(seed: UInt64, on loop: EventLoop) async throws -> Outcome {
        let plan = ChaosPlan(seed: seed)
        let folder = TestPaths.makeTemporaryDirectory()
        if plan.kind == .embedded {
            // The service makes it there.
            let data = folder + "/data"
            let round = ChaosRound(plan, loop: loop, folder, cluster: data, link: nil)
            let outcome = await round.run()
            try await Installation.stopPostmaster(in: data, on: loop)
            return outcome
        }
        // Durable like the service's own, restarted like it when it dies, and gone with the tests.
        let data = folder + "/cluster"
        var configuration = EmbeddedClusterConfiguration(data: data, trampoline: MillraceBinary.path)
        configuration.diesWithParent = true
        configuration.connectionsMax = 100
        configuration.backoffMax = .milliseconds(500)
        let cluster = EmbeddedCluster(configuration, loop: loop, logger: TestCluster.logger)
        _ = try await cluster.start(deadline: TestCluster.deadline)
        let link = try ChaosLink(to: data + "/run/.s.PGSQL.5432", on: loop)
        await link.start()
        let outcome = await ChaosRound(plan, loop: loop, folder, cluster: data, link: link).run()
        await link.close()
        await cluster.stop(deadline: .after(.seconds(10)))
        return outcome
    }

    private init(
        _ plan: ChaosPlan,
        loop: EventLoop,
        _ folder: String,
        cluster: String,
        link: ChaosLink?
    ) {
        self.plan = plan
        self.link = link
        clusterData = cluster
        let account = "dbname=millrace user=millrace"
        // Our own questions take no detour.
        let connection = PostgresConnection(
            PostgresConfiguration(conninfo: "host=\(cluster)/run port=5432 \(account)"),
            name: "chaos",
            loop: loop,
            logger: TestCluster.logger
        )
        let installation = Installation(
            loop: loop,
            conninfo: link.map { "host=127.0.0.1 port=\($0.port) \(account)" },
            data: folder + "/data",
            sql: connection
        )
        self.installation = installation
        let ledger = ledger
        nodes = (0..<plan.nodes).map { number in
            let data = installation.data + (number == 0 ? "" : "-\(number)")
            var command = ["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--data", data]
            if let conninfo = installation.conninfo { command += ["--database", conninfo] }
            return ChaosNode(number, installation: installation, arguments: command, ledger: ledger)
        }
    }

    private var loop: EventLoop { installation.loop }

    private func run() async -> Outcome {
        // Awaited below, whatever happens.
        let keepers = nodes.map { node in Task(executorPreference: loop) { await node.keep() } }
        var findings: [String]
        do {
            try await until("all services listen", on: loop) {
                for node in nodes where await node.service == nil { return false }
                return true
            }
            let settled = try await sendAndBreak()
            findings = settled
            for node in nodes { await node.end() }
        } catch {
            findings = ledger.current.complaints + ["\(error)"]
            for node in nodes { await node.kill() }
        }
        for keeper in keepers { await keeper.value }
        let late = ledger.current.complaints.filter { !findings.contains($0) }
        findings += late
        if !findings.isEmpty {
            findings += installation.programs.all.map { "a log ended with\n\($0.log(bytesMax: 1_500))" }
        }
        for program in installation.programs.all { await program.kill() }
        await installation.closeDatabase()
        return Outcome(summary: ledger.current.summary, findings: findings)
    }

    // MARK: The round

    private func sendAndBreak() async throws -> [String] {
        let field = ChaosField(
            plan: plan,
            nodes: nodes,
            ledger: ledger,
            loop: loop,
            began: .now(),
            over: Flag()
        )
        let faults = ChaosFaults(installation, data: clusterData, nodes: nodes, link: link)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<plan.senders {
                group.addTask {
                    var sender = ChaosSender(number, field: field)
                    await sender.run()
                }
            }
            group.addTask {
                await carryOut(faults, ledger)
                // Events of after the last fault, too.
                await loop.sleep(for: .milliseconds(500))
                await field.over.set()
            }
        }
        let stats = try await untilSettled()
        return try await findings(stats)
    }

    /// Returns when all is over; what is stopped meanwhile goes on beside the steps that follow.
    private func carryOut(_ faults: ChaosFaults, _ ledger: ChaosLedger) async {
        await withTaskGroup(of: Void.self) { running in
            for step in plan.steps {
                if step.awaitsAnswer {
                    let answers = ledger.answers
                    // It may be something that was stopped before that keeps it from answering.
                    let patience = Deadline.after(.seconds(10))
                    while ledger.answers == answers, Deadline.now() < patience {
                        await loop.sleep(for: .milliseconds(10))
                    }
                }
                await loop.sleep(for: step.after)
                running.addTask { await faults.carryOut(step.fault) }
            }
        }
    }

    /// Waits until no spool holds an event and every stored one is in the rollups; nobody helps.
    private func untilSettled() async throws -> Stats {
        var last: Stats?
        var calm = 0
        try await until("spools are empty, analytics have caught up", on: loop, within: .seconds(120)) {
            let stats = await allStats()
            last = stats.last ?? last
            let isCalm =
                stats.count == nodes.count
                && stats.allSatisfy {
                    // A node whose database is away tells what it knew last.
                    $0.database.state == "up" && $0.totals.spooled == 0 && $0.analytics.lagEvents == 0
                }
            calm = isCalm ? calm + 1 : 0
            // A session whose service is gone may have been about to commit.
            if calm > 0 { await loop.sleep(for: .milliseconds(200)) }
            return calm > 2
        }
        guard let last else { throw StillWaiting(description: "no statistics") }
        return last
    }

    /// Of those services that answer.
    private func allStats() async -> [Stats] {
        var all: [Stats] = []
        for node in nodes {
            if let service = await node.service, let stats = try? await service.stats() { all.append(stats) }
        }
        return all
    }

    // MARK: The comparison

    private func findings(_ stats: Stats) async throws -> [String] {
        var facts = ChaosBook.Facts()
        facts.totals = stats.totals
        facts.rows = try await counts("SELECT data->>'mark', count(*) FROM events GROUP BY 1")
        facts.rejects = try await counts(
            """
            SELECT convert_from(raw, 'UTF8')::jsonb->'data'->>'mark', count(*) FROM rejects GROUP BY 1
            """
        )
        var findings = ledger.current.findings(facts)
        let stored = try await StoredFacts.read(installation)
        for (name, counts) in [
            ("different keys", stored.keys), ("rollups by minute", stored.minutes),
            ("rollups by day", stored.days), ("rollups by type", stored.types),
            ("/v1/stats", stats.countsByType),
        ] where counts != stored.rows {
            findings.append("\(name): \(counts) of the rows \(stored.rows)")
        }
        if stored.differences != 0 { findings.append("\(stored.differences) minutes count otherwise") }
        if stored.mismatches != [Array(repeating: "0", count: 6)] {
            findings.append("accounts that do not add up: \(stored.mismatches)")
        }
        // No death of a process shows whether the disk was asked: what is written is the kernel's by then.
        for row in try await installation.query(
            """
            SELECT name, setting FROM pg_settings
              WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting <> 'on'
            """
        ) {
            findings.append("PostgreSQL's \(row[0] ?? "") is \(row[1] ?? "")")
        }
        if stored.deadJobs != 0 { findings.append("\(stored.deadJobs) dead jobs") }
        return findings
    }

    private func counts(_ sql: String) async throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for row in try await installation.query(sql) {
            counts[row[0] ?? "no mark"] = row[1].flatMap { Int($0) }
        }
        return counts
    }
}
