import Glibc
import Reactor
import TestSupport

/// Does to an installation what a plan says.
struct ChaosFaults: Sendable {
    let installation: Installation
    /// The folder whose `postgres` is the cluster.
    let data: String
    let nodes: [ChaosNode]
    /// What the services reach PostgreSQL through; the embedded one they reach by themselves.
    let link: ChaosLink?
    private let killedJobs = KilledJobs()

    init(_ installation: Installation, data: String, nodes: [ChaosNode], link: ChaosLink?) {
        self.installation = installation
        self.data = data
        self.nodes = nodes
        self.link = link
    }

    private var loop: EventLoop { installation.loop }

    /// Returns when what was stopped goes on.
    func carryOut(_ fault: ChaosPlan.Fault) async {
        switch fault {
        case .killService(let node, let down): await nodes[node].signal(SIGKILL, down: down)
        case .endService(let node, let down): await nodes[node].signal(SIGTERM, down: down)
        case .stopService(let node, let pause):
            await nodes[node].signal(SIGSTOP)
            await loop.sleep(for: pause)
            await nodes[node].signal(SIGCONT)
        case .killPostmaster: signalPostmaster(SIGKILL)
        case .killPostgres: signalPostgres(SIGKILL)
        case .killAll(let node):
            signalPostgres(SIGKILL)
            await nodes[node].signal(SIGKILL)
        case .restartPostgres(let signal): signalPostmaster(signal)
        case .endPostgres(let pause): await endPostgres(patience: pause)
        case .freezePostgres(let pause): await freeze(postgres, for: pause)
        case .stopWriters(let pause): await freeze(await sessions(.writers), for: pause)
        case .endSessions(let sessions):
            await query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE", sessions)
        case .killSession(let which):
            if let session = await sessions(which).randomElement() { Glibc.kill(session, SIGKILL) }
        case .loseAnswers(let pause): await link?.loseAnswers(for: pause)
        case .loseOutcome(let ending): await link?.loseOutcome(of: ending)
        case .part(let pause): await link?.part(for: pause)
        case .killWorker(let node): await kill(aWorkerOf: nodes[node], SIGKILL)
        case .endWorker(let node): await kill(aWorkerOf: nodes[node], SIGTERM)
        case .stopWorker(let node, let pause):
            guard let worker = await workers(of: nodes[node]).randomElement() else { return }
            await freeze([worker.pid].compactMap { $0 }, for: pause)
        }
    }

    // MARK: PostgreSQL

    private var postgres: [Int32] {
        guard let postmaster = Installation.postmaster(in: data) else { return [] }
        return [postmaster] + ProcessTable.children(of: postmaster)
    }

    private func signalPostmaster(_ signal: CInt) {
        if let postmaster = Installation.postmaster(in: data) { Glibc.kill(postmaster, signal) }
    }

    /// Like an administrator who is asked politely to wait, and does not.
    private func endPostgres(patience: Duration) async {
        guard let postmaster = Installation.postmaster(in: data) else { return }
        Glibc.kill(postmaster, SIGTERM)
        await loop.sleep(for: patience)
        // It may have gone, and another be there by now.
        if Installation.postmaster(in: data) == postmaster { Glibc.kill(postmaster, SIGINT) }
    }

    /// Stopped first, so that the postmaster does nothing about the death of the others.
    private func signalPostgres(_ signal: CInt) {
        signalPostmaster(SIGSTOP)
        for pid in postgres.reversed() { Glibc.kill(pid, signal) }
    }

    private func freeze(_ pids: [Int32], for pause: Duration) async {
        for pid in pids { Glibc.kill(pid, SIGSTOP) }
        await loop.sleep(for: pause)
        for pid in pids.reversed() { Glibc.kill(pid, SIGCONT) }
    }

    private func sessions(_ sessions: ChaosPlan.Sessions) async -> [Int32] {
        await query("SELECT pid FROM pg_stat_activity WHERE", sessions).compactMap {
            $0[0].flatMap { Int32($0) }
        }
    }

    /// Tried twice, for the session may be one of a server that is gone; nothing happens where the server is.
    @discardableResult
    private func query(_ start: String, _ sessions: ChaosPlan.Sessions) async -> [[String?]] {
        let sql = "\(start) \(Installation.isBackend) AND application_name LIKE $1"
        for _ in 0..<2 {
            do {
                return try await installation.query(
                    sql,
                    [sessions.rawValue],
                    deadline: .after(.seconds(1))
                )
            } catch {}
        }
        return []
    }

    // MARK: Workers

    private func workers(of node: ChaosNode) async -> [Stats.Worker] {
        guard let service = await node.service else { return [] }
        do {
            return try await service.get("/v1/stats", as: Stats.self, deadline: .after(.seconds(1))).workers
                .filter { $0.pid != nil }
        } catch {
            return []
        }
    }

    /// Kills a worker whose job has not been killed before: a job that has killed two workers is held for the
    /// culprit, and rightly so.
    ///
    /// The worker is stopped first, and looked at until what it does is certain.
    private func kill(aWorkerOf node: ChaosNode, _ signal: CInt) async {
        let candidates = await workers(of: node)
        guard let victim = candidates.first(where: { $0.job != nil }) ?? candidates.first,
            let pid = victim.pid
        else { return }
        Glibc.kill(pid, SIGSTOP)
        var seen: [Stats.Worker?] = []
        for _ in 0..<3 {
            seen.append(await workers(of: node).first { $0.pid == pid })
            await loop.sleep(for: .milliseconds(30))
        }
        if let last = seen.last ?? nil, seen.allSatisfy({ $0?.job == last.job }),
            await killedJobs.isNew(last.job)
        {
            Glibc.kill(pid, signal)
        }
        // What is killed does not mind; what is told to end has to run to hear it.
        Glibc.kill(pid, SIGCONT)
    }
}

/// The jobs whose worker was killed.
private actor KilledJobs {
    private var jobs: Set<Int64> = []

    func isNew(_ job: Int64?) -> Bool { job.map { jobs.insert($0).inserted } ?? true }
}
